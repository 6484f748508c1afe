//! Messages that name a time of their own.

use std::time::Duration;

use broker::Error;
use protocol::recall::RecallHandle;
use protocol::{name, properties as p, sysflag};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use store::Flush;

use crate::help::*;

#[test]
fn a_recall_in_the_millisecond_of_the_delivery_is_not_promised() {
    World::new().live(End::Clean, async |broker| {
        let due_ms = broker.now_ms() + 500;
        let pairs = [(p::TIMER_DELIVER_MS, &*due_ms.to_string()), (p::UNIQUE_KEY, "k")];
        let handle = send(broker, "T", &pairs, "a").await.unwrap().recall_handle.unwrap();
        sleep_ms((due_ms - broker.now_ms()) as u64).await;
        while broker.pending_timers() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(broker.now_ms(), due_ms);
        let host = "10.0.0.1:1".parse().unwrap();
        let late = broker.recall("T", &handle, host, host);
        assert!(matches!(late, Err(Error::Illegal(_))), "{late:?}");
    });
}

#[test]
fn timers_fire_in_order_and_never_early_nor_late() {
    World::new().live(End::Clean, async |broker| {
        let mut random = SmallRng::seed_from_u64(1);
        for i in 0..2000 {
            let due_ms = broker.now_ms() + random.random_range(1..30_000);
            send(broker, "T", &[(p::TIMER_DELIVER_MS, &due_ms.to_string())], &i.to_string()).await.unwrap();
        }
        sleep_ms(31_000).await;
        let found = consume(broker, "T").await;
        assert_eq!((found.len(), broker.pending_timers()), (2000, 0));
        let mut last = 0;
        for message in &found {
            let due: i64 = message.property(p::TIMER_OUT_MS).unwrap().parse().unwrap();
            assert_eq!(message.property(p::TIMER_DELIVER_MS), message.property(p::TIMER_OUT_MS));
            assert!((due..due + 20).contains(&message.stored_ms), "due {due}, stored {}", message.stored_ms);
            assert!(due >= last);
            last = due;
        }
    });
}

#[test]
fn a_delivered_message_is_the_one_that_was_sent() {
    World::new().live(End::Clean, async |broker| {
        let sent = [(p::TIMER_DELAY_SEC, "2"), (p::TIMER_DELAY_MS, "9"), (p::TAGS, "a"), (p::UNIQUE_KEY, "K")];
        let receipt = send(broker, "T", &sent, "x").await.unwrap();
        let due = (receipt.appended.store_timestamp_ms + 2000).to_string();
        assert!(receipt.recall_handle.is_some());
        assert_eq!(bodies(broker, name::TIMER_TOPIC).await, ["x"]);
        sleep_ms(2500).await;
        let found = consume(broker, "T").await.remove(0);
        let expected = [
            (p::TAGS, "a"),
            (p::UNIQUE_KEY, "K"),
            (p::TIMER_DELAY_SEC, "2"),
            (p::TIMER_OUT_MS, &due),
            (p::REAL_TOPIC, "T"),
            (p::REAL_QUEUE, "0"),
            (p::TIMER_ENQUEUE_MS, &receipt.appended.store_timestamp_ms.to_string()),
            (p::TIMER_DEQUEUE_MS, &due),
        ];
        for (name, value) in expected {
            assert_eq!(found.property(name), Some(value), "{name}");
        }
        assert_eq!(found.sys_flag & sysflag::TRANSACTION_MASK, 0);
        // The same time, in the order of sending.
        let at = (broker.now_ms() + 1000).to_string();
        for body in ["1", "2", "3"] {
            send(broker, "U", &[(p::TIMER_DELIVER_MS, &at)], body).await.unwrap();
        }
        sleep_ms(1500).await;
        assert_eq!(bodies(broker, "U").await, ["1", "2", "3"]);
    });
}

#[test]
fn what_is_no_timer_is_delivered_now_and_what_makes_no_sense_is_refused() {
    World::new().live(End::Clean, async |broker| {
        let past = (broker.now_ms() - 5).to_string();
        for wish in [(p::TIMER_DELIVER_MS, past.as_str()), (p::TIMER_DELAY_MS, "0"), (p::TIMER_DELAY_SEC, "-3")] {
            let receipt = send(broker, "T", &[wish], "now").await.unwrap();
            assert_eq!(receipt.recall_handle, None);
        }
        assert_eq!(bodies(broker, "T").await.len(), 3);
        // The time was worked out before, so this is a retry.
        send(broker, "T", &[(p::TIMER_DELAY_MS, "500"), (p::TIMER_OUT_MS, "7")], "again").await.unwrap();
        assert_eq!(bodies(broker, "T").await.len(), 4);
        // A level wins.
        send(broker, "L", &[(p::TIMER_DELAY_MS, "500"), (p::DELAY, "1")], "level").await.unwrap();
        sleep_ms(900).await;
        assert_eq!(bodies(broker, "L").await.len(), 0);
        sleep_ms(200).await;
        assert_eq!(consume(broker, "L").await[0].property(p::TIMER_DELAY_MS), None);

        let illegal = async |pairs: &[(&str, &str)]| match send(broker, "T", pairs, "x").await {
            Err(Error::MessageIllegal(_)) => {}
            other => panic!("{pairs:?}: {other:?}"),
        };
        illegal(&[(p::TIMER_DELAY_SEC, "soon")]).await;
        illegal(&[(p::TIMER_DELAY_SEC, "94608001")]).await;
        illegal(&[(p::TIMER_DELAY_SEC, "9223372036854775807")]).await;
        illegal(&[(p::TIMER_DELIVER_MS, &past), (p::TIMER_DELETE_UNIQUE_KEY, "K")]).await;
        assert!(matches!(send(broker, name::TIMER_TOPIC, &[], "x").await, Err(Error::ClosedTopic(_))));
        let mut config = broker.config().as_ref().clone();
        config.timer_enabled = false;
        broker.reconfigure(config);
        let off = send(broker, "T", &[(p::TIMER_DELAY_SEC, "5")], "x").await;
        assert!(matches!(off, Err(Error::Unsupported(_))));
        assert_eq!(broker.pending_timers(), 0);
    });
}

/// Timers sent in one life come out in another, at their time or at once.
#[track_caller]
fn survive(end: End, wait: Duration) {
    let mut world = World::new();
    let due_ms = START_MS + 600_000;
    world.live(end, async |broker| {
        for i in 0..50 {
            // Some of them are in the file of the table, some in the log only.
            let at = (due_ms + i64::from(i % 5)).to_string();
            send(broker, "T", &[(p::TIMER_DELIVER_MS, &at)], &i.to_string()).await.unwrap();
            sleep_ms(if i % 10 == 9 { 4000 } else { 0 }).await;
        }
        send(broker, "T", &[(p::TIMER_DELAY_MS, "100")], "early").await.unwrap();
        sleep_ms(200).await;
        assert_eq!(bodies(broker, "T").await, ["early"]);
    });
    world.pass(wait);
    world.live(end, async |broker| {
        assert_eq!(bodies(broker, "T").await, ["early"], "in the first moment");
        assert_eq!(broker.pending_timers(), 50);
        sleep_ms(100.max(due_ms - broker.now_ms() + 100) as u64).await;
        let found = consume(broker, "T").await;
        assert_eq!(found.len(), 51, "each once");
        assert!(found[1..].iter().all(|message| message.stored_ms >= due_ms));
        assert!(found[1..].is_sorted_by_key(|message| message.property(p::TIMER_OUT_MS).map(str::to_owned)));
    });
    world.live(End::Clean, async |broker| {
        sleep_ms(1000).await;
        assert_eq!((bodies(broker, "T").await.len(), broker.pending_timers()), (51, 0), "and never again");
    });
}

#[test]
fn timers_survive_restarts_and_crashes_and_overdue_ones_come_at_once() {
    for end in [End::Clean, End::Crash] {
        survive(end, Duration::ZERO);
        survive(end, Duration::from_secs(3600));
    }
}

#[test]
fn the_table_is_made_from_the_log_when_its_file_is_lost_or_damaged() {
    for damaged in [false, true] {
        let mut world = World::new();
        world.live(End::Clean, async |broker| {
            for delay in ["100", "60000"] {
                send(broker, "T", &[(p::TIMER_DELAY_MS, delay)], delay).await.unwrap();
            }
            sleep_ms(500).await;
        });
        let file = world.dir.path().join("config/dueTable");
        if damaged {
            std::fs::write(&file, b"RMQDUE01 is not all").unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        world.live(End::Clean, async |broker| {
            assert_eq!(broker.pending_timers(), 1);
            sleep_ms(60_000).await;
            assert_eq!(bodies(broker, "T").await, ["100", "60000"]);
        });
    }
}

#[test]
fn a_recalled_message_never_comes_also_after_a_crash() {
    let mut world = World::new();
    let host = "10.1.2.4:10911".parse().unwrap();
    let handle = world.live(End::Crash, async |broker| {
        let mut handles = Vec::new();
        for (key, delay) in [("A", "5000"), ("B", "5000"), ("C", "100"), ("D", "5000")] {
            let pairs = [(p::TIMER_DELAY_MS, delay), (p::UNIQUE_KEY, key)];
            handles.push(send(broker, "T", &pairs, key).await.unwrap().recall_handle.unwrap());
        }
        let recalled = broker.recall("T", &handles[0], host, host).unwrap();
        assert_eq!(recalled.unique_key, "A");
        let again = broker.recall("T", &handles[0], host, host).unwrap();
        assert_eq!((again.unique_key.as_str(), again.appended), ("A", None), "recalled before");
        broker.store().acknowledged().wait(recalled.appended.unwrap().end).await.unwrap();
        // The way of clients before there were handles.
        let at = consume(broker, name::TIMER_TOPIC).await[3].property(p::TIMER_OUT_MS).unwrap().to_owned();
        send(broker, "T", &[(p::TIMER_DELIVER_MS, &at), (p::TIMER_DELETE_UNIQUE_KEY, "T+D")], "-").await.unwrap();
        assert_eq!(broker.pending_timers(), 2);
        sleep_ms(200).await;

        let refused = |topic: &str, handle: &str| match broker.recall(topic, handle, host, host) {
            Err(Error::Illegal(_)) => {}
            other => panic!("{topic} {handle}: {other:?}"),
        };
        refused("T", "nonsense");
        refused("T", &handles[2]);
        send(broker, "U", &[], "x").await.unwrap();
        refused("U", &handles[1]);
        assert!(matches!(broker.recall("none", &handles[1], host, host), Err(Error::UnknownTopic(_))));
        let elsewhere = RecallHandle { broker_name: "another".into(), ..RecallHandle::decode(&handles[1]).unwrap() };
        refused("T", &elsewhere.encode());
        let mut config = broker.config().as_ref().clone();
        config.recall_enabled = false;
        broker.reconfigure(config);
        assert!(matches!(broker.recall("T", &handles[1], host, host), Err(Error::Forbidden { .. })));
        handles.remove(1)
    });
    world.live(End::Clean, async |broker| {
        sleep_ms(4000).await;
        assert_eq!(broker.pending_timers(), 1);
        let recalled = broker.recall("T", &handle, host, host).unwrap();
        assert!(recalled.appended.is_some());
        sleep_ms(2000).await;
        assert_eq!(bodies(broker, "T").await, ["C"]);
    });
}

#[test]
fn retention_does_not_eat_timers() {
    let mut world = World::new();
    world.options.flush = Flush::Sync;
    world.options.segment_bytes = 64 << 10;
    world.options.retention.max_bytes = Some(3 * (64 << 10));
    world.write_period = Duration::from_millis(20);
    let filler = "x".repeat(2000);
    let fill = async |broker: &broker::Broker| {
        let before = broker.store().log_range().0;
        for _ in 0..400 {
            send(broker, "F", &[], &filler).await.unwrap();
        }
        sleep_ms(10_000).await;
        broker.store().checkpoint(None).unwrap();
        broker.store().sweep().unwrap();
        sleep_ms(6_000).await;
        assert!(broker.store().log_range().0 > before, "the log moves on");
        assert!(broker.store().usage().unwrap().segments <= 4);
    };
    let day = (START_MS + 86_400_000).to_string();
    for end in [End::Crash, End::Clean] {
        world.live(end, async |broker| {
            for i in 0..20 {
                let key = format!("{end:?}{i}");
                send(broker, "T", &[(p::TIMER_DELIVER_MS, &day), (p::UNIQUE_KEY, &key)], &key).await.unwrap();
            }
            fill(broker).await;
            fill(broker).await;
        });
    }
    world.pass(Duration::from_secs(86_400));
    world.live(End::Clean, async |broker| {
        sleep_ms(1000).await;
        let mut found = bodies(broker, "T").await;
        found.sort_unstable();
        found.dedup();
        assert_eq!((found.len(), broker.pending_timers()), (40, 0));
        let found = consume(broker, "T").await;
        assert_eq!(found.len(), 40, "each once");
        assert!(found[0].property(p::TIMER_ROLL_TIMES).is_some());
    });
}

#[test]
#[ignore = "a figure, for an optimised build"]
fn a_hundred_thousand_timers_of_one_second_come_out_in_one() {
    World::new().live(End::Clean, async |broker| {
        let at = broker.now_ms() + 10_000;
        let body = "x".repeat(1000);
        for i in 0..100_000 {
            let text = properties(&[(p::TIMER_DELIVER_MS, &(at + i % 1000).to_string())]);
            loop {
                match broker.send(&message("T", &text, &body)) {
                    Ok(_) => break,
                    Err(Error::Store(store::Error::Busy { .. })) => sleep_ms(1).await,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        sleep_ms((at - broker.now_ms()) as u64 - 10).await;
        assert_eq!(broker.pending_timers(), 100_000);
        let begun = std::time::Instant::now();
        sleep_ms(1100).await;
        println!("{} left after {:?} of work", broker.pending_timers(), begun.elapsed());
        assert_eq!(broker.pending_timers(), 0);
    });
}
