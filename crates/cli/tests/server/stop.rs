//! The orderly end.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use rand::RngExt;
use testkit::{Exit, History, Message, Pull, Pulled, Seed, Wire, eventually};

use crate::kill::{Producer, QUEUES, TOPICS};
use crate::{alone, rocketmq};

/// What a supervisor that asked politely waits for.
const END_MAX: Duration = Duration::from_secs(2);

#[track_caller]
fn check_end(exit: &Exit) {
    assert!(exit.is_code(0), "{}\n{}", exit.status, exit.output);
    assert!(exit.after < END_MAX, "the end took {:?}\n{}", exit.after, exit.output);
    assert!(!exit.output.contains("panicked"), "{}", exit.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_keeps_what_was_acknowledged_and_is_quick() {
    let _alone = alone().await;
    let seed = Seed::take("sigterm");
    let mut rng = seed.stream(0);
    let mut command = rocketmq();
    let history = Arc::new(Mutex::new(History::default()));
    let mut numbers = [0; 3];
    let mut slowest = Duration::ZERO;
    for round in 0..4 {
        let server = command.start();
        let greeting = server.greeting();
        assert!(!greeting.contains("unclean"), "round {round}: {greeting}");
        let mut producers = Vec::new();
        for producer in 0..3 {
            let first = numbers[producer as usize];
            let history = history.clone();
            let load = Producer { producer, first, topics: &TOPICS, messages_max: 4000, window: 200, history };
            producers
                .push(tokio::spawn(load.run(server.address(), seed.stream((round << 8) | (u64::from(producer) + 1)))));
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..600))).await;
        let (exit, again) = server.terminate();
        check_end(&exit);
        slowest = slowest.max(exit.after);
        command = again;
        for (producer, load) in producers.into_iter().enumerate() {
            numbers[producer] = load.await.expect("producers do not panic");
        }
    }
    let server = command.start();
    let client = server.client().await;
    for topic in TOPICS {
        for queue in 0..QUEUES {
            for message in client.read(topic, queue, 0).await {
                history.lock().read(topic, queue, message.offset, &message.body);
            }
        }
    }
    let verdict = history.lock().verdict();
    println!("SIGTERM: slowest end {slowest:?}; {verdict}");
    assert!(verdict.is_good() && verdict.acknowledged > 0, "{verdict}");
}

#[tokio::test]
async fn the_end_waits_for_no_long_poll() {
    let _alone = alone().await;
    let server = rocketmq().start();
    server.client().await.send("T", 0, &Message::new("b")).await.expect("it is stored");
    let mut wire = Wire::connect(server.address()).await;
    for number in 0..200 {
        let wait = Some(Duration::from_secs(60));
        wire.send(&Pull { wait, ..Pull::from("T", number % 4, if number % 4 == 0 { 1 } else { 0 }) }.frame(), number)
            .await;
    }
    // An answered request behind them says that they have arrived.
    wire.send(&testkit::send_frame("U", 0, "", "b"), 1000).await;
    assert_eq!(wire.read().await.map(|answer| answer.opaque), Some(1000));
    let ended = tokio::task::spawn_blocking(|| server.terminate());
    let mut answers = 0;
    while let Some(answer) = wire.read().await {
        Pulled::from_answer(&answer).unwrap_or_else(|refused| panic!("{refused:?}"));
        answers += 1;
    }
    let (exit, _) = ended.await.expect("it ends");
    check_end(&exit);
    println!("{answers} of 200 long polls were answered at the end");
}

#[tokio::test]
async fn the_end_waits_for_no_client_that_does_not_read() {
    let _alone = alone().await;
    let server = rocketmq().start();
    let client = server.client().await;
    for _ in 0..8 {
        client.send("T", 0, &Message::new(vec![b'x'; 200_000])).await.expect("it is stored");
    }
    let what = "all are visible";
    eventually(what, async || (client.range("T", 0).await.1 == 8).then_some(())).await;
    let mut wire = Wire::connect(server.address()).await;
    let mut bytes = BytesMut::new();
    for number in 0..20_000 {
        Pull::from("T", 0, 0).frame().encode(number, &mut bytes);
    }
    let stuck = tokio::time::timeout(Duration::from_secs(2), wire.write(&bytes)).await;
    assert!(stuck.is_err(), "the server takes no more from a client that does not read");
    let (exit, _) = server.terminate();
    check_end(&exit);
}

#[tokio::test]
async fn ready_means_that_the_end_will_be_orderly() {
    let command = rocketmq();
    for round in 0..10 {
        let server = command.start();
        let (exit, _) = server.terminate();
        assert!(exit.is_code(0), "round {round}: {}\n{}", exit.status, exit.output);
    }
    let exit = command.start().interrupt();
    assert!(exit.is_code(0), "Ctrl-C: {}\n{}", exit.status, exit.output);
    assert!(!command.start().greeting().contains("unclean"));
}
