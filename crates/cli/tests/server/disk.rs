//! A disk that is full.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use protocol::code;
use testkit::{Client, DataDir, History, Id, Message, eventually};

use crate::{alone, is_well, rocketmq};

/// A small file system in memory, unmounted at the end.
struct SmallDisk(DataDir);

impl SmallDisk {
    /// `None`, with a word about it, where mounting is not allowed.
    fn mount(mib: u32) -> Option<SmallDisk> {
        let dir = DataDir::default();
        if !mount(dir.path(), &format!("size={mib}m")) {
            println!("skipped: this user may not mount a file system (run as root)");
            return None;
        }
        Some(SmallDisk(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn grow(&self, mib: u32) {
        assert!(mount(self.path(), &format!("remount,size={mib}m")), "a mounted file system can grow");
    }
}

fn mount(at: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at);
    command.output().is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending does not keep it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Sends until the broker refuses, and returns what it said.
async fn fill(client: &Client, history: &mut History, number: &mut u64) -> String {
    loop {
        let id = Id { producer: 1, number: *number };
        *number += 1;
        history.sent(id, "T");
        match client.send("T", 0, &Message::new(id.body(50_000))).await {
            Ok(sent) => history.acknowledged(id, sent.queue, sent.offset),
            // In memory, and in doubt until there is room.
            Err(refused) if refused.code == code::FLUSH_DISK_TIMEOUT.0 => {}
            Err(refused) => {
                assert_eq!(refused.code, code::SERVICE_NOT_AVAILABLE.0, "{}", refused.remark);
                return refused.remark;
            }
        }
        assert!(*number < 10_000, "the disk never fills");
    }
}

async fn check(client: &Client, history: &History) {
    let mut copy = history.clone();
    for message in client.read("T", 0, 0).await {
        copy.read("T", 0, message.offset, &message.body);
    }
    let verdict = copy.verdict();
    println!("full disk: {verdict}");
    assert!(verdict.is_good() && verdict.acknowledged > 0, "{verdict}");
}

/// With segments of this size: many small ones, or one that is sparse and runs into the end of the disk.
async fn full_disk(segment_bytes: u64) {
    let Some(disk) = SmallDisk::mount(32) else { return };
    // By the settings of all tests nothing is deleted to make room: this is about what happens when there is none.
    let command = rocketmq()
        .data(DataDir::given(disk.path().join("data")))
        .set("mappedFileSizeCommitLog", segment_bytes)
        .set("syncFlushTimeout", 300);
    // Retention by fill level must not interfere, and it looks every ten seconds: ballast fills the disk at once.
    let server = command.start();
    let client = server.client().await;
    let mut history = History::default();
    let mut number = 0;
    for _ in 0..50 {
        let id = Id { producer: 1, number };
        number += 1;
        history.sent(id, "T");
        let sent = client.send("T", 0, &Message::new(id.body(50_000))).await.expect("there is room");
        history.acknowledged(id, sent.queue, sent.offset);
    }
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).expect("there is room");
    let begin = Instant::now();
    let remark = fill(&client, &mut history, &mut number).await;
    println!("segments of {segment_bytes}: refused after {number} messages, {:?}: {remark}", begin.elapsed());
    assert!(remark.contains("disk is full"), "{remark}");

    // Reads go on, and so do others who are refused in the same words.
    check(&client, &history).await;
    let other = server.client().await;
    let refused = other.send("T", 1, &Message::new("more")).await.expect_err("there is no room");
    assert_eq!(refused.code, code::SERVICE_NOT_AVAILABLE.0);

    // Room again: no restart is needed.
    std::fs::remove_file(&ballast).expect("it is ours");
    disk.grow(256);
    let what = "sends are accepted again";
    eventually(what, async || {
        let id = Id { producer: 1, number };
        number += 1;
        history.sent(id, "T");
        let sent = client.send("T", 0, &Message::new(id.body(1000))).await.ok()?;
        history.acknowledged(id, sent.queue, sent.offset);
        Some(())
    })
    .await;
    println!("accepted again {:?} after the refusal", begin.elapsed());
    check(&client, &history).await;
    is_well(&server).await;
    let server = server.kill().start();
    check(&server.client().await, &history).await;
    is_well(&server).await;
    let (exit, _) = server.terminate();
    assert!(exit.is_code(0) && exit.after < Duration::from_secs(5), "{exit:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_sends_serves_reads_and_recovers() {
    let _alone = alone().await;
    full_disk(1 << 20).await;
}

#[tokio::test]
async fn a_disk_that_fills_inside_a_large_file_does_the_same() {
    let _alone = alone().await;
    full_disk(1 << 30).await;
}

#[tokio::test]
async fn a_server_ends_and_starts_on_a_full_disk() {
    let _alone = alone().await;
    let Some(disk) = SmallDisk::mount(24) else { return };
    let command = rocketmq()
        .data(DataDir::given(disk.path().join("data")))
        .set("mappedFileSizeCommitLog", 1 << 20)
        .set("syncFlushTimeout", 300);
    let server = command.start();
    let client = server.client().await;
    let mut history = History::default();
    let mut number = 0;
    let id = Id { producer: 0, number };
    history.sent(id, "T");
    let sent = client.send("T", 0, &Message::new(id.body(100))).await.expect("there is room");
    history.acknowledged(id, sent.queue, sent.offset);
    std::fs::write(disk.path().join("ballast"), vec![1; 12 << 20]).expect("there is room");
    fill(&client, &mut history, &mut number).await;
    client.close().await;
    let (exit, _) = server.terminate();
    println!("ended with {} after {:?}", exit.status, exit.after);
    assert!(exit.status.code().is_some() && !exit.output.contains("panicked"), "{exit:?}");
    // On a full disk it starts and serves reads, or says why it does not.
    match command.try_start() {
        Ok(server) => check(&server.client().await, &history).await,
        Err(exit) => {
            println!("does not start: {}", exit.output);
            let said = exit.output.to_lowercase();
            assert!(said.contains("no space") || said.contains("full"), "{}", exit.output);
        }
    }
    disk.grow(64);
    let server = command.start();
    check(&server.client().await, &history).await;
    is_well(&server).await;
}
