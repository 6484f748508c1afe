//! Ordered pops.

use std::time::Duration;

use broker::{Error, PopRequest, PoppedMessage};
use protocol::properties::SHARDING_KEY;

use crate::help::*;
use crate::popping::*;

fn ordered<'a>(max_messages: i32, attempt_id: Option<&'a str>) -> PopRequest<'a> {
    PopRequest { order: true, max_messages, attempt_id, ..request("T", "G") }
}

fn in_order(messages: &[PoppedMessage]) -> Vec<String> {
    messages.iter().map(body).collect()
}

#[test]
fn nothing_more_of_a_queue_before_the_last_batch_is_acked() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c", "d"]).await;
        let first = pop(broker, &ordered(2, None)).await;
        assert_eq!(in_order(&first.messages), ["a", "b"]);
        assert_eq!(first.revive_queue, 999);
        assert!(pop(broker, &ordered(2, None)).await.messages.is_empty());
        ack(broker, "T", "G", &first.messages[1].receipt).unwrap();
        assert_eq!(broker.offsets().get("T", "G", 0), Some(0));
        assert!(pop(broker, &ordered(2, None)).await.messages.is_empty());
        ack(broker, "T", "G", &first.messages[0].receipt).unwrap();
        assert_eq!(broker.offsets().get("T", "G", 0), Some(2));
        assert_eq!(in_order(&pop(broker, &ordered(2, None)).await.messages), ["c", "d"]);
        ack(broker, "T", "G", &first.messages[0].receipt).unwrap();
    });
}

#[test]
fn what_is_not_acked_comes_again_in_its_place_and_is_counted() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c", "d"]).await;
        let first = pop(broker, &ordered(3, None)).await.messages;
        ack(broker, "T", "G", &first[1].receipt).unwrap();
        sleep_ms(INVISIBLE_MS - 1).await;
        assert!(pop(broker, &ordered(3, None)).await.messages.is_empty());
        sleep_ms(1).await;
        let again = pop(broker, &ordered(4, None)).await.messages;
        assert_eq!(in_order(&again), ["a", "b", "c", "d"], "b was acked, but a before it was not");
        assert_eq!(again.iter().map(|message| message.deliveries).collect::<Vec<_>>(), [1, 1, 1, 0]);
        // The first pop is over.
        ack(broker, "T", "G", &first[0].receipt).unwrap();
        assert_eq!(broker.offsets().get("T", "G", 0), Some(0));
        let strange = protocol::receipt::Receipt { queue_offset: 1, ..again[0].receipt.clone() };
        assert!(ack(broker, "T", "G", &strange).is_ok());
        let strange = protocol::receipt::Receipt { queue_offset: 4, ..again[0].receipt.clone() };
        assert!(matches!(ack(broker, "T", "G", &strange), Err(Error::MessageIllegal(_))));
        again.iter().for_each(|message| ack(broker, "T", "G", &message.receipt).unwrap());
        assert_eq!(broker.offsets().get("T", "G", 0), Some(4));
        assert!(broker.topics().get("%RETRY%G_T").is_none());
    });
}

#[test]
fn what_was_acked_comes_again_behind_an_open_message_of_its_group() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        for (group, body) in [("x", "x1"), ("y", "y1"), ("x", "x2"), ("y", "y2")] {
            send(broker, "T", &[(SHARDING_KEY, group)], body).await.unwrap();
        }
        let first = pop(broker, &ordered(3, None)).await.messages;
        assert_eq!(in_order(&first), ["x1", "y1", "x2"]);
        first[1..].iter().for_each(|message| ack(broker, "T", "G", &message.receipt).unwrap());
        sleep_ms(INVISIBLE_MS).await;
        let again = pop(broker, &ordered(4, None)).await.messages;
        assert_eq!(in_order(&again), ["x1", "x2", "y2"]);
        assert_eq!(again.iter().map(|message| message.deliveries).collect::<Vec<_>>(), [1, 1, 0]);
        ack(broker, "T", "G", &again[0].receipt).unwrap();
        assert_eq!(broker.offsets().get("T", "G", 0), Some(2));
        again[1..].iter().for_each(|message| ack(broker, "T", "G", &message.receipt).unwrap());
        assert_eq!(broker.offsets().get("T", "G", 0), Some(4));
    });
}

#[test]
fn the_same_attempt_is_given_the_same_again() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b"]).await;
        let first = pop(broker, &ordered(2, Some("x"))).await.messages;
        sleep_ms(5).await;
        assert!(pop(broker, &ordered(2, Some("y"))).await.messages.is_empty());
        let again = pop(broker, &ordered(2, Some("x"))).await.messages;
        assert_eq!(in_order(&again), ["a", "b"]);
        assert_eq!(again[0].deliveries, 0);
        ack(broker, "T", "G", &first[0].receipt).unwrap();
        assert_eq!(broker.offsets().get("T", "G", 0), Some(0), "the first answer is void");
        again.iter().for_each(|message| ack(broker, "T", "G", &message.receipt).unwrap());
        assert_eq!(broker.offsets().get("T", "G", 0), Some(2));
    });
}

#[test]
fn the_invisible_time_of_one_blocks_or_frees_the_queue() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b"]).await;
        let first = pop(broker, &ordered(1, None)).await.messages;
        sleep_ms(1000).await;
        let changed = change(broker, "T", "G", &first[0].receipt, 30_000, true).unwrap();
        assert_eq!((changed.pop_ms, changed.invisible_ms), (first[0].receipt.pop_ms, 31_000));
        sleep_ms(29_999).await;
        assert!(pop(broker, &ordered(1, None)).await.messages.is_empty());
        change(broker, "T", "G", &changed, 0, false).unwrap();
        let again = pop(broker, &ordered(1, None)).await.messages;
        assert_eq!((in_order(&again), again[0].deliveries), (vec!["a".into()], 1));
    });
}

#[test]
fn who_waits_hears_when_a_queue_is_free() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        let begin = || {
            let broker = broker.clone();
            tokio::spawn(async move {
                let wanted = PopRequest { wait: Duration::from_secs(60), ..ordered(1, None) };
                let popped = pop(&broker, &wanted).await.messages;
                (popped, broker.now_ms())
            })
        };
        let first = pop(broker, &ordered(1, None)).await.messages;
        let waiting = begin();
        sleep_ms(500).await;
        ack(broker, "T", "G", &first[0].receipt).unwrap();
        let (second, at_ms) = waiting.await.unwrap();
        assert_eq!((body(&second[0]), at_ms), ("b".into(), broker.now_ms()));
        // By the end of the invisible time.
        let (third, at_ms) = begin().await.unwrap();
        assert_eq!((body(&third[0]), at_ms - second[0].receipt.visible_ms() < 50), ("b".into(), true));
        // By a change of it.
        let waiting = begin();
        sleep_ms(100).await;
        let changed_ms = broker.now_ms() + 300;
        change(broker, "T", "G", &third[0].receipt, 300, false).unwrap();
        let (fourth, at_ms) = waiting.await.unwrap();
        assert_eq!((body(&fourth[0]), (0..50).contains(&(at_ms - changed_ms))), ("b".into(), true));
    });
}

#[test]
fn order_survives_a_restart_and_a_crash() {
    let mut world = World::new();
    let first = world.live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        let first = pop(broker, &ordered(2, Some("x"))).await.messages;
        ack(broker, "T", "G", &first[1].receipt).unwrap();
        first
    });
    world.live(End::Crash, async |broker| {
        assert!(pop(broker, &ordered(2, None)).await.messages.is_empty());
        sleep_ms(INVISIBLE_MS + 10).await;
        let again = pop(broker, &ordered(2, Some("y"))).await.messages;
        assert_eq!((in_order(&again), again[0].deliveries), (vec!["a".into(), "b".into()], 1));
        ack(broker, "T", "G", &again[1].receipt).unwrap();
        ack(broker, "T", "G", &first[0].receipt).unwrap();
        // Saved a few times a second, and written.
        sleep_ms(2000).await;
    });
    world.live(End::Clean, async |broker| {
        assert!(pop(broker, &ordered(2, Some("z"))).await.messages.is_empty());
        let again = pop(broker, &ordered(2, Some("y"))).await.messages;
        assert_eq!((in_order(&again), again[0].deliveries), (vec!["a".into(), "b".into()], 1));
        again.iter().for_each(|message| ack(broker, "T", "G", &message.receipt).unwrap());
        assert_eq!(in_order(&pop(broker, &ordered(2, None)).await.messages), ["c"]);
    });
}
