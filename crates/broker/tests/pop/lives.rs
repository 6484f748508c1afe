//! Messages in flight through restarts and crashes.

use crate::help::*;
use crate::popping::*;

#[test]
fn nothing_in_flight_comes_early_after_a_restart_and_nothing_acked_comes_at_all() {
    let mut world = World::new();
    let messages = world.live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        let messages = take(broker, "T", "G").await;
        ack(broker, "T", "G", &messages[0].receipt).unwrap();
        messages
    });
    world.live(End::Clean, async |broker| {
        assert_eq!(broker.invisible_messages(), 2);
        assert!(is_empty(broker, "T", "G").await);
        ack(broker, "T", "G", &messages[1].receipt).unwrap();
    });
    world.live(End::Clean, async |broker| {
        let left_ms = messages[2].receipt.visible_ms() - broker.now_ms();
        sleep_ms(left_ms as u64 - 2).await;
        assert!(is_empty(broker, "T", "G").await);
        sleep_ms(20).await;
        assert_eq!(texts(&take(broker, "T", "G").await), ["c"]);
    });
}

#[test]
fn a_crash_gives_back_the_last_moment_only() {
    let mut world = World::new();
    world.live(End::Crash, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["saved", "acked", "b"]).await;
        let one = broker::PopRequest { max_messages: 2, ..request("T", "G") };
        let messages = pop(broker, &one).await.messages;
        assert_eq!(texts(&messages), ["acked", "saved"]);
        let acked = messages.iter().find(|message| body(message) == "acked").unwrap();
        sleep_ms(1000).await;
        ack(broker, "T", "G", &acked.receipt).unwrap();
        sleep_ms(2000).await;
        // Not in the log when the broker dies.
        assert_eq!(texts(&take(broker, "T", "G").await), ["b"]);
    });
    world.live(End::Clean, async |broker| {
        assert_eq!(texts(&take(broker, "T", "G").await), ["b"]);
        sleep_ms(INVISIBLE_MS + 100).await;
        assert_eq!(texts(&take(broker, "T", "G").await), ["b", "saved"]);
    });
}

#[test]
fn a_crash_right_after_a_short_invisible_time_makes_no_second_copy() {
    let mut world = World::new();
    world.config.offset_interval = std::time::Duration::from_secs(10);
    world.live(End::Crash, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a"]).await;
        // The first snapshot is over.
        sleep_ms(1000).await;
        let messages = take(broker, "T", "G").await;
        change(broker, "T", "G", &messages[0].receipt, 0, false).unwrap();
        // It is stored again before the group's place would have been saved.
        sleep_ms(100).await;
        assert_eq!(broker.invisible_messages(), 0);
    });
    world.live(End::Clean, async |broker| {
        let messages = take(broker, "T", "G").await;
        assert_eq!(texts(&messages), ["a"]);
        ack(broker, "T", "G", &messages[0].receipt).unwrap();
        sleep_ms(INVISIBLE_MS).await;
        assert!(is_empty(broker, "T", "G").await);
    });
}

#[test]
fn snapshots_at_any_moment_lose_nothing() {
    let mut world = World::new();
    world.config.snapshot_interval = std::time::Duration::from_millis(7);
    world.config.offset_interval = std::time::Duration::from_millis(50);
    let mut lost = std::collections::BTreeSet::new();
    for life in 0..12u64 {
        let sent: Vec<String> = (0..40).map(|i| format!("{life}.{i}")).collect();
        let acked = world.live(End::Crash, async |broker| {
            topic(broker, "T", 1);
            for body in &sent {
                broker.send(&message("T", "", body)).unwrap();
            }
            sleep_ms(30).await;
            let mut acked = Vec::new();
            for step in 0..4 {
                let some = broker::PopRequest { max_messages: 9, ..request("T", "G") };
                for (at, message) in pop(broker, &some).await.messages.iter().enumerate() {
                    if at % 2 == 0 {
                        ack(broker, "T", "G", &message.receipt).unwrap();
                        acked.push(body(message));
                    }
                }
                sleep_ms((life * 13 + step * 5) % 60).await;
            }
            acked
        });
        lost.extend(sent);
        for body in &acked {
            lost.remove(body);
        }
    }
    world.live(End::Clean, async |broker| {
        for _ in 0..40 {
            for message in pop(broker, &request("T", "G")).await.messages {
                lost.remove(&body(&message));
                ack(broker, "T", "G", &message.receipt).unwrap();
            }
            sleep_ms(500).await;
        }
        assert!(lost.is_empty(), "{lost:?}");
    });
}

#[test]
fn the_table_is_made_from_the_log_alone_when_its_file_is_gone() {
    let mut world = World::new();
    world.live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b"]).await;
        let messages = take(broker, "T", "G").await;
        sleep_ms(500).await;
        ack(broker, "T", "G", &messages[0].receipt).unwrap();
    });
    std::fs::remove_file(world.dir.path().join("config/dueTable")).unwrap();
    world.live(End::Clean, async |broker| {
        assert_eq!(broker.invisible_messages(), 1);
        sleep_ms(INVISIBLE_MS + 10).await;
        assert_eq!(texts(&take(broker, "T", "G").await), ["b"]);
    });
}

#[test]
fn what_was_popped_and_acked_at_once_leaves_only_an_offset() {
    let mut world = World::new();
    world.config.offset_interval = std::time::Duration::from_secs(1);
    world.live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        (0..320).for_each(|_| drop(broker.send(&message("T", "", "x")).unwrap()));
        sleep_ms(1500).await;
        let before = broker.store().appended().0;
        for _ in 0..10 {
            for message in take(broker, "T", "G").await {
                ack(broker, "T", "G", &message.receipt).unwrap();
            }
        }
        sleep_ms(1500).await;
        let bytes = broker.store().appended().0 - before;
        assert!(bytes < 1000, "{bytes} bytes of log");
        assert_eq!(broker.offsets().get("T", "G", 0), Some(320));
    });
}
