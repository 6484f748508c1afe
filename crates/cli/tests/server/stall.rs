//! A disk that stalls, and a log that nobody reads, stall nobody who does not need them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use protocol::request::{
    BrokerNameHeader, GetBrokerConfig, GetKvConfig, GetRoute, GetRouteHeader, KvKeyHeader, NoFields, PutKvConfig,
    PutKvConfigHeader, Request as _, UpdateBrokerConfig, WipeWritePerm,
};
use protocol::{Frame, code};
use testkit::{Client, DataDir, Message, Pull};

use crate::{is_well, rocketmq};

/// A file system in a file, which can be made to keep all writes and syncs waiting.
struct Disk {
    _image: tempfile::NamedTempFile,
    dir: DataDir,
}

impl Disk {
    const BYTES: u64 = 256 << 20;

    /// `None`, with a word about it, where mounting is not allowed or the tools are not there.
    fn mount() -> Option<Disk> {
        let image = tempfile::NamedTempFile::new().expect("a temporary file");
        image.as_file().set_len(Disk::BYTES).expect("a sparse file");
        let dir = DataDir::default();
        let is_mounted = run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.path()])
            && run("mount", &["-o".as_ref(), "loop".as_ref(), image.path(), dir.path()]);
        if !is_mounted {
            println!("skipped: this user may not mount a file system (run as root, with e2fsprogs)");
            return None;
        }
        let disk = Disk { _image: image, dir };
        if disk.stall().is_none() {
            println!("skipped: this file system cannot be frozen");
            return None;
        }
        Some(disk)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Until what it returns is dropped. That must come before the end of the server, which waits for the disk.
    fn stall(&self) -> Option<Stalled> {
        let stalled = run("fsfreeze", &["--freeze".as_ref(), self.dir.path()]);
        stalled.then(|| Stalled(self.dir.path().to_owned()))
    }
}

struct Stalled(PathBuf);

impl Drop for Stalled {
    fn drop(&mut self) {
        run("fsfreeze", &["--unfreeze".as_ref(), &self.0]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending does not keep it.
        run("umount", &["-l".as_ref(), self.dir.path()]);
    }
}

fn run(program: &str, arguments: &[&Path]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A process that ends with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn update(setting: &'static str) -> Frame {
    Frame::request(UpdateBrokerConfig::CODE, &NoFields {}).with_body(setting)
}

#[tokio::test]
async fn a_disk_that_stalls_stalls_only_what_must_be_on_it() {
    let Some(disk) = Disk::mount() else { return };
    let server = rocketmq().data(DataDir::given(disk.data())).set("syncFlushTimeout", 500).start();
    let client = server.client().await;
    client.create_topic("T", 1).await.expect("it is made");
    client.send("T", 0, &Message::new("before")).await.expect("it is stored");
    client.heartbeat("c", "G", &["T"]).await;

    let stalled = disk.stall().expect("it could be frozen before");
    let names = Client::connect(server.name_server()).await;
    let put = PutKvConfigHeader { namespace: "N", key: "k", value: "v" };
    // As many as there are threads for connections, and more.
    let (others, meanwhile) = (server.client().await, Message::new("meanwhile"));
    let waiting = async {
        tokio::join!(
            others.send("T", 0, &meanwhile),
            others.call(update("deleteWhen=05")),
            others.call(update("deleteWhen=06")),
            names.ask::<PutKvConfig>(&put)
        )
    };
    let served = async {
        for _ in 0..20 {
            let route = GetRouteHeader { topic: "T", accept_standard_json_only: false };
            assert_eq!(names.ask::<GetRoute>(&route).await.code, 0);
            let key = KvKeyHeader { namespace: "N", key: "k" };
            assert_eq!(names.ask::<GetKvConfig>(&key).await.code, code::QUERY_NOT_FOUND.0, "it does not count yet");
            let wiped = names.ask::<WipeWritePerm>(&BrokerNameHeader { broker_name: "nobody" }).await;
            assert_eq!(wiped.code, 0);
            let config = client.ask::<GetBrokerConfig>(&NoFields {}).await;
            assert!(!config.body.windows(13).any(|text| text == b"deleteWhen=05"), "it does not count yet");
            client.heartbeat("c", "G", &["T"]).await;
            assert_eq!(client.members("G").await, ["c"]);
            client.commit("G", "T", 0, 1).await.expect("it is taken");
            assert_eq!(client.committed("G", "T", 0).await.expect("it is known"), 1);
            let pulled = client.pull(&Pull::from("T", 0, 0)).await.expect("the queue can be read");
            assert_eq!(pulled.messages[0].text(), "before");
        }
        drop(stalled);
    };
    let ((stored, first, second, kept), ()) = tokio::join!(waiting, served);
    if let Err(refused) = stored {
        assert_eq!(refused.code, code::FLUSH_DISK_TIMEOUT.0, "{refused:?}");
    }
    assert_eq!([first.code, second.code, kept.code], [0; 3]);
    is_well(&server).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_stalls_nobody_and_tells_what_was_lost() {
    let dir = DataDir::default();
    let binary = std::env::var_os("ROCKETMQ_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rocketmq").into());
    let mut command = Command::new(binary);
    command.args(["namesrv", "--listen-port", "0", "--data"]).arg(dir.path());
    let mut server = Ending(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts"));
    let mut lines = BufReader::new(server.0.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let at = lines.find_map(|line| line.trim().strip_prefix("name server")?.rsplit(':').next()?.parse().ok());
    let names = Client::connect(([127, 0, 0, 1], at.expect("it says its port")).into()).await;
    // Each is worth a line. A pipe takes 64 KiB of them, then 10,000 may wait.
    for _ in 0..12_000 {
        let wiped = names.ask::<WipeWritePerm>(&BrokerNameHeader { broker_name: "nobody" }).await;
        assert_eq!(wiped.code, 0);
    }
    let mut log = BufReader::new(server.0.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("log lines were lost")));
}
