//! Lite topics: order, waiting, redelivery, restarts, exclusive and wildcard groups, the end of old ones.

use std::sync::Arc;
use std::time::Duration;

use broker::{
    Ack, Broker, ChangeInvisible, Error, FilterText, LiteAction, LiteStart, LiteSubscription, PopLiteRequest,
    PopStatus, Popped, PoppedMessage, PullRequest, PullStatus, Pulled,
};
use protocol::body::{GroupConfig, TopicConfig};
use protocol::properties;
use protocol::record::RecordView;

use crate::help::{End, World, send, sleep_ms};

const SECOND: Duration = Duration::from_secs(1);

fn set_up(broker: &Broker, topic_attributes: &str, group_attributes: &[(&str, &str)]) {
    let attributes = format!("+message.type=LITE{topic_attributes}");
    broker.topics().put_with_attributes(TopicConfig::new("P", 2), &attributes).unwrap();
    let attributes = [("+lite.bind.topic", "P")].iter().chain(group_attributes);
    let attributes = attributes.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let group = GroupConfig { group_name: "G".into(), attributes, ..GroupConfig::default() };
    broker.groups().put_with_attributes(group).unwrap();
}

async fn put(broker: &Broker, lite_topic: &str, body: &str) {
    send(broker, "P", &[("__LITE_TOPIC", lite_topic)], body).await.unwrap();
}

fn change<'a>(action: LiteAction, client_id: &'a str, lite_topics: &'a [&'a str]) -> LiteSubscription<'a> {
    LiteSubscription { action, client_id, group: "G", topic: "P", lite_topics, start: None, connection: None }
}

/// Pulls a lite topic, which for many means to browse it.
async fn pull(broker: &Arc<Broker>, lite_topic: &str, queue_id: i32, offset: i64, wait: Duration) -> Pulled {
    let request = PullRequest {
        group: "reader",
        topic: "P",
        lite_topic: Some(lite_topic),
        queue_id,
        offset,
        max_messages: 32,
        commit: None,
        suspend: (!wait.is_zero()).then_some(wait),
        filter: Some(FilterText { kind: None, expression: "*" }),
        sub_version: 0,
    };
    broker.begin_pull(&request).unwrap().run().await.unwrap()
}

fn subscribe(broker: &Broker, client_id: &str, lite_topics: &[&str]) -> Vec<String> {
    let gone = broker.lite_subscribe(&change(LiteAction::PartialAdd, client_id, lite_topics)).unwrap();
    gone.into_iter().map(|gone| format!("{} {}", gone.client_id, gone.lite_topic)).collect()
}

fn request(client_id: &str, wait: Duration) -> PopLiteRequest<'_> {
    let invisible = 10 * SECOND;
    PopLiteRequest { client_id, group: "G", topic: "P", max_messages: 32, invisible, wait, attempt_id: None }
}

async fn pop(broker: &Arc<Broker>, client_id: &str, wait: Duration) -> Popped {
    broker.begin_pop_lite(&request(client_id, wait)).unwrap().run().await.unwrap()
}

/// Lite topic, body and count of everything.
fn shown(popped: &Popped) -> Vec<String> {
    let show = |message: &PoppedMessage| {
        let view = RecordView::parse(&message.record).unwrap();
        let (lite_topic, body) = (lite_topic(message), String::from_utf8(view.body().to_vec()).unwrap());
        format!("{lite_topic} {body} {}", message.deliveries)
    };
    let mut shown: Vec<_> = popped.messages.iter().map(show).collect();
    shown.sort();
    shown
}

fn lite_topic(message: &PoppedMessage) -> String {
    let view = RecordView::parse(&message.record).unwrap();
    // What a client of the remoting protocol makes its receipts from.
    let dispatched = properties::get(view.properties(), "INNER_MULTI_DISPATCH").unwrap();
    let offset = properties::get(view.properties(), "INNER_MULTI_QUEUE_OFFSET").unwrap();
    assert_eq!(offset.parse(), Ok(message.receipt.queue_offset));
    dispatched.strip_prefix("%LMQ%$P$").unwrap().to_owned()
}

fn ack(broker: &Broker, message: &PoppedMessage) -> Result<(), Error> {
    let receipt = &message.receipt;
    let ack = Ack { topic: "P", group: "G", queue_id: 0, queue_offset: receipt.queue_offset, receipt };
    broker.ack_lite(&ack, &lite_topic(message))
}

#[test]
fn messages_of_a_lite_topic_come_in_order_and_wait_for_acks() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        assert!(subscribe(broker, "c", &["x", "y"]).is_empty());
        for (lite_topic, body) in [("x", "1"), ("y", "1"), ("x", "2"), ("z", "1")] {
            put(broker, lite_topic, body).await;
        }
        let first = pop(broker, "c", Duration::ZERO).await;
        assert_eq!(shown(&first), ["x 1 0", "x 2 0", "y 1 0"]);
        put(broker, "x", "3").await;
        assert_eq!(pop(broker, "c", Duration::ZERO).await.status, PopStatus::PollingTimeout);
        first.messages.iter().for_each(|message| ack(broker, message).unwrap());
        let next = pop(broker, "c", Duration::ZERO).await;
        assert_eq!(shown(&next), ["x 3 0"]);
        // Again, late, and of something else.
        ack(broker, &first.messages[0]).unwrap();
        ack(broker, &next.messages[0]).unwrap();
        let mut wrong = next.messages[0].clone();
        wrong.receipt.revive_queue = 0;
        assert!(matches!(ack(broker, &wrong), Err(Error::Parameter(_))));

        // Everybody else reads the parent as any other topic.
        let (_, of_parent) = broker.queue_range("P", 0);
        assert_eq!(of_parent, 5);
        assert_eq!(broker.lite_group_info("G", Some("x"), 1).await.unwrap().total_lag_count, 0);
        assert_eq!(broker.lite_info().current_lmq_num, 3);
    });
}

#[test]
fn a_waiting_pop_hears_of_a_message_at_once() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        subscribe(broker, "c", &["x"]);
        let waiting = tokio::spawn(broker.begin_pop_lite(&request("c", 20 * SECOND)).unwrap().run());
        tokio::time::sleep(3 * SECOND).await;
        let before_ms = broker.now_ms();
        put(broker, "x", "1").await;
        assert_eq!(shown(&waiting.await.unwrap().unwrap()), ["x 1 0"]);
        assert!(broker.now_ms() - before_ms < 50);

        // Subscribing to what is there already wakes as well.
        put(broker, "old", "1").await;
        let waiting = tokio::spawn(broker.begin_pop_lite(&request("c", 20 * SECOND)).unwrap().run());
        tokio::time::sleep(SECOND).await;
        subscribe(broker, "c", &["old"]);
        assert_eq!(shown(&waiting.await.unwrap().unwrap()), ["old 1 0"]);
        let none = pop(broker, "c", SECOND).await;
        assert_eq!((none.status, none.messages.len()), (PopStatus::PollingTimeout, 0));
    });
}

#[test]
fn what_is_not_acked_comes_again_when_its_time_is_over() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        subscribe(broker, "c", &["x"]);
        put(broker, "x", "1").await;
        put(broker, "x", "2").await;
        let first = pop(broker, "c", Duration::ZERO).await;
        ack(broker, &first.messages[0]).unwrap();
        let again = pop(broker, "c", 60 * SECOND).await;
        assert_eq!(shown(&again), ["x 2 1"]);
        assert!((10_000..10_050).contains(&(again.pop_ms - first.pop_ms)), "{}", again.pop_ms - first.pop_ms);

        let message = &again.messages[0];
        let more = ChangeInvisible {
            topic: "P",
            group: "G",
            queue_id: 0,
            queue_offset: message.receipt.queue_offset,
            receipt: &message.receipt,
            invisible: 3 * SECOND,
            suspend: true,
        };
        let changed = broker.change_invisible_lite(&more, "x").unwrap();
        assert_eq!((changed.pop_ms, changed.invisible_ms), (again.pop_ms, 3000));
        let third = pop(broker, "c", 60 * SECOND).await;
        assert_eq!(shown(&third), ["x 2 1"]);
        assert!((3000..3050).contains(&(third.pop_ms - again.pop_ms)));
        // The receipt of the pop before it is worth nothing.
        ack(broker, message).unwrap();
        assert_eq!(broker.offsets().get("%LMQ%$P$x", "G", 0), Some(1));
    });
}

#[test]
fn a_restart_delivers_what_was_in_flight_again() {
    let mut world = World::new();
    let acked = world.live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        subscribe(broker, "c", &["x"]);
        put(broker, "x", "1").await;
        put(broker, "x", "2").await;
        let popped = pop(broker, "c", Duration::ZERO).await;
        ack(broker, &popped.messages[0]).unwrap();
        popped.messages[1].clone()
    });
    world.pass(SECOND);
    world.live(End::Crash, async |broker| {
        // A client that comes back names everything it wants.
        broker.lite_subscribe(&change(LiteAction::CompleteAdd, "c", &["x"])).unwrap();
        assert_eq!(shown(&pop(broker, "c", SECOND).await), ["x 2 0"]);
        ack(broker, &acked).unwrap();
        tokio::time::sleep(2 * SECOND).await;
    });
    world.live(End::Clean, async |broker| {
        broker.lite_subscribe(&change(LiteAction::CompleteAdd, "c", &["x"])).unwrap();
        assert_eq!(shown(&pop(broker, "c", SECOND).await), ["x 2 0"]);
    });
}

#[test]
fn an_exclusive_group_has_one_client_for_a_lite_topic() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[("+lite.sub.model", "Exclusive"), ("+lite.sub.reset.offset.exclusive", "true")]);
        subscribe(broker, "a", &["x", "y"]);
        put(broker, "x", "1").await;
        let popped = pop(broker, "a", Duration::ZERO).await;
        ack(broker, &popped.messages[0]).unwrap();
        assert_eq!(subscribe(broker, "b", &["x"]), ["a x"]);
        assert_eq!(pop(broker, "a", Duration::ZERO).await.messages.len(), 0);
        // From the beginning, as the group wants it.
        assert_eq!(shown(&pop(broker, "b", Duration::ZERO).await), ["x 1 0"]);
        let subscribers = broker.lite_topic_info("P", "x").await.unwrap().subscriber;
        assert_eq!(subscribers.iter().map(|one| &*one.client_id).collect::<Vec<_>>(), ["b"]);
    });
}

#[test]
fn a_wildcard_group_reads_everything() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[("+lite.sub.wildcard", "true")]);
        put(broker, "before", "1").await;
        broker.lite_subscribe(&change(LiteAction::CompleteAdd, "c", &[])).unwrap();
        put(broker, "after", "1").await;
        assert_eq!(shown(&pop(broker, "c", Duration::ZERO).await), ["after 1 0", "before 1 0"]);
        let refused = broker.lite_subscribe(&change(LiteAction::PartialAdd, "c", &["x"]));
        assert!(matches!(refused, Err(Error::Illegal(_))));
    });
}

#[test]
fn a_subscription_may_begin_elsewhere() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        for body in ["1", "2", "3"] {
            put(broker, "x", body).await;
        }
        let start = |client_id, start| LiteSubscription {
            start: Some(start),
            ..change(LiteAction::PartialAdd, client_id, &["x"])
        };
        broker.lite_subscribe(&start("a", LiteStart::Max)).unwrap();
        assert_eq!(pop(broker, "a", Duration::ZERO).await.messages.len(), 0);
        broker.lite_subscribe(&start("b", LiteStart::Tail(1))).unwrap();
        assert_eq!(shown(&pop(broker, "b", Duration::ZERO).await), ["x 3 0"]);
        broker.lite_subscribe(&start("c", LiteStart::Offset(1))).unwrap();
        assert_eq!(shown(&pop(broker, "c", Duration::ZERO).await), ["x 2 0", "x 3 0"]);
    });
}

#[test]
fn old_lite_topics_go_and_come_again() {
    let mut world = World::new();
    world.write_period = SECOND;
    world.live(End::Clean, async |broker| {
        set_up(broker, ",+lite.topic.expiration=20", &[]);
        subscribe(broker, "c", &["x"]);
        put(broker, "x", "1").await;
        tokio::time::sleep(Duration::from_secs(19 * 60)).await;
        put(broker, "y", "1").await;
        assert_eq!(broker.lite_parent_info("P").unwrap().lite_topic_count, 2);
        tokio::time::sleep(Duration::from_secs(2 * 60)).await;
        assert_eq!(broker.lite_parent_info("P").unwrap().lite_topic_count, 1);
    });
    world.live(End::Clean, async |broker| {
        assert_eq!(broker.lite_parent_info("P").unwrap().lite_topic_count, 1);
        put(broker, "x", "2").await;
        assert_eq!(broker.queue_range("%LMQ%$P$x", 0), (0, 1));
        tokio::time::sleep(Duration::from_secs(19 * 60)).await;
        assert!(broker.queue_range("%LMQ%$P$y", 0) == (0, 0) && broker.queue_range("%LMQ%$P$x", 0) == (0, 1));
        broker.delete_topic("P").unwrap();
        assert_eq!(broker.lite_info().current_lmq_num, 0);
    });
}

#[test]
fn who_may_not_pop_hears_why() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        broker.topics().put(TopicConfig::new("T", 1)).unwrap();
        let refused = |change: fn(&mut PopLiteRequest<'_>)| {
            let mut request = request("c", Duration::ZERO);
            change(&mut request);
            broker.begin_pop_lite(&request).map(drop).unwrap_err()
        };
        assert!(matches!(refused(|request| request.topic = "none"), Error::UnknownTopic(_)));
        assert!(matches!(refused(|request| request.topic = "T"), Error::Parameter(_)));
        assert!(matches!(refused(|request| request.group = "none"), Error::UnknownGroup(_)));
        assert!(matches!(refused(|request| request.max_messages = 33), Error::Parameter(_)));
        let refused = send(broker, "P", &[("__LITE_TOPIC", "a$b")], "1").await;
        assert!(matches!(refused, Err(Error::MessageIllegal(_))));
    });
}

#[test]
fn a_lite_topic_is_pulled_as_a_queue_of_its_own() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        let short = Duration::from_millis(500);
        let before_ms = broker.now_ms();
        let nothing = pull(broker, "s", 0, 0, short).await;
        assert_eq!((nothing.status, nothing.next, nothing.max), (PullStatus::NoMessageInQueue, 0, 0));
        assert_eq!(broker.now_ms() - before_ms, 500, "it waited");
        assert!(broker.store().find_queue("%LMQ%$P$s", 0).is_none(), "asking makes no queue");

        // The pull waits for a lite topic that is made meanwhile, and then for its next message.
        for (offset, body) in [(0, "one"), (1, "two")] {
            let sending = async {
                sleep_ms(2000).await;
                put(broker, "other", "x").await;
                put(broker, "s", body).await;
            };
            let (pulled, ()) = tokio::join!(pull(broker, "s", 0, offset, 10 * SECOND), sending);
            assert_eq!((pulled.status, pulled.count, pulled.next), (PullStatus::Found, 1, offset + 1));
            assert_eq!((pulled.min, pulled.max), (0, offset + 1));
            let record = pulled.records.concat();
            assert_eq!(RecordView::parse(&record).unwrap().body(), body.as_bytes());
        }
        let all = pull(broker, "s", 0, 0, Duration::ZERO).await;
        assert_eq!((all.count, all.next), (2, 2));
        for (queue, offset, status, next) in [
            (0, 2, PullStatus::OffsetOverflowOne, 2),
            (0, 9, PullStatus::OffsetOverflowBadly, 2),
            (1, 0, PullStatus::NoMessageInQueue, 0),
        ] {
            let pulled = pull(broker, "s", queue, offset, Duration::ZERO).await;
            assert_eq!((pulled.status, pulled.next), (status, next), "queue {queue}, offset {offset}");
        }
        assert_eq!(broker.queue_range("%LMQ%$P$s", 0), (0, 2));
    });
}

#[test]
fn what_was_acked_stays_so_while_one_before_it_comes_again_and_again() {
    World::new().live(End::Clean, async |broker| {
        set_up(broker, "", &[]);
        subscribe(broker, "c", &["s"]);
        for body in ["0", "1", "2"] {
            put(broker, "s", body).await;
        }
        let pop = async |max_messages| {
            let request = PopLiteRequest { max_messages, invisible: SECOND, ..request("c", 20 * SECOND) };
            broker.begin_pop_lite(&request).unwrap().run().await.unwrap()
        };
        let first = pop(32).await;
        assert_eq!(shown(&first), ["s 0 0", "s 1 0", "s 2 0"]);
        ack(broker, &first.messages[1]).unwrap();
        for (max, expected) in [(1, 1), (32, 2), (1, 1), (1, 1), (32, 2)] {
            let bodies: Vec<_> = shown(&pop(max).await).into_iter().map(|shown| shown[..3].to_owned()).collect();
            assert_eq!(bodies, ["s 0", "s 2"][..expected]);
        }
        let last = pop(32).await;
        last.messages.iter().for_each(|message| ack(broker, message).unwrap());
        assert_eq!(last.messages.len(), 2);
        assert_eq!(broker.offsets().get("%LMQ%$P$s", "G", 0), Some(3));
    });
}
