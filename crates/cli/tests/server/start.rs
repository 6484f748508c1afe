//! The start: what is said when it fails, and what is made again when it is missing.

use std::net::TcpListener;
use std::time::Duration;

use testkit::{Batch, DataDir, History, Id, Message, ServerCommand};

use crate::{is_well, rocketmq};

/// Fails with one message that says all of this.
#[track_caller]
fn check_failure(command: &ServerCommand, says: &[&str]) {
    let exit = command.fails();
    assert!(exit.is_code(1), "{}\n{}", exit.status, exit.output);
    for part in says {
        assert!(exit.output.contains(part), "{part:?} is not in:\n{}", exit.output);
    }
    assert!(!exit.output.contains("panicked"), "{}", exit.output);
    assert!(!exit.output.lines().any(|line| line.starts_with("ready")), "{}", exit.output);
    assert!(exit.after < Duration::from_secs(10), "{:?}", exit.after);
}

#[test]
fn all_mistakes_of_the_settings_are_told_at_once() {
    let dir = DataDir::default();
    let file = dir.path().join("broker.conf");
    let text = "brokerName=a\nlistenPort=many\nflushDiskType=NEVER\nbrokerPermission=9\nmaxMessageSize=-1\n";
    std::fs::write(&file, text).expect("a file");
    let data = dir.path().join("data");
    let command = rocketmq()
        .data(DataDir::given(&data))
        .arg("-c")
        .arg(&file.display().to_string())
        .set("fileReservedTime", "soon")
        .set("messageDelayLevel", "1s 2x");
    let says = [
        "listenPort",
        "flushDiskType",
        "brokerPermission",
        "maxMessageSize",
        "fileReservedTime",
        "messageDelayLevel",
        "broker.conf",
    ];
    check_failure(&command, &says);
    assert!(!data.exists(), "nothing is made before the settings are right");
}

#[test]
fn an_unreadable_settings_file_is_named() {
    check_failure(&rocketmq().arg("-c").arg("/no/such/broker.conf"), &["/no/such/broker.conf"]);
    check_failure(&rocketmq().arg("--set").arg("listenPort"), &["--set listenPort", "KEY=VALUE"]);
}

#[test]
fn a_port_in_use_is_named() {
    for option in ["--listen-port", "--namesrv-port", "--fast-listen-port", "--grpc-port", "--metrics-port"] {
        let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = taken.local_addr().expect("it has one").port().to_string();
        let command = rocketmq().arg(option).arg(&port);
        check_failure(&command, &[&format!(":{port}"), "in use"]);
        // Nothing of the failed start holds the directory.
        drop(taken);
        command.start();
    }
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let command = rocketmq();
    let _first = command.start();
    check_failure(&command, &["locked by another process", &command.data_path().display().to_string()]);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = DataDir::default();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let data = file.join("data");
    check_failure(&rocketmq().data(DataDir::given(&data)), &[&data.display().to_string()]);
}

#[test]
fn only_an_unclean_end_is_called_one() {
    let server = rocketmq().start();
    assert!(!server.greeting().contains("unclean"), "{}", server.greeting());
    let server = server.kill().start();
    assert!(server.greeting().contains("unclean"), "{}", server.greeting());
    let server = server.terminate().1.start();
    assert!(!server.greeting().contains("unclean"), "{}", server.greeting());
}

#[tokio::test]
async fn deleted_queues_and_keys_are_made_again() {
    let command = rocketmq();
    let mut server = command.start();
    let mut history = History::default();
    let mut number = 0;
    for (round, missing) in
        [&["queues"][..], &["keys"], &["queues", "keys"], &["queues", "keys", "progress"]].iter().enumerate()
    {
        let client = server.client().await;
        for queue in (0..4).cycle().take(600) {
            let mut batch = Batch::default();
            let mut ids = Vec::new();
            for _ in 0..=number % 3 {
                let id = Id { producer: 1, number };
                history.sent(id, "T");
                ids.push(id);
                batch = batch.with(&Message::new(id.body(2000)).unique_key(&format!("key-{id}")));
                number += 1;
            }
            let sent = client.send_batch("T", queue, batch).await.expect("it is stored");
            ids.iter().enumerate().for_each(|(at, id)| history.acknowledged(*id, queue, sent.offset + at as i64));
        }
        client.commit("G", "T", 1, 17).await.expect("it is committed");
        // Once after an orderly end and once after a kill.
        if round % 2 == 0 {
            drop(server.terminate())
        } else {
            drop(server.kill())
        }
        for name in *missing {
            let path = command.data_path().join(name);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.unwrap_or_else(|error| panic!("remove {}: {error}", path.display()));
        }
        server = command.start();
    }
    let client = server.client().await;
    for queue in 0..4 {
        let messages = client.read("T", queue, 0).await;
        assert!(messages.iter().enumerate().all(|(at, message)| message.offset == at as i64));
        messages.iter().for_each(|message| history.read("T", queue, message.offset, &message.body));
    }
    let verdict = history.verdict();
    assert!(verdict.is_good() && verdict.acknowledged as u64 == number, "{verdict}");
    for number in [0, number / 2, number - 1] {
        let id = Id { producer: 1, number };
        let found = client.by_unique_key("T", &format!("key-{id}")).await;
        assert_eq!(found.iter().map(|message| Id::of_body(&message.body)).collect::<Vec<_>>(), [Some(id)]);
    }
    assert_eq!(client.committed("G", "T", 1).await, Ok(17));
    is_well(&server).await;
}
