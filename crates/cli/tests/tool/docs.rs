//! A new user's walk: every command of README and `docs/` that is marked `sh`, line by line, against a new server.
//!
//! What is marked `console` needs more than the binary, or is a server itself. There is no third mark for commands, so that
//! none is forgotten.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Ran, Tool};

/// Who waits for more and says nothing for so long is interrupted, as a reader would.
const QUIET: Duration = Duration::from_secs(6);

/// Everybody else is done before that, however busy the machine is.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Whether a command goes on until it is interrupted.
fn waits(line: &str) -> bool {
    ["rocketmq consume", "rocketmq top", "--watch"].iter().any(|what| line.contains(what))
}

/// Marks that code blocks may have: run, not run, and no commands at all.
const RUN: &str = "sh";
const OTHERS: [&str; 3] = ["console", "java", ""];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The front page, then `docs/` by name.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("it is there").map(|entry| entry.expect("it is read").path());
    let mut docs: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    docs.sort();
    [root().join("README.md")].into_iter().chain(docs).collect()
}

/// The commands of a page with the numbers of their lines. A backslash at the end joins two lines.
fn commands(page: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(page).expect("it is text");
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut mark: Option<&str> = None;
    let mut joined = false;
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), mark) {
            (Some(found), None) => {
                let known = found == RUN || OTHERS.contains(&found);
                assert!(known, "{}:{}: mark commands {RUN:?} or \"console\", not {found:?}", page.display(), at + 1);
                mark = Some(found);
            }
            (Some(_), Some(_)) => mark = None,
            (None, Some(RUN)) if !line.trim().is_empty() => {
                match commands.last_mut().filter(|_| joined) {
                    Some((_, begun)) => begun.push_str(line.trim_end_matches('\\')),
                    None => commands.push((at + 1, line.trim_end_matches('\\').to_owned())),
                }
                joined = line.ends_with('\\');
            }
            (None, _) => {}
        }
    }
    commands
}

/// Runs a line in a shell of its own, in a process group of its own, so that it can be interrupted as a whole.
fn paste(tool: &Tool, dir: &Path, line: &str) -> (Ran, bool) {
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(dir).env("PATH", path).env("HOME", dir).env_remove("XDG_CONFIG_HOME");
    shell.env("ROCKETMQ_NAMESRV_ADDR", tool.server.name_server().to_string()).env_remove("ROCKETMQ_CONTEXT");
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = shell.spawn().expect("there is a shell");
    let (sender, said) = channel();
    let out = child.stdout.take().expect("it is piped");
    let err = child.stderr.take().expect("it is piped");
    for (is_error, mut from) in [(false, Box::new(out) as Box<dyn Read + Send>), (true, Box::new(err))] {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                let _ = sender.send((is_error, String::from_utf8_lossy(&bytes[..read]).into_owned()));
            }
        });
    }
    drop(sender);
    let mut ran = Ran { status: -1, out: String::new(), err: String::new() };
    let mut interrupted = false;
    let quiet = if waits(line) { QUIET } else { SILENCE_MAX };
    while !listen(&said, &mut ran, quiet) {
        assert!(!interrupted, "{line}: it does not end when it is interrupted: {ran:?}");
        kill_process_group(Pid::from_child(&child), Signal::INT).expect("it is ours");
        interrupted = true;
    }
    ran.status = child.wait().expect("it is ours").code().unwrap_or(-1);
    (ran, interrupted)
}

/// Takes down what is said, until the end (true) or until it is quiet (false).
fn listen(said: &Receiver<(bool, String)>, ran: &mut Ran, quiet: Duration) -> bool {
    loop {
        match said.recv_timeout(quiet) {
            Ok((true, text)) => ran.err.push_str(&text),
            Ok((false, text)) => ran.out.push_str(&text),
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

#[test]
fn every_pasted_command_works() {
    let tool = Tool::start();
    let dir = tempfile::tempdir().expect("it is made");
    fs::create_dir(dir.path().join("bin")).expect("it is made");
    std::os::unix::fs::symlink(super::binary(), dir.path().join("bin/rocketmq")).expect("it is made");
    // The file of the reader who has one.
    fs::write(dir.path().join("broker.conf"), "brokerName=broker-a\nflushDiskType=SYNC_FLUSH\n")
        .expect("it is written");
    let mut tried = 0;
    for page in pages() {
        for (at, line) in commands(&page) {
            let (ran, interrupted) = paste(&tool, dir.path(), &line);
            // The shell dies of the signal; the command ends with its summary.
            let fine = if interrupted { ran.err.contains("received ") } else { ran.status == 0 };
            assert!(fine, "{}:{at}: {line}\n{ran:?}", page.display());
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} commands were found");
}
