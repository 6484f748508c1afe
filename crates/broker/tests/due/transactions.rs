//! Half messages, decisions, checks.

use std::time::Duration;

use broker::{Broker, ConnectionId, EndTransaction, Error, Receipt};
use protocol::record::RecordView;
use protocol::{name, properties as p, sysflag};
use store::QueueOffset;

use crate::help::*;

async fn send_half(broker: &Broker, body: &str, more: &[(&str, &str)]) -> Receipt {
    let mut pairs = vec![(p::TRANSACTION_PREPARED, "true"), (p::PRODUCER_GROUP, "G"), (p::UNIQUE_KEY, body)];
    pairs.extend(more);
    send(broker, "T", &pairs, body).await.unwrap()
}

fn end(receipt: &Receipt, commit: bool) -> EndTransaction<'static> {
    EndTransaction {
        producer_group: "G",
        queue_offset: receipt.appended.queue_offset.0 as i64,
        log_offset: receipt.appended.log_offset.0 as i64,
        commit,
        from_check: false,
    }
}

#[test]
fn a_commit_whose_op_record_a_crash_took_is_not_delivered_again() {
    let mut world = World::new();
    let (half, cut) = world.live(End::Crash, async |broker| {
        // The first snapshot is over.
        sleep_ms(1000).await;
        let half = send_half(broker, "first", &[]).await;
        let op = broker.end_transaction(&end(&half, true)).await.unwrap();
        broker.store().acknowledged().wait(op.end).await.unwrap();
        (half, op.log_offset.0)
    });
    let log = world.dir.path().join("commitlog/00000000000000000000");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[cut as usize..].fill(0);
    std::fs::write(&log, bytes).unwrap();
    for _ in 0..2 {
        world.live(End::Crash, async |broker| {
            heartbeat(broker, 1, "G");
            let again = broker.end_transaction(&end(&half, true)).await;
            assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
            let checks = tokio::time::timeout(Duration::from_secs(60), broker.due_checks()).await;
            assert!(checks.is_err(), "nothing is left to ask about: {checks:?}");
            assert_eq!(broker.open_transactions(), 0);
            assert_eq!(bodies(broker, "T").await, ["first"]);
        });
    }
}

#[test]
fn a_half_is_seen_when_it_is_committed_and_never_when_it_is_rolled_back() {
    let mut world = World::new();
    let open = world.live(End::Crash, async |broker| {
        let delays = [(p::DELAY, "3"), (p::TIMER_DELAY_SEC, "9"), (p::TAGS, "tag")];
        let first = send_half(broker, "first", &delays).await;
        let second = send_half(broker, "second", &[]).await;
        let third = send_half(broker, "third", &[]).await;
        assert_eq!(bodies(broker, "T").await.len(), 0);
        assert_eq!(bodies(broker, name::HALF_TOPIC).await, ["first", "second", "third"]);
        assert_eq!(consume(broker, name::HALF_TOPIC).await[0].sys_flag & sysflag::TRANSACTION_MASK, 0);

        let ended = broker.end_transaction(&end(&first, true)).await.unwrap();
        broker.store().acknowledged().wait(ended.end).await.unwrap();
        let ended = broker.end_transaction(&end(&second, false)).await.unwrap();
        broker.store().acknowledged().wait(ended.end).await.unwrap();
        for receipt in [&first, &second] {
            for commit in [true, false] {
                let again = broker.end_transaction(&end(receipt, commit)).await;
                assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
            }
        }
        assert_eq!(broker.open_transactions(), 1);
        let found = consume(broker, "T").await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].body, "first");
        assert_eq!(found[0].sys_flag & sysflag::TRANSACTION_MASK, sysflag::TRANSACTION_COMMIT);
        assert_eq!(found[0].prepared_at, first.appended.log_offset.0 as i64);
        let expected = [
            (p::TRANSACTION_ID, Some("first")),
            (p::REAL_TOPIC, Some("T")),
            (p::REAL_QUEUE, Some("0")),
            (p::TRANSACTION_PREPARED, Some("true")),
            (p::PRODUCER_GROUP, Some("G")),
            (p::TAGS, Some("tag")),
            (p::DELAY, None),
            (p::TIMER_DELAY_SEC, None),
        ];
        for (name, value) in expected {
            assert_eq!(found[0].property(name), value, "{name}");
        }
        let ops = consume(broker, name::OP_HALF_TOPIC).await;
        assert_eq!(ops.iter().map(|op| op.body.as_str()).collect::<Vec<_>>(), ["0,", "1,"]);
        assert_eq!(ops[0].property(p::TAGS), Some("d"));
        third
    });
    world.live(End::Clean, async |broker| {
        assert_eq!(broker.open_transactions(), 1);
        broker.end_transaction(&end(&open, true)).await.unwrap();
        sleep_ms(10).await;
        assert_eq!(bodies(broker, "T").await, ["first", "third"]);
    });
}

#[test]
fn decisions_are_checked_as_java_checks_them() {
    World::new().live(End::Clean, async |broker| {
        let half = send_half(broker, "half", &[(p::CHECK_IMMUNITY_SECONDS, "60")]).await;
        let plain = send(broker, "T", &[], "plain").await.unwrap();
        let good = end(&half, true);
        let refused = async |end: EndTransaction<'_>, text: &str| match broker.end_transaction(&end).await {
            Err(error) => assert!(error.to_string().contains(text), "{error}, not {text}"),
            Ok(_) => panic!("{text}"),
        };
        let missing = "Find prepared transaction message failed";
        refused(EndTransaction { log_offset: -1, ..good.clone() }, missing).await;
        refused(EndTransaction { log_offset: good.log_offset + 1, ..good.clone() }, missing).await;
        refused(end(&plain, true), missing).await;
        refused(EndTransaction { producer_group: "H", ..good.clone() }, "The producer group wrong").await;
        refused(EndTransaction { queue_offset: 9, ..good.clone() }, "The transaction state table offset wrong").await;
        sleep_ms(61_000).await;
        let late = broker.end_transaction(&good).await;
        assert!(matches!(late, Err(Error::Illegal(_))), "{late:?}");
        broker.end_transaction(&EndTransaction { from_check: true, ..good }).await.unwrap();
        let mut config = broker.config().as_ref().clone();
        config.reject_transactions = true;
        broker.reconfigure(config);
        let refused = send(broker, "T", &[(p::TRANSACTION_PREPARED, "true")], "x").await;
        assert!(matches!(refused, Err(Error::Forbidden { .. })));
    });
}

#[test]
fn undecided_halves_are_checked_in_turn_and_set_aside_in_the_end() {
    let mut world = World::new();
    world.config.transaction_checks_max = 3;
    world.write_period = Duration::from_millis(20);
    let sent_ms = world.live(End::Crash, async |broker| {
        heartbeat(broker, 1, "G");
        heartbeat(broker, 2, "G");
        heartbeat(broker, 3, "H");
        let half = send_half(broker, "half", &[]).await;
        let sent_ms = half.appended.store_timestamp_ms;
        let mut asked = Vec::new();
        for after in [6_000, 36_000] {
            let checks = broker.due_checks().await;
            assert_eq!(checks.len(), 1);
            let check = &checks[0];
            assert!((after..after + 50).contains(&(broker.now_ms() - sent_ms)), "{}", broker.now_ms() - sent_ms);
            asked.push(check.connection.0);
            assert_eq!((check.group.as_str(), check.unique_key.as_str()), ("G", "half"));
            assert_eq!((check.queue_offset, check.log_offset), (0, half.appended.log_offset.0));
            assert_eq!(protocol::id::parse_offset_id(&check.offset_message_id).unwrap().1, check.log_offset);
            let record = RecordView::parse(&check.record).unwrap();
            assert_eq!((record.topic(), record.queue_id(), record.body()), ("T", 0, &b"half"[..]));
            assert_eq!(record.log_offset(), check.log_offset);
        }
        asked.sort_unstable();
        assert_eq!(asked, [1, 2], "both members of the group, one after the other");
        sleep_ms(5).await;
        sent_ms
    });
    world.live(End::Clean, async |broker| {
        // Nobody of the group is there: time passes, and does not count.
        let nobody = tokio::time::timeout(Duration::from_secs(300), broker.due_checks()).await;
        assert!(nobody.is_err());
        heartbeat(broker, 7, "G");
        let checks = broker.due_checks().await;
        assert_eq!(checks[0].connection, ConnectionId(7));
        assert!(broker.now_ms() - sent_ms > 336_000);
        // That was the third; the half leaves with the fourth.
        let nothing = tokio::time::timeout(Duration::from_secs(60), broker.due_checks()).await;
        assert!(nothing.is_err());
        let aside = consume(broker, name::CHECK_MAX_TIME_TOPIC).await;
        assert_eq!((aside.len(), aside[0].body.as_str(), aside[0].property(p::REAL_TOPIC)), (1, "half", Some("T")));
        assert_eq!(broker.open_transactions(), 0);
        assert_eq!(bodies(broker, "T").await.len(), 0);
    });
    world.live(End::Clean, async |broker| assert_eq!(broker.open_transactions(), 0));
}

#[test]
fn a_half_says_itself_when_it_may_be_checked_first() {
    World::new().live(End::Clean, async |broker| {
        heartbeat(broker, 1, "G");
        let half = send_half(broker, "half", &[(p::CHECK_IMMUNITY_SECONDS, "100")]).await;
        assert_eq!(broker.due_checks().await.len(), 1);
        let waited = broker.now_ms() - half.appended.store_timestamp_ms;
        assert!((100_000..100_020).contains(&waited), "{waited}");
    });
}

#[test]
fn a_half_that_was_set_aside_is_asked_about_again_and_decided_once() {
    let mut world = World::new();
    world.config.transaction_checks_max = 1;
    let (plain, aside) = world.live(End::Crash, async |broker| {
        heartbeat(broker, 1, "G");
        let plain = send(broker, "T", &[], "plain").await.unwrap().appended.log_offset.0 as i64;
        let half = send_half(broker, "half", &[(p::TAGS, "tag")]).await;
        assert_eq!(broker.due_checks().await.len(), 1);
        // It waits still: its checks count from the beginning, and there is no second half.
        broker.resume_checks(half.appended.log_offset.0 as i64).await.unwrap();
        assert_eq!(broker.due_checks().await.len(), 1);
        assert_eq!(broker.store().queues_of(name::HALF_TOPIC)[0].next_offset().0, 1);
        let nothing = tokio::time::timeout(Duration::from_secs(60), broker.due_checks()).await;
        assert!(nothing.is_err(), "it is set aside");
        let queue = broker.store().queue(name::CHECK_MAX_TIME_TOPIC, 0);
        let aside = broker.store().entries(&queue, QueueOffset(0), 1).await.unwrap()[0].log_offset.0 as i64;
        let end = broker.resume_checks(aside).await.unwrap();
        broker.store().acknowledged().wait(end).await.unwrap();
        (plain, aside)
    });
    world.live(End::Clean, async |broker| {
        heartbeat(broker, 1, "G");
        let found = consume(broker, name::HALF_TOPIC).await;
        assert_eq!((found.len(), found[1].property(p::TRANSACTION_CHECK_TIMES)), (2, Some("0")));
        assert_eq!((found[1].property(p::REAL_TOPIC), found[1].property(p::TAGS)), (Some("T"), Some("tag")));
        for (offset, text) in [(aside, "resumed before"), (plain, "no half message"), (plain + 1, "can not find")] {
            let refused = broker.resume_checks(offset).await.unwrap_err().to_string();
            assert!(refused.contains(text), "{refused}, not {text}");
        }
        let check = broker.due_checks().await.remove(0);
        let (queue_offset, log_offset) = (check.queue_offset as i64, check.log_offset as i64);
        assert_eq!((check.unique_key.as_str(), queue_offset), ("half", 1));
        let end = EndTransaction { producer_group: "G", queue_offset, log_offset, commit: true, from_check: true };
        broker.end_transaction(&end).await.unwrap();
        sleep_ms(10).await;
        assert_eq!(bodies(broker, "T").await, ["plain", "half"]);
        let decided = broker.resume_checks(log_offset).await.unwrap_err();
        assert!(decided.to_string().contains("decided before"), "{decided}");
        assert_eq!(broker.open_transactions(), 0);
    });
}
