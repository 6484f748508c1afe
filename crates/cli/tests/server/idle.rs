//! Many connections that do nothing.

use std::time::{Duration, Instant};

use testkit::{Message, Wire, raise_open_files, send_frame};

use crate::{alone, is_well, rocketmq};

const CONNECTIONS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_disturb_nobody() {
    let _alone = alone().await;
    if !raise_open_files(CONNECTIONS as u64 + 1000) {
        println!("skipped: the hard limit of open files is below {} (ulimit -Hn)", CONNECTIONS + 1000);
        return;
    }
    // The usual soft limit of a login: the server has to raise it by itself.
    let server = rocketmq().open_files(1024).start();
    is_well(&server).await;
    let before = server.resident_bytes();
    let begin = Instant::now();
    let mut idle = Vec::new();
    while idle.len() < CONNECTIONS {
        // Fewer at once than the socket's backlog holds.
        let some: Vec<_> = (0..500).map(|_| tokio::spawn(Wire::connect(server.address()))).collect();
        for wire in some {
            let mut wire = wire.await.expect("it connects");
            // Every one has said something and been answered, as real clients have.
            if idle.len() % 10 == 0 {
                wire.send(&send_frame("idle", 0, "", "hello"), 1).await;
                assert_eq!(wire.read().await.map(|answer| answer.code), Some(0));
            }
            idle.push(wire);
        }
    }
    let what = "all connections are accepted";
    testkit::eventually(what, async || (server.open_files() > CONNECTIONS).then_some(())).await;
    let each = server.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{CONNECTIONS} idle connections in {:?}, {each} bytes each", begin.elapsed());
    assert!(each < 32 << 10, "{each} bytes for each idle connection");

    let client = server.client().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begin = Instant::now();
        client.send("T", 0, &Message::new("b")).await.expect("it is stored");
        slowest = slowest.max(begin.elapsed());
    }
    println!("50 sends beside them, the slowest in {slowest:?}");
    assert!(slowest < Duration::from_secs(2));
    drop(idle);
    let what = "all connections are gone";
    testkit::eventually(what, async || (server.open_files() < 200).then_some(())).await;
    is_well(&server).await;
}
