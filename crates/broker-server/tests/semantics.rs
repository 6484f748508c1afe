//! What the broker does with requests that make sense, seen from a socket.

use std::time::{Duration, Instant};

use protocol::request::{
    NotifyConsumerIdsChanged, OffsetReply, QueryConsumerOffset, QueryConsumerOffsetHeader, Request, ResetOffset,
    ResetOffsetHeader, UnregisterClient, UnregisterClientHeader,
};
use protocol::{code, name, properties};
use testkit::{Batch, Client, Message, Node, Pull, Pulled, Refused, eventually};

/// Delays short enough to wait for.
async fn node() -> Node {
    Node::start_with(Default::default(), |settings| {
        settings.delay_levels.0 = vec![Duration::from_secs(1), Duration::from_secs(2)];
    })
    .await
}

fn code_of<T: std::fmt::Debug>(result: Result<T, Refused>) -> i32 {
    result.expect_err("it is refused").code
}

#[tokio::test]
async fn an_unknown_topic_is_made_by_its_first_message() {
    let node = node().await;
    let client = node.client().await;
    let refused = client.pull(&Pull::from("T", 0, 0)).await;
    assert_eq!(code_of(refused), code::TOPIC_NOT_EXIST.0);
    let sent = client.send("T", 3, &Message::new("b")).await.expect("it is stored");
    assert_eq!((sent.queue, sent.offset), (3, 0));
    // Clients ask for four queues.
    assert_eq!(code_of(client.send("T", 4, &Message::new("b")).await), code::INVALID_PARAMETER.0);
    assert!(node.inner().broker().groups().get("new").is_none());
    client.pull(&Pull { group: "new", ..Pull::from("T", 0, 0) }).await.expect("a group is made by its first pull");
    assert!(node.inner().broker().groups().get("new").is_some());
    node.stop().await;
}

#[tokio::test]
async fn offsets_outside_a_queue_are_corrected() {
    let node = node().await;
    let client = node.client().await;
    for _ in 0..3 {
        client.send("T", 0, &Message::new("b")).await.expect("it is stored");
    }
    for (queue, offset, code, next) in
        [(0, 0, 0, 3), (0, 3, 19, 3), (0, 4, 21, 3), (0, -1, 21, 0), (1, 0, 19, 0), (1, 5, 21, 0)]
    {
        let pulled = client.pull(&Pull::from("T", queue, offset)).await.expect("the queue can be read");
        assert_eq!((pulled.code, pulled.next), (code, next), "queue {queue}, offset {offset}: {}", pulled.remark);
    }
    assert_eq!(client.range("T", 0).await, (0, 3));
    node.stop().await;
}

#[tokio::test]
async fn a_waiting_pull_wakes_for_its_tags_only() {
    let node = node().await;
    let (consumer, producer) = (node.client().await, node.client().await);
    producer.send("T", 0, &Message::new("first").tag("a")).await.expect("it is stored");
    let pull = Pull { wait: Some(Duration::from_secs(20)), tags: "a || c", ..Pull::from("T", 0, 1) };
    let waiting = consumer.pull(&pull);
    let sending = async {
        for tag in ["b", "b", "c"] {
            producer.send("T", 0, &Message::new(format!("for {tag}")).tag(tag)).await.expect("it is stored");
        }
    };
    let (pulled, ()) = tokio::join!(waiting, sending);
    let pulled = pulled.expect("the queue can be read");
    let bodies: Vec<_> = pulled.messages.iter().map(|message| message.text()).collect();
    assert_eq!((pulled.code, bodies, pulled.next), (0, vec!["for c"], 4));

    let begin = Instant::now();
    let pulled = consumer.pull(&Pull { wait: Some(Duration::from_millis(300)), ..Pull::from("T", 0, 4) }).await;
    assert_eq!(pulled.expect("the queue can be read").code, 19);
    assert!(begin.elapsed() >= Duration::from_millis(300), "it waited {:?}", begin.elapsed());
    node.stop().await;
}

#[tokio::test]
async fn a_reset_sends_the_next_pull_elsewhere_and_outlives_late_commits() {
    let node = node().await;
    let client = node.client().await;
    for number in 0..10 {
        client.send("T", 0, &Message::new(number.to_string())).await.expect("it is stored");
    }
    client.commit("G", "T", 0, 10).await.expect("it is committed");
    let header =
        ResetOffsetHeader { topic: "T", group: "G", queue_id: Some(0), offset: Some(4), timestamp: -1, is_force: true };
    assert_eq!(client.ask::<ResetOffset>(&header).await.code, 0);
    // A consumer that does not know yet commits what it has.
    client.commit("G", "T", 0, 10).await.expect("it is answered");
    let pulled = client.pull(&Pull { group: "G", ..Pull::from("T", 0, 10) }).await.expect("it is answered");
    assert_eq!((pulled.code, pulled.next), (code::PULL_OFFSET_MOVED.0, 4));
    assert_eq!(client.committed("G", "T", 0).await, Ok(4));
    let pulled = client.pull(&Pull { group: "G", ..Pull::from("T", 0, 4) }).await.expect("the queue can be read");
    assert_eq!(pulled.messages[0].text(), "4");
    client.commit("G", "T", 0, 10).await.expect("it is committed");
    assert_eq!(client.committed("G", "T", 0).await, Ok(10));
    node.stop().await;
}

#[tokio::test]
async fn a_pull_commits_and_an_unknown_group_stands_nowhere() {
    let node = node().await;
    let client = node.client().await;
    client.send("T", 0, &Message::new("b")).await.expect("it is stored");
    assert_eq!(code_of(client.committed("G", "T", 0).await), code::QUERY_NOT_FOUND.0);
    client.pull(&Pull { group: "G", commit: Some(1), ..Pull::from("T", 0, 1) }).await.expect("it is answered");
    assert_eq!(client.committed("G", "T", 0).await, Ok(1));
    node.stop().await;
}

/// Clients that find no offset ask for the end of the queue, and would skip what arrives between the two questions.
#[tokio::test]
async fn a_new_group_begins_at_the_end_of_an_empty_queue_whatever_arrives_meanwhile() {
    let node = node().await;
    let client = node.client().await;
    client.send("T", 0, &Message::new("b")).await.expect("it is stored");
    let begin = async |topic, queue_id| {
        let header = QueryConsumerOffsetHeader { consumer_group: "G", topic, queue_id, set_zero_if_not_found: None };
        client.ask::<QueryConsumerOffset>(&header).await
    };
    for queue in [0, 1, 3] {
        let answer = begin("T", queue).await;
        assert_eq!((answer.code, answer.header::<OffsetReply>().map(|reply| reply.offset)), (0, Ok(0)), "{queue}");
    }
    for (topic, queue) in [("T", 4), ("T", -1), ("U", 0)] {
        assert_eq!(begin(topic, queue).await.code, code::QUERY_NOT_FOUND.0, "{topic} {queue}");
    }
    node.stop().await;
}

#[tokio::test]
async fn an_answer_to_a_pull_has_32_messages_unless_the_settings_say_otherwise() {
    for (setting, count) in [(None, 32), (Some(40), 40)] {
        let node = Node::start_with(Default::default(), |settings| {
            settings.pull_messages_max = setting.unwrap_or(settings.pull_messages_max);
        })
        .await;
        let client = node.client().await;
        for _ in 0..50 {
            client.send("T", 0, &Message::new("b")).await.expect("it is stored");
        }
        let pulled = client.pull(&Pull { max: 50, ..Pull::from("T", 0, 0) }).await.expect("the queue can be read");
        assert_eq!((pulled.messages.len(), pulled.next), (count, count as i64));
        node.stop().await;
    }
}

/// Waits for a message in a queue.
async fn arrival(client: &Client, topic: &str, offset: i64) -> testkit::Stored {
    let what = "the topic is made";
    let pulled = eventually(what, async || {
        let pull = Pull { wait: Some(Duration::from_secs(20)), ..Pull::from(topic, 0, offset) };
        client.pull(&pull).await.ok().filter(|pulled| pulled.code == 0)
    });
    pulled.await.messages.remove(0)
}

#[tokio::test]
async fn a_message_given_back_comes_again_and_dies_at_last() {
    let node = node().await;
    let client = node.client().await;
    client.heartbeat("c", "G", &["T"]).await;
    client.send("T", 0, &Message::new("hard").tag("a").property("colour", "red")).await.expect("it is stored");
    let mut message = client.read("T", 0, 0).await.remove(0);
    let (retry, dead) = (name::retry_topic("G"), name::dlq_topic("G"));
    for attempt in 1..=2 {
        client.send_back("G", &message, 1, 2).await.expect("it is taken back");
        message = arrival(&client, &retry, i64::from(attempt) - 1).await;
        assert_eq!((message.text(), message.reconsume_times), ("hard", attempt));
        assert_eq!(message.property(properties::RETRY_TOPIC), Some("T"));
        assert_eq!((message.property("colour"), message.property(properties::TAGS)), (Some("red"), Some("a")));
    }
    client.send_back("G", &message, 1, 2).await.expect("it is taken back");
    let last = arrival(&client, &dead, 0).await;
    assert_eq!((last.text(), last.property(properties::DLQ_ORIGIN_TOPIC)), ("hard", Some("T")));
    assert_eq!(client.read(&retry, 0, 0).await.len(), 2);

    let lost = testkit::Stored { log_offset: 12_345_678, ..last };
    assert!(client.send_back("G", &lost, 1, 2).await.is_err(), "there is no such message");
    node.stop().await;
}

#[tokio::test]
async fn a_queue_belongs_to_one_client_at_a_time() {
    let node = node().await;
    let (one, two) = (node.client().await, node.client().await);
    assert_eq!(one.lock("one", "G", "T", &[0, 1]).await, [0, 1]);
    assert_eq!(two.lock("two", "G", "T", &[1, 2]).await, [2]);
    assert_eq!(one.lock("one", "G", "T", &[0, 1, 2]).await, [0, 1]);
    assert_eq!(two.lock("two", "other", "T", &[0]).await, [0], "another group has its own locks");
    two.unlock("two", "G", "T", &[0]).await;
    assert_eq!(two.lock("two", "G", "T", &[0]).await, [0; 0], "only the owner unlocks");
    one.unlock("one", "G", "T", &[0]).await;
    assert_eq!(two.lock("two", "G", "T", &[0]).await, [0]);
    node.stop().await;
}

async fn hears_of_a_change(client: &Client) {
    let what = "the client hears that its group changed";
    eventually(what, async || client.notices().contains(&NotifyConsumerIdsChanged::CODE).then_some(())).await;
    client.forget_notices();
}

#[tokio::test]
async fn members_hear_who_comes_and_goes() {
    let node = node().await;
    let (one, two) = (node.client().await, node.client().await);
    one.heartbeat("one", "G", &["T"]).await;
    hears_of_a_change(&one).await;
    two.heartbeat("two", "G", &["T"]).await;
    hears_of_a_change(&one).await;
    assert_eq!(one.members("G").await, ["one", "two"]);
    one.heartbeat("one", "G", &["T"]).await;

    let header = UnregisterClientHeader { client_id: "two", producer_group: None, consumer_group: Some("G") };
    assert_eq!(two.ask::<UnregisterClient>(&header).await.code, 0);
    hears_of_a_change(&one).await;
    assert_eq!(one.members("G").await, ["one"]);

    two.heartbeat("two", "G", &["T"]).await;
    hears_of_a_change(&one).await;
    two.close().await;
    hears_of_a_change(&one).await;
    assert_eq!(one.members("G").await, ["one"], "a connection that ends leaves its groups");
    node.stop().await;
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let node = node().await;
    let client = node.client().await;
    let batch = ["a", "b", "c"].iter().fold(Batch::default(), |batch, text| batch.with(&Message::new(*text).tag(text)));
    let sent = client.send_batch("T", 0, batch.clone()).await.expect("it is stored");
    assert_eq!((sent.offset, sent.msg_id.split(',').count()), (0, 3));
    assert_eq!(client.send("T", 0, &Message::new("d")).await.map(|sent| sent.offset), Ok(3));

    let mut cut = batch.frame("T", 0);
    cut.body = cut.body.slice(..cut.body.len() - 2);
    assert_eq!(client.call(cut).await.code, code::MESSAGE_ILLEGAL.0);
    let stored = client.read("T", 0, 0).await;
    assert_eq!(stored.iter().map(|message| message.text()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let tagged = client.pull(&Pull { tags: "b", ..Pull::from("T", 0, 0) }).await.expect("the queue can be read");
    assert_eq!(tagged.messages.len(), 1, "each has its own tag");
    node.stop().await;
}

#[tokio::test]
async fn a_topic_that_changes_keeps_its_messages_and_one_that_is_deleted_loses_them() {
    let node = node().await;
    let client = node.client().await;
    client.create_topic("T", 2).await.expect("it is made");
    client.send("T", 1, &Message::new("kept")).await.expect("it is stored");
    client.create_topic("T", 8).await.expect("it is changed");
    assert_eq!(client.read("T", 1, 0).await.len(), 1);
    client.send("T", 7, &Message::new("b")).await.expect("a new queue takes messages");
    let pull = Pull { wait: Some(Duration::from_secs(20)), ..Pull::from("T", 1, 1) };
    let waiting = client.pull(&pull);
    let other = node.client().await;
    let (pulled, deleted) = tokio::join!(waiting, other.delete_topic("T"));
    deleted.expect("it is deleted");
    // Whoever waits is sent away and not left hanging.
    assert!(pulled.map_or(true, |pulled: Pulled| pulled.code != 0));
    assert_eq!(code_of(client.pull(&Pull::from("T", 1, 0)).await), code::TOPIC_NOT_EXIST.0);
    client.create_topic("T", 2).await.expect("it is made");
    assert_eq!(client.range("T", 1).await, (0, 0));
    for illegal in ["", "a b", "x/y", &"x".repeat(128), "TBW102"] {
        assert_eq!(code_of(client.create_topic(illegal, 1).await), code::INVALID_PARAMETER.0, "{illegal:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_fast_port_serves_everything_but_pulls() {
    let node = node().await;
    let fast = Client::connect(node.fast_address()).await;
    fast.send("T", 0, &Message::new("b")).await.expect("it is stored");
    assert_eq!(code_of(fast.pull(&Pull::from("T", 0, 0)).await), code::REQUEST_CODE_NOT_SUPPORTED.0);
    assert_eq!(node.client().await.read("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_message_is_found_by_its_unique_key_in_its_topic() {
    let node = node().await;
    let client = node.client().await;
    assert!(client.by_unique_key("T", "nobody").await.is_empty());
    client.send("T", 0, &Message::new("b").unique_key("U1")).await.expect("it is stored");
    let found = client.by_unique_key("T", "U1").await;
    assert_eq!(found.len(), 1);
    assert!(client.by_unique_key("other", "U1").await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_in_order_has_everything_at_the_next_start() {
    let first = node().await;
    let client = first.client().await;
    client.create_topic("T", 3).await.expect("it is made");
    for number in 0..100 {
        client.send("T", number % 3, &Message::new(number.to_string())).await.expect("it is stored");
    }
    client.commit("G", "T", 2, 33).await.expect("it is committed");
    client.close().await;
    let dir = first.stop().await;
    let second = Node::start_with(dir, |_| {}).await;
    assert!(second.inner().recovery().clean);
    let client = second.client().await;
    let counts =
        [client.read("T", 0, 0).await.len(), client.read("T", 1, 0).await.len(), client.read("T", 2, 0).await.len()];
    assert_eq!(counts, [34, 33, 33]);
    assert_eq!(client.committed("G", "T", 2).await, Ok(33));
    second.stop().await;
}
