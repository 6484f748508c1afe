//! A process of the real binary.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

use crate::{Client, DEADLINE, eventually_blocking};

/// How long a start may take: a busy machine, a debug build and a long log to check may come together.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A directory for data: removed at the end, unless it was given or the test fails.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    own: Option<TempDir>,
}

impl Default for DataDir {
    fn default() -> Self {
        let own = tempfile::Builder::new().prefix("rocketmq-test-").tempdir().expect("a temporary directory is made");
        DataDir { path: own.path().to_owned(), own: Some(own) }
    }
}

impl DataDir {
    /// A directory that somebody else removes.
    pub fn given(path: impl Into<PathBuf>) -> DataDir {
        DataDir { path: path.into(), own: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(own) = self.own.take()
        {
            println!("the data is kept for a look: {}", own.keep().display());
        }
    }
}

/// How a server is started, as often as a test likes.
#[derive(Debug, Clone)]
pub struct ServerCommand {
    binary: PathBuf,
    data: Arc<DataDir>,
    args: Vec<String>,
    /// Soft limit of open files of the process.
    open_files: Option<u64>,
}

impl ServerCommand {
    /// `rocketmq server` of this binary (`env!("CARGO_BIN_EXE_rocketmq")`) with a directory of its own.
    pub fn new(binary: impl Into<PathBuf>) -> ServerCommand {
        let command = ServerCommand { binary: binary.into(), data: Arc::default(), args: Vec::new(), open_files: None };
        // How full the disk of this machine is decides nothing.
        command.set("diskSpaceCleanForciblyRatio", 95).set("diskSpaceWarningLevelRatio", 99)
    }

    /// With this directory instead.
    #[must_use]
    pub fn data(mut self, data: DataDir) -> ServerCommand {
        self.data = Arc::new(data);
        self
    }

    /// With one more setting.
    #[must_use]
    pub fn set(self, key: &str, value: impl ToString) -> ServerCommand {
        self.arg("--set").arg(&format!("{key}={}", value.to_string()))
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> ServerCommand {
        self.args.push(arg.to_owned());
        self
    }

    /// With a soft limit of open files, such as the 1024 of many systems.
    #[must_use]
    pub fn open_files(mut self, soft: u64) -> ServerCommand {
        self.open_files = Some(soft);
        self
    }

    /// Where the data is.
    pub fn data_path(&self) -> &Path {
        self.data.path()
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, with what it said.
    #[track_caller]
    pub fn start(&self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(exit) => panic!("the server ended with {} instead of starting:\n{}", exit.status, exit.output),
        }
    }

    /// Starts it and waits until it is ready or has ended by itself.
    ///
    /// # Panics
    /// When it does neither.
    pub fn try_start(&self) -> Result<Server, Exit> {
        let mut process = self.spawn();
        loop {
            match process.lines.recv_timeout(START_DEADLINE) {
                Ok(line) => {
                    let is_ready = line.starts_with("ready");
                    process.said.push(line);
                    if is_ready {
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(process.wait(DEADLINE)),
                Err(RecvTimeoutError::Timeout) => {
                    let exit = process.end(Signal::KILL, DEADLINE);
                    panic!("the server was not ready within {START_DEADLINE:?}:\n{}", exit.output);
                }
            }
        }
        let port_of = |name: &str, marker: &str| {
            let line = process.said.iter().find(|line| line.trim_start().starts_with(name));
            let line = line.unwrap_or_else(|| panic!("no line {name:?} in {:?}", process.said));
            let at = line.find(marker).unwrap_or_else(|| panic!("no {marker:?} in {line:?}")) + marker.len();
            let digits: String = line[at..].chars().take_while(char::is_ascii_digit).collect();
            let port = digits.parse().unwrap_or_else(|_| panic!("no port behind {marker:?} in {line:?}"));
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        };
        Ok(Server {
            name_server: port_of("name server", ":"),
            address: port_of("broker", ":"),
            fast_address: port_of("broker", "fast port "),
            ready_after: process.begin.elapsed(),
            command: self.clone(),
            process: Some(process),
        })
    }

    /// Starts it in the knowledge that it will end by itself.
    ///
    /// # Panics
    /// When it gets ready instead.
    #[track_caller]
    pub fn fails(&self) -> Exit {
        match self.try_start() {
            Ok(server) => panic!("the server started:\n{}", server.output()),
            Err(exit) => exit,
        }
    }

    /// Starts it and kills it after a while, ready or not. Returns whether it said that it was ready.
    pub fn start_and_kill_after(&self, pause: Duration) -> bool {
        let process = self.spawn();
        std::thread::sleep(pause);
        let exit = process.end(Signal::KILL, DEADLINE);
        exit.output.lines().any(|line| line.starts_with("ready"))
    }

    fn spawn(&self) -> Process {
        let mut command = match self.open_files {
            None => Command::new(&self.binary),
            Some(soft) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -Sn {soft}; exec \"$0\" \"$@\"")]).arg(&self.binary);
                shell
            }
        };
        command.arg("server").arg("--data").arg(self.data.path());
        // A test must not depend on what the person who runs it has in the environment.
        command.env_remove("NAMESRV_ADDR").env("RUST_BACKTRACE", "1");
        for port in ["--namesrv-port", "--listen-port", "--fast-listen-port", "--grpc-port", "--metrics-port"] {
            if !self.args.iter().any(|arg| arg == port) {
                command.args([port, "0"]);
            }
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begin = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", self.binary.display()));
        let (to_lines, lines) = channel();
        let log = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().expect("it is piped");
        let err = child.stderr.take().expect("it is piped");
        let readers = vec![
            read_lines(out, log.clone(), move |line| drop(to_lines.send(line.to_owned()))),
            read_lines(err, log.clone(), |_| {}),
        ];
        Process { child, lines, said: Vec::new(), log, readers, begin }
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    tell: impl Fn(&str) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            tell(&line);
            let mut log = log.lock();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// How long it took from the signal on, or from the start if it ended by itself.
    pub after: Duration,
    /// Everything it wrote to its standard output and error output.
    pub output: String,
}

impl Exit {
    /// Whether it ended by itself with this code.
    pub fn is_code(&self, code: i32) -> bool {
        self.status.code() == Some(code) && self.status.signal().is_none()
    }
}

struct Process {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    begin: Instant,
}

impl Process {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is ours and not waited for yet");
    }

    /// Sends a signal and waits.
    #[track_caller]
    fn end(mut self, signal: Signal, deadline: Duration) -> Exit {
        self.begin = Instant::now();
        self.signal(signal);
        self.wait(deadline)
    }

    #[track_caller]
    fn wait(mut self, deadline: Duration) -> Exit {
        let limit = self.begin + deadline.max(DEADLINE);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                break status;
            }
            if Instant::now() > limit {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("the process did not end within {deadline:?}:\n{}", self.log.lock());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let after = self.begin.elapsed();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Exit { status, after, output: std::mem::take(&mut *self.log.lock()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running process of `rocketmq server`. Dropping it kills it.
pub struct Server {
    process: Option<Process>,
    command: ServerCommand,
    name_server: SocketAddr,
    address: SocketAddr,
    fast_address: SocketAddr,
    ready_after: Duration,
}

impl Server {
    fn process(&self) -> &Process {
        self.process.as_ref().expect("it is taken only by what consumes the server")
    }

    /// Where its broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The broker's other port.
    pub fn fast_address(&self) -> SocketAddr {
        self.fast_address
    }

    /// Where its name server listens.
    pub fn name_server(&self) -> SocketAddr {
        self.name_server
    }

    /// From the start of the process to its being ready.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// What it has written so far, to both outputs.
    pub fn output(&self) -> String {
        self.process().log.lock().clone()
    }

    /// Lines of the output up to the one that says "ready".
    pub fn greeting(&self) -> String {
        self.process().said.join("\n")
    }

    /// A new connection to its broker.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Memory that it occupies, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process().child.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says it");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number of kB");
        kib * 1024
    }

    /// Its open files and sockets.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process().child.id())).expect("the process runs").count()
    }

    /// Waits until its log says something.
    #[track_caller]
    pub fn wait_for_output(&self, part: &str) {
        eventually_blocking(part, || self.output().contains(part).then_some(()));
    }

    /// Ends it as a power cut would, apart from the disk.
    pub fn kill(mut self) -> ServerCommand {
        self.process.take().expect("it runs").end(Signal::KILL, DEADLINE);
        self.command.clone()
    }

    /// Asks it to end and waits.
    pub fn terminate(mut self) -> (Exit, ServerCommand) {
        let exit = self.process.take().expect("it runs").end(Signal::TERM, DEADLINE);
        (exit, self.command.clone())
    }

    /// The same with another signal, such as that of Ctrl-C.
    pub fn interrupt(mut self) -> Exit {
        self.process.take().expect("it runs").end(Signal::INT, DEADLINE)
    }

    /// Panics of the server, none if it is well.
    pub fn panics(&self) -> Vec<String> {
        self.output().lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        if std::thread::panicking() {
            println!("the server said:\n{}", process.log.lock());
        }
    }
}

/// Raises the soft limit of open files of this process, and with it of its children. `false` when the hard limit
/// forbids it.
pub fn raise_open_files(wanted: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return true;
    }
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        return false;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).is_ok()
}
