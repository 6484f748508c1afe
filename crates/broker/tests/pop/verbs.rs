//! What pop, ack and change do.

use std::time::Duration;

use broker::{Error, FilterText, PopFrom, PopStatus};
use protocol::body::{GroupConfig, TopicConfig};
use protocol::properties as p;
use protocol::receipt::Retry;

use crate::help::*;
use crate::popping::*;

#[test]
fn a_message_comes_again_exactly_at_the_end_of_its_invisible_time() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send(broker, "T", &[("k", "v"), (p::TAGS, "t")], "a").await.unwrap();
        let popped = pop(broker, &request("T", "G")).await;
        assert_eq!((popped.status, popped.rest, popped.invisible_ms), (PopStatus::Found, 0, INVISIBLE_MS as i64));
        let first = &popped.messages[0];
        assert_eq!((first.deliveries, first.receipt.retry), (0, Retry::None));
        assert_eq!(first.receipt.to_string(), format!("0 {} 10000 0 0 broker-a 0 0", popped.pop_ms));
        assert!(is_empty(broker, "T", "G").await);
        assert_eq!(take(broker, "T", "H").await.len(), 1, "another group has its own");

        sleep_ms(INVISIBLE_MS - 1).await;
        assert!(is_empty(broker, "T", "G").await);
        sleep_ms(10).await;
        let again = take(broker, "T", "G").await;
        let (record, receipt) = (view(&again[0]), &again[0].receipt);
        assert_eq!((record.topic(), record.body(), record.reconsume_times()), ("T", &b"a"[..], 1));
        assert_eq!((receipt.retry, again[0].deliveries), (Retry::V1, 1));
        assert_eq!(record.property(p::POP_CK), Some(&*receipt.to_string()));
        assert_eq!(record.property(p::FIRST_POP_TIME), Some(&*popped.pop_ms.to_string()));
        assert_eq!(record.property(p::ORIGIN_GROUP), Some("G"));
        assert_eq!((record.property("k"), record.property(p::TAGS)), (Some("v"), Some("t")));
        assert_eq!(record.born_host(), record.store_host(), "as Java's");
        assert!(record.store_timestamp() - first.receipt.visible_ms() <= 5);

        sleep_ms(INVISIBLE_MS + 10).await;
        let third = take(broker, "T", "G").await;
        assert_eq!(third[0].deliveries, 2);
        assert_eq!(view(&third[0]).property(p::FIRST_POP_TIME), Some(&*popped.pop_ms.to_string()));
        ack(broker, "T", "G", &third[0].receipt).unwrap();
        sleep_ms(3 * INVISIBLE_MS).await;
        assert!(is_empty(broker, "T", "G").await);
        assert_eq!(broker.topics().get("%RETRY%G_T").unwrap().config().read_queue_nums, 1);
    });
}

#[test]
fn what_is_in_flight_is_told_by_topic_and_group() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        let messages = take(broker, "T", "G").await;
        take(broker, "T", "H").await;
        ack(broker, "T", "G", &messages[1].receipt).unwrap();
        let in_flight = broker.in_flight();
        assert_eq!(in_flight, [("T".to_owned(), "G".to_owned(), 2), ("T".to_owned(), "H".to_owned(), 3)]);
    });
}

#[test]
fn an_ack_may_come_twice_and_a_stale_receipt_does_nothing() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        let messages = take(broker, "T", "G").await;
        assert_eq!(texts(&messages), ["a", "b", "c"]);
        ack(broker, "T", "G", &messages[1].receipt).unwrap();
        ack(broker, "T", "G", &messages[1].receipt).unwrap();
        assert_eq!(broker.invisible_messages(), 2);
        sleep_ms(INVISIBLE_MS + 10).await;
        let again = take(broker, "T", "G").await;
        assert_eq!(texts(&again), ["a", "c"]);
        // The first receipts are stale now.
        ack(broker, "T", "G", &messages[0].receipt).unwrap();
        assert_eq!(broker.invisible_messages(), 2);
        let never = change(broker, "T", "G", &messages[0].receipt, 1, false).unwrap();
        assert_eq!(broker.invisible_messages(), 2, "nothing comes of it");
        ack(broker, "T", "G", &never).unwrap();
        // By the retry topic's own name, too.
        ack(broker, "%RETRY%G_T", "G", &again[0].receipt).unwrap();
        ack(broker, "T", "G", &again[1].receipt).unwrap();
        assert_eq!(broker.invisible_messages(), 0);
        sleep_ms(3 * INVISIBLE_MS).await;
        assert!(is_empty(broker, "T", "G").await);
    });
}

#[test]
fn the_invisible_time_is_made_longer_and_shorter() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["long", "short", "suspended"]).await;
        let messages = take(broker, "T", "G").await;
        sleep_ms(1000).await;
        let long = change(broker, "T", "G", &messages[0].receipt, 60_000, false).unwrap();
        assert_eq!((long.pop_ms, long.invisible_ms), (broker.now_ms(), 60_000));
        change(broker, "T", "G", &messages[1].receipt, 500, false).unwrap();
        change(broker, "T", "G", &messages[2].receipt, 0, true).unwrap();
        sleep_ms(5).await;
        let suspended = take(broker, "T", "G").await;
        assert_eq!((texts(&suspended), suspended[0].deliveries), (vec!["suspended".into()], 0));
        sleep_ms(490).await;
        assert!(is_empty(broker, "T", "G").await);
        sleep_ms(10).await;
        let short = take(broker, "T", "G").await;
        assert_eq!((texts(&short), short[0].deliveries), (vec!["short".into()], 1));
        ack(broker, "T", "G", &short[0].receipt).unwrap();
        ack(broker, "T", "G", &suspended[0].receipt).unwrap();
        // The old receipt is dead, the new one acks.
        ack(broker, "T", "G", &messages[0].receipt).unwrap();
        assert_eq!(broker.invisible_messages(), 1);
        ack(broker, "T", "G", &long).unwrap();
        assert_eq!(broker.invisible_messages(), 0);
    });
}

#[test]
fn refusals_are_those_of_java_in_its_order() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 2);
        broker.topics().put(TopicConfig { perm: 2, ..TopicConfig::new("W", 1) }).unwrap();
        let closed = GroupConfig { group_name: "closed".into(), consume_enable: false, ..GroupConfig::default() };
        broker.groups().put(closed).unwrap();
        let refused = |request| broker.begin_pop(&request).err().unwrap();
        let base = || request("T", "G");
        assert!(matches!(
            refused(broker::PopRequest { max_messages: 33, ..request("none", "G") }),
            Error::Parameter(_)
        ));
        assert!(matches!(refused(broker::PopRequest { max_messages: 0, ..base() }), Error::Parameter(_)));
        assert!(matches!(refused(request("none", "G")), Error::UnknownTopic(_)));
        assert!(matches!(refused(request("W", "G")), Error::Forbidden { .. }));
        assert!(matches!(refused(broker::PopRequest { queue_id: 2, ..base() }), Error::Parameter(_)));
        assert!(matches!(refused(request("T", "closed")), Error::Forbidden { .. }));
        let filter = Some(FilterText { kind: Some("SQL92"), expression: "a >" });
        assert!(matches!(refused(broker::PopRequest { filter, ..base() }), Error::Filter(_)));

        send_all(broker, "T", &["a"]).await;
        let receipt = take(broker, "T", "G").await.remove(0).receipt;
        let ack = |topic: &str, queue_id, queue_offset| {
            broker.ack(&broker::Ack { topic, group: "G", queue_id, queue_offset, receipt: &receipt })
        };
        assert!(matches!(ack("none", 0, 0), Err(Error::UnknownTopic(_))));
        assert!(matches!(ack("T", 2, 0), Err(Error::MessageIllegal(_))));
        assert!(matches!(ack("T", -1, 0), Err(Error::MessageIllegal(_))));
        assert!(matches!(ack("T", 0, 2), Err(Error::NoMessage(_))));
        assert!(matches!(ack("T", 0, -1), Err(Error::NoMessage(_))));
        assert!(ack("T", 0, 1).is_ok(), "one behind the last");
        let behind = protocol::receipt::Receipt { queue_offset: 1, ..receipt.clone() };
        assert!(matches!(change(broker, "T", "G", &behind, 1, false), Err(Error::NoMessage(_))));
        assert!(ack("T", 0, 0).is_ok());
    });
}

#[test]
fn filters_choose_and_what_does_not_match_is_passed_over() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        for i in 0..2000 {
            let (tag, number) = (if i % 1000 == 999 { "yes" } else { "no" }, i.to_string());
            broker.send(&message("T", &properties(&[(p::TAGS, tag), ("n", &number)]), &number)).unwrap();
        }
        sleep_ms(50).await;
        let filter = |kind, expression| Some(FilterText { kind: Some(kind), expression });
        let tagged = broker::PopRequest { filter: filter("TAG", "yes || other"), ..request("T", "G") };
        // A stretch without a match is walked over; one with a match is answered.
        assert_eq!(texts(&pop(broker, &tagged).await.messages), ["999"]);
        assert_eq!(texts(&pop(broker, &tagged).await.messages), ["1999"]);
        assert_eq!(broker.offsets().get("T", "G", 0), Some(2000));
        let sql = broker::PopRequest { filter: filter("SQL92", "n BETWEEN 10 AND 12"), ..request("T", "S") };
        let found = pop(broker, &sql).await;
        assert_eq!(texts(&found.messages), ["10", "11", "12"]);
        assert!(found.rest > 0);
        // What comes again is not filtered again.
        sleep_ms(INVISIBLE_MS + 10).await;
        let other = broker::PopRequest { filter: filter("TAG", "other"), ..request("T", "G") };
        assert_eq!(texts(&pop(broker, &other).await.messages), ["1999", "999"]);
    });
}

#[test]
fn a_pop_takes_from_all_queues_and_says_what_is_left() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 4);
        for i in 0..40 {
            let body = i.to_string();
            broker.send(&broker::NewMessage { queue_id: i % 4, ..message("T", "", &body) }).unwrap();
        }
        sleep_ms(50).await;
        let first = pop(broker, &request("T", "G")).await;
        assert_eq!((first.messages.len(), first.rest), (32, 8));
        let one = broker::PopRequest { queue_id: 2, max_messages: 3, ..request("T", "H") };
        let of_one = pop(broker, &one).await;
        assert_eq!((of_one.messages.len(), of_one.rest), (3, 7));
        assert!(of_one.messages.iter().all(|message| message.receipt.queue_id == 2));
        assert_eq!(take(broker, "T", "G").await.len(), 8);
        let mut all = std::collections::BTreeSet::new();
        all.extend(first.messages.iter().map(body));
        assert_eq!(all.len(), 32);
    });
}

#[test]
fn new_groups_begin_where_java_lets_them() {
    let mut world = World::new();
    world.live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        let max = |group| broker::PopRequest { from: PopFrom::Max, ..request("T", group) };
        assert_eq!(texts(&pop(broker, &max("young")).await.messages), ["a", "b", "c"]);
        let mut config = broker::Config::clone(&broker.config());
        config.pop.init_by_memory = false;
        broker.reconfigure(config);
        assert_eq!(texts(&pop(broker, &max("last")).await.messages), ["c"]);
        assert_eq!(texts(&pop(broker, &request("T", "first")).await.messages), ["a", "b", "c"]);
    });
}

#[test]
fn retry_topics_of_both_kinds_are_read() {
    let mut world = World::new();
    let set = |broker: &broker::Broker, v2, read_v1| {
        let mut config = broker::Config::clone(&broker.config());
        (config.pop.retry_topic_v2, config.pop.read_retry_topic_v1) = (v2, read_v1);
        broker.reconfigure(config);
    };
    world.live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["old", "new"]).await;
        let messages = take(broker, "T", "G").await;
        change(broker, "T", "G", &messages[0].receipt, 100, false).unwrap();
        sleep_ms(200).await;
        set(broker, true, true);
        sleep_ms(INVISIBLE_MS).await;
        assert!(broker.topics().get("%RETRY%G+T").is_some());
        let kinds = |messages: &[broker::PoppedMessage]| {
            let mut kinds: Vec<_> = messages.iter().map(|message| (body(message), message.receipt.retry)).collect();
            kinds.sort();
            kinds
        };
        let again = take(broker, "T", "G").await;
        assert_eq!(kinds(&again), [("new".into(), Retry::V2), ("old".into(), Retry::V1)]);
        // Each stays in its topic; whoever does not read the old one does not see it.
        set(broker, true, false);
        sleep_ms(INVISIBLE_MS + 10).await;
        let newer = take(broker, "T", "G").await;
        assert_eq!(kinds(&newer), [("new".into(), Retry::V2)]);
        ack(broker, "T", "G", &newer[0].receipt).unwrap();
        set(broker, false, true);
        let older = take(broker, "T", "G").await;
        assert_eq!((kinds(&older), older[0].deliveries), (vec![("old".into(), Retry::V1)], 2));
        assert!(view(&older[0]).property(p::POP_CK).is_some_and(|ck| ck == older[0].receipt.to_string()));
    });
}

#[test]
fn a_reset_moves_the_pops() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 1);
        send_all(broker, "T", &["a", "b", "c"]).await;
        for message in take(broker, "T", "G").await {
            ack(broker, "T", "G", &message.receipt).unwrap();
        }
        broker.offsets().reset("T", "G", 0, 1);
        assert_eq!(texts(&take(broker, "T", "G").await), ["b", "c"]);
        assert!(is_empty(broker, "T", "G").await);
        // Ordered: what is not acked blocks no more.
        let ordered = || broker::PopRequest { order: true, max_messages: 2, ..request("T", "O") };
        let before = pop(broker, &ordered()).await.messages;
        assert_eq!(texts(&before), ["a", "b"]);
        assert!(pop(broker, &ordered()).await.messages.is_empty());
        broker.offsets().reset("T", "O", 0, 1);
        assert_eq!(texts(&pop(broker, &ordered()).await.messages), ["b", "c"]);
        ack(broker, "T", "O", &before[0].receipt).unwrap();
        assert_eq!(broker.offsets().get("T", "O", 0), Some(1));
    });
}

#[test]
fn priorities_come_in_their_order() {
    World::new().live(End::Clean, async |broker| {
        let attributes = [("message.type".to_owned(), "PRIORITY".to_owned())].into();
        broker.topics().put(TopicConfig { attributes, ..TopicConfig::new("T", 4) }).unwrap();
        for priority in ["1", "3", "0", "2", "3"] {
            send(broker, "T", &[(p::PRIORITY, priority)], priority).await.unwrap();
        }
        let order = |messages: Vec<broker::PoppedMessage>| messages.iter().map(body).collect::<String>();
        for group in ["G", "H", "I"] {
            assert_eq!(order(take(broker, "T", group).await), "33210");
        }
        let mut config = broker::Config::clone(&broker.config());
        config.pop.priority_ascending = false;
        broker.reconfigure(config);
        assert_eq!(order(take(broker, "T", "J").await), "01233");
        // Of a hundred pops none looks at priorities.
        let attributes = [("priority.factor".to_owned(), "0".to_owned())].into();
        let group = GroupConfig { group_name: "K".into(), attributes, ..GroupConfig::default() };
        broker.groups().put(group).unwrap();
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..60 {
            orders.insert(order(take(broker, "T", "K").await));
            (0..4).for_each(|queue| broker.offsets().reset("T", "K", queue, 0));
            if orders.len() > 1 {
                return;
            }
        }
        panic!("always {orders:?}");
    });
}

#[test]
fn what_is_deleted_takes_its_messages_in_flight_with_it() {
    World::new().live(End::Clean, async |broker| {
        for name in ["T", "U"] {
            topic(broker, name, 1);
            send_all(broker, name, &["a"]).await;
            assert_eq!(take(broker, name, "G").await.len(), 1);
            assert_eq!(take(broker, name, "H").await.len(), 1);
        }
        assert_eq!(broker.invisible_messages(), 4);
        broker.delete_topic("T").unwrap();
        broker.delete_group("H", true).unwrap();
        topic(broker, "T", 1);
        sleep_ms(INVISIBLE_MS + 10).await;
        assert_eq!(broker.invisible_messages(), 0);
        let retries: Vec<_> = broker.topics().all().iter().map(|topic| topic.name().to_owned()).collect();
        assert!(retries.contains(&"%RETRY%G_U".into()), "{retries:?}");
        assert!(!retries.iter().any(|name| name.starts_with("%RETRY%H") || name == "%RETRY%G_T"), "{retries:?}");
        broker.delete_topic("U").unwrap();
        assert!(broker.topics().get("%RETRY%G_U").is_none());
    });
}

#[test]
fn peeking_takes_nothing() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 2);
        send_all(broker, "T", &["a", "b", "c"]).await;
        for _ in 0..2 {
            let peeked = broker.peek("T", "G", -1, 2).await.unwrap();
            assert_eq!((peeked.records.iter().map(|slice| slice.len()).sum::<usize>() > 0, peeked.rest), (true, 1));
        }
        assert_eq!(take(broker, "T", "G").await.len(), 3);
        let peeked = broker.peek("T", "G", -1, 2).await.unwrap();
        assert_eq!((peeked.records.len(), peeked.rest), (0, 0));
    });
}

#[test]
fn concurrent_pops_share_messages_out() {
    World::new().live(End::Clean, async |broker| {
        topic(broker, "T", 3);
        for i in 0..900 {
            let body = i.to_string();
            broker.send(&broker::NewMessage { queue_id: i % 3, ..message("T", "", &body) }).unwrap();
        }
        sleep_ms(50).await;
        let consumer = || {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut got = Vec::new();
                loop {
                    let wanted = broker::PopRequest { wait: Duration::from_millis(100), ..request("T", "G") };
                    let popped = pop(&broker, &wanted).await;
                    if popped.messages.is_empty() {
                        return got;
                    }
                    for message in popped.messages {
                        ack(&broker, "T", "G", &message.receipt).unwrap();
                        got.push(body(&message));
                    }
                }
            })
        };
        let consumers: Vec<_> = (0..20).map(|_| consumer()).collect();
        let mut all = Vec::new();
        for consumer in consumers {
            all.extend(consumer.await.unwrap());
        }
        assert_eq!(all.len(), 900);
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 900);
        assert_eq!(broker.invisible_messages(), 0);
    });
}
