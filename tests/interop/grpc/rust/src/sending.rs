//! What is accepted and what is refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rocketmq::model::message::MessageBuilder;

use crate::env::{build, message, now_ms, refused, same, send, sorted, Env};
use crate::{together, Scenario};

const BODY_BYTES_MAX: usize = 4 << 20;
/// gRPC for Rust takes frames of 4 MiB at most, message and all.
const BODY_BYTES_BACK: usize = BODY_BYTES_MAX - (16 << 10);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        together("async-send", async_send),
        together("batch-send", batch_send),
        together("large-body", large_body),
        together("oversized-refused", oversized),
        together("illegal-topic", illegal_topic),
        together("wrong-message-type", wrong_type),
    ]
}

async fn async_send(env: Arc<Env>) {
    let topic = env.topic("async", "NORMAL", 4).await;
    let producer = env.producer(&topic).await;
    let bodies: Vec<String> = (0..300).map(|i| format!("m{i}")).collect();
    let receipts = join_all(bodies.iter().map(|b| send(&producer, build(message(&topic, b))))).await;
    let stored = env.stored(&topic, 300).await;
    same(sorted(bodies), sorted(stored.iter().map(|m| m.body.clone()).collect()), "stored");
    let ids = receipts.iter().map(|r| r.message_id().to_owned()).collect();
    same(sorted(ids), sorted(stored.iter().map(|m| m.properties["UNIQ_KEY"].clone()).collect()), "ids stored");
}

async fn batch_send(env: Arc<Env>) {
    let topic = env.topic("batch", "NORMAL", 4).await;
    let producer = env.producer(&topic).await;
    let bodies: Vec<String> = (0..20).map(|i| format!("m{i}")).collect();
    let batch = bodies.iter().enumerate();
    let batch =
        batch.map(|(i, b)| build(message(&topic, b).set_tag(format!("t{}", i % 2)).set_keys(vec![format!("k{i}")])));
    let receipts = producer.batch_send(batch.collect()).await.expect("a batch");
    // Java's proxy stores a batch as one and gives one receipt for it; ours gives one for each message.
    assert!([1, 20].contains(&receipts.len()), "{} receipts of a batch of 20", receipts.len());
    let stored = env.stored(&topic, 20).await;
    same(bodies, stored.iter().map(|m| m.body.clone()).collect(), "stored, in order");
    let consumer = env.consumer(&env.group("batch", false).await, &topic).await;
    for m in consumer.receive(20, Duration::from_secs(60)).await {
        let i: usize = String::from_utf8_lossy(&m.body()[1..]).parse().expect("a number");
        same(
            (Some(format!("t{}", i % 2)), vec![format!("k{i}")]),
            (m.tag().map(str::to_owned), m.keys().to_vec()),
            "tag, keys",
        );
        consumer.ack(&m).await;
    }
}

async fn large_body(env: Arc<Env>) {
    let topic = env.topic("large", "NORMAL", 4).await;
    let producer = env.producer(&topic).await;
    // No byte follows from the one before in a simple way.
    let body: Vec<u8> = (0..BODY_BYTES_BACK as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    send(&producer, build(MessageBuilder::builder().set_topic(&topic).set_body(body.clone()))).await;
    let consumer = env.consumer(&env.group("large", false).await, &topic).await;
    let got = consumer.receive(1, Duration::from_secs(30)).await.remove(0);
    assert!(got.body() == body, "the body came back changed");
    consumer.ack(&got).await;
    let largest = env.topic("largest", "NORMAL", 4).await;
    send(&producer, build(message(&largest, &"x".repeat(BODY_BYTES_MAX)))).await;
    same(BODY_BYTES_MAX, env.stored(&largest, 1).await[0].body.len(), "length of the largest body");
}

async fn oversized(env: Arc<Env>) {
    let topic = env.topic("oversized", "NORMAL", 4).await;
    let producer = env.producer(&topic).await;
    // The library leaves the check to the server.
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    refused("a body of 4 MiB and a byte", "MESSAGE_BODY_TOO_LARGE", producer.send(build(message(&topic, &body)))).await;
    let many = message(&topic, "p").set_properties((0..17).map(|i| (format!("p{i}"), "v".repeat(1024))).collect());
    refused("17 KiB of properties", "MESSAGE_PROPERTIES_TOO_LARGE", producer.send(build(many))).await;
    let reserved = message(&topic, "r").set_properties(HashMap::from([("KEYS", "v")]));
    refused("a reserved property", "ILLEGAL_MESSAGE_PROPERTY_KEY", producer.send(build(reserved))).await;
    send(&producer, build(message(&topic, "fits"))).await;
    let stored = env.stored(&topic, 1).await;
    same(vec!["fits"], stored.iter().map(|m| m.body.as_str()).collect(), "stored");
}

async fn illegal_topic(env: Arc<Env>) {
    let topic = env.topic("legal", "NORMAL", 4).await;
    // A producer each: the settings of one name all its topics, and the server ends the stream of such settings.
    for (what, name, code) in [
        ("a topic that nobody made", env.unique("nobody"), "TOPIC_NOT_FOUND"),
        ("a system topic", "SCHEDULE_TOPIC_XXXX".to_owned(), "ILLEGAL_TOPIC"),
        ("a long topic name", "t".repeat(128), "ILLEGAL_TOPIC"),
        ("not a name", "not a topic!".to_owned(), "ILLEGAL_TOPIC"),
    ] {
        let producer = env.producer(&topic).await;
        refused(what, code, producer.send(build(message(&name, "m")))).await;
    }
    send(&env.producer(&topic).await, build(message(&topic, "m"))).await;
    same(1, env.stored(&topic, 1).await.len(), "messages stored");
}

async fn wrong_type(env: Arc<Env>) {
    let topic = env.topic("type", "NORMAL", 1).await;
    let producer = env.producer(&topic).await;
    let fifo = build(message(&topic, "fifo").set_message_group("g"));
    refused("a message group in a normal topic", "", producer.send(fifo)).await;
    let delay = build(message(&topic, "delay").set_delivery_timestamp(now_ms() / 1000 + 5));
    refused("a delay in a normal topic", "", producer.send(delay)).await;
    send(&producer, build(message(&topic, "normal"))).await;
    // The producer keeps the old route for a while, so the server has to notice.
    env.make_topic(&topic, "FIFO", 1).await;
    let late = build(message(&topic, "late"));
    refused("a normal message in a FIFO topic", "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE", producer.send(late)).await;
    let stored = env.stored(&topic, 1).await;
    same(vec!["normal"], stored.iter().map(|m| m.body.as_str()).collect(), "stored");
}
