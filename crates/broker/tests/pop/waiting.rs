//! Pops that wait.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Notice, NoticeRequest, PopStatus, Popped};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::help::*;
use crate::popping::*;

fn begin(broker: &Arc<Broker>, group: &'static str, queue_id: i32, wait_ms: u64) -> JoinHandle<(Popped, u64)> {
    let wait = Duration::from_millis(wait_ms);
    let broker = broker.clone();
    tokio::spawn(async move {
        let begun = Instant::now();
        let popped = pop(&broker, &broker::PopRequest { wait, queue_id, ..request("T", group) }).await;
        (popped, begun.elapsed().as_millis() as u64)
    })
}

#[test]
fn a_waiting_pop_hears_of_a_message_and_of_the_end_of_its_wait() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 4);
        let (first, other, empty) =
            (begin(broker, "G", -1, 5000), begin(broker, "H", 0, 5000), begin(broker, "G", 3, 700));
        sleep_ms(100).await;
        assert_eq!(broker.waiting_pops("T", "G", -1).unwrap(), 1);
        assert_eq!(broker.waiting_pops("T", "G", 3).unwrap(), 1);
        send_all(broker, "T", &["a"]).await;
        for waiting in [first, other] {
            let (popped, took_ms) = waiting.await.unwrap();
            assert_eq!(texts(&popped.messages), ["a"]);
            assert!(took_ms < 110, "{took_ms}");
        }
        let (popped, took_ms) = empty.await.unwrap();
        assert_eq!((popped.status, popped.messages.len()), (PopStatus::PollingTimeout, 0));
        assert!((700..705).contains(&took_ms), "{took_ms}");
        assert_eq!(broker.waiting_pops("T", "G", 3).unwrap(), 0);
    });
}

#[test]
fn one_message_wakes_one_and_a_pile_wakes_as_many_as_it_needs() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        let waiting: Vec<_> = (0..10).map(|_| begin(broker, "G", -1, 5000)).collect();
        sleep_ms(10).await;
        send_all(broker, "T", &["a"]).await;
        sleep_ms(10).await;
        assert_eq!(broker.waiting_pops("T", "G", -1).unwrap(), 9);
        (0..100).for_each(|_| drop(broker.send(&message("T", "", "x")).unwrap()));
        sleep_ms(20).await;
        assert!(broker.waiting_pops("T", "G", -1).unwrap() <= 5);
        let mut sum = 0;
        for waiting in waiting {
            sum += waiting.await.unwrap().0.messages.len();
        }
        assert_eq!(sum, 101);
    });
}

#[test]
fn what_comes_again_wakes_who_waits() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 2);
        send_all(broker, "T", &["a"]).await;
        assert_eq!(take(broker, "T", "G").await.len(), 1);
        // The retry topic does not exist yet; the second time it does.
        for round in 1..4 {
            let (popped, took_ms) = begin(broker, "G", -1, 20_000).await.unwrap();
            assert_eq!((texts(&popped.messages), popped.messages[0].deliveries), (vec!["a".into()], round));
            assert!((INVISIBLE_MS - 10..INVISIBLE_MS + 20).contains(&took_ms), "{took_ms}");
        }
    });
}

#[test]
fn too_many_are_turned_away() {
    let mut world = World::new();
    world.config.pop.polling_of_queue_max = 3;
    world.config.pop.polling_max = 5;
    world.live(End::Clean, async |broker| {
        topic(broker, "T", 4);
        let mut waiting: Vec<_> = (0..3).map(|_| begin(broker, "G", -1, 1000)).collect();
        sleep_ms(10).await;
        assert_eq!(begin(broker, "G", -1, 1000).await.unwrap().0.status, PopStatus::PollingFull);
        waiting.extend((0..2).map(|queue| begin(broker, "G", queue, 1000)));
        sleep_ms(10).await;
        assert_eq!(begin(broker, "G", 2, 1000).await.unwrap().0.status, PopStatus::PollingFull);
        waiting.remove(0).abort();
        sleep_ms(10).await;
        waiting.push(begin(broker, "G", 2, 1000));
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap().0.status, PopStatus::PollingTimeout);
        }
    });
}

#[test]
fn a_client_that_is_gone_takes_nothing() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        let (gone, there) = (begin(broker, "G", -1, 5000), begin(broker, "G", -1, 5000));
        sleep_ms(10).await;
        gone.abort();
        sleep_ms(10).await;
        send_all(broker, "T", &["a"]).await;
        assert_eq!(there.await.unwrap().0.messages.len(), 1);
    });
}

#[test]
fn ten_thousand_wait_for_a_topic_with_many_queues() {
    let mut world = World::new();
    world.config.pop.polling_of_queue_max = 20_000;
    world.live(End::Clean, async |broker| {
        topic(broker, "T", 64);
        let waiting: Vec<_> = (0..10_000).map(|_| begin(broker, "G", -1, 60_000)).collect();
        sleep_ms(100).await;
        assert_eq!(broker.waiting_pops("T", "G", -1).unwrap(), 10_000);
        let begun = std::time::Instant::now();
        for queue_id in 0..64 {
            broker.send(&broker::NewMessage { queue_id, ..message("T", "", "x") }).unwrap();
        }
        sleep_ms(20).await;
        println!("64 of 10,000 were woken in {:?}", begun.elapsed());
        let left = broker.waiting_pops("T", "G", -1).unwrap();
        assert!((9936..10_000).contains(&left), "{left}");
        assert_eq!(broker.invisible_messages(), 64);
        waiting.iter().for_each(JoinHandle::abort);
        sleep_ms(10).await;
        assert_eq!(broker.waiting_pops("T", "G", -1).unwrap(), 0);
    });
}

#[test]
fn a_notice_tells_and_takes_nothing() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 2);
        let ask = |wait_ms| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let wait = Duration::from_millis(wait_ms);
                let (group, topic) = ("G", "T");
                let wanted =
                    NoticeRequest { group, topic, queue_id: -1, wait, order: false, attempt_id: None, filter: None };
                broker.begin_notice(&wanted).unwrap().run().await.unwrap()
            })
        };
        let (yes, no) =
            (Notice { has_message: true, polling_full: false }, Notice { has_message: false, polling_full: false });
        assert_eq!(ask(0).await.unwrap(), no);
        assert_eq!(ask(100).await.unwrap(), no);
        let waiting = ask(5000);
        sleep_ms(10).await;
        send_all(broker, "T", &["a"]).await;
        assert_eq!(waiting.await.unwrap(), yes);
        assert_eq!(ask(0).await.unwrap(), yes);
        assert_eq!(take(broker, "T", "G").await.len(), 1);
        assert_eq!(ask(0).await.unwrap(), no);
    });
}
