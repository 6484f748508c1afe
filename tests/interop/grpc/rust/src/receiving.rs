//! The simple consumer; this client has no other, and cannot change the invisible time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::Producer;

use crate::env::{build, message, now_ms, same, send, sorted, strings, text, texts, Consumer, Env, LIMIT, LONG, SHORT};
use crate::{together, Scenario};

const COLORS: [&str; 3] = ["red", "green", "blue"];

pub fn scenarios() -> Vec<Scenario> {
    vec![
        together("simple-consumer", simple_consumer),
        together("redelivery", redelivery),
        together("fifo-order", fifo_order),
        together("fifo-blocking", fifo_blocking),
        together("tag-filter", tag_filter),
        together("sql-filter", sql_filter),
        together("unknown-group", unknown_group),
        together("two-consumers-share", share),
        together("many-messages", many),
    ]
}

async fn simple_consumer(env: Arc<Env>) {
    let (topic, group) = (env.topic("simple", "NORMAL", 4).await, env.group("simple", false).await);
    let producer = env.producer(&topic).await;
    let (before, mut sent) = (now_ms(), HashMap::new());
    for i in 0..12 {
        let body = format!("m{i} äöü 消息");
        let m = message(&topic, &body).set_tag(format!("t{}", i % 3)).set_keys(vec![format!("k{i}"), "all".to_owned()]);
        let m = m.set_properties(HashMap::from([("n", i.to_string()), ("text", "a b=c;значение".to_owned())]));
        sent.insert(send(&producer, build(m)).await.message_id().to_owned(), body);
    }
    let after = now_ms();
    let consumer = env.consumer(&group, &topic).await;
    let received = Instant::now();
    for m in consumer.receive(12, SHORT).await {
        same(sent.remove(m.message_id()), Some(text(&m)), "body by message id");
        let n: usize = m.properties()["n"].parse().expect("a number");
        same(format!("m{n} äöü 消息"), text(&m), "body by property");
        same(topic.as_str(), m.topic(), "topic");
        same(Some(format!("t{}", n % 3)), m.tag().map(str::to_owned), "tag");
        same(&[format!("k{n}"), "all".to_owned()][..], m.keys(), "keys");
        same("a b=c;значение", m.properties()["text"].as_str(), "property");
        same((2, 1), (m.properties().len(), m.delivery_attempt()), "number of properties, delivery attempt");
        // The library keeps whole seconds.
        let born = m.born_timestamp();
        assert!(born >= before / 1000 && born <= after / 1000, "born at {born}");
        consumer.ack(&m).await;
    }
    env.await_committed(&topic, &group, 12).await;
    tokio::time::sleep_until((received + SHORT + Duration::from_secs(1)).into()).await;
    same(strings(&[]), texts(&consumer.poll(32, SHORT).await), "received after the acknowledgement");
}

async fn redelivery(env: Arc<Env>) {
    let topic = env.topic("again", "NORMAL", 1).await;
    let producer = env.producer(&topic).await;
    for body in ["a", "b", "c"] {
        let m = message(&topic, body)
            .set_tag("t")
            .set_keys(vec![format!("k-{body}")])
            .set_properties(HashMap::from([("p", body)]));
        send(&producer, build(m)).await;
    }
    let consumer = env.consumer(&env.group("again", false).await, &topic).await;
    let (asked, mut ids) = (Instant::now(), HashMap::new());
    for m in consumer.receive(3, SHORT).await {
        ids.insert(text(&m), m.message_id().to_owned());
        if text(&m) == "b" {
            consumer.ack(&m).await;
        }
    }
    for attempt in [2, 3] {
        let again = consumer.receive(2, SHORT).await;
        assert!(asked.elapsed() >= SHORT * (attempt - 1), "came back after {:?}", asked.elapsed());
        same(strings(&["a", "c"]), sorted(texts(&again)), "came back");
        for m in &again {
            same(attempt as i32, m.delivery_attempt(), "delivery attempt");
            same(ids[&text(m)].as_str(), m.message_id(), "message id");
            same((topic.as_str(), Some("t")), (m.topic(), m.tag()), "topic and tag");
            same(&[format!("k-{}", text(m))][..], m.keys(), "keys");
            same(text(m), m.properties()["p"].clone(), "property");
            if attempt == 3 {
                consumer.ack(m).await;
            }
        }
    }
}

async fn fifo_order(env: Arc<Env>) {
    let (topic, group) = (env.topic("fifo", "FIFO", 4).await, env.group("fifo", true).await);
    let producer = env.producer(&topic).await;
    for i in 0..8 {
        for color in COLORS {
            send(&producer, build(message(&topic, &format!("{color}{i}")).set_message_group(color))).await;
        }
    }
    let consumer = env.consumer(&group, &topic).await;
    let (mut got, deadline) = (Vec::new(), Instant::now() + LIMIT);
    while got.len() < 24 {
        assert!(Instant::now() < deadline, "only {} messages within {LIMIT:?}", got.len());
        for m in consumer.poll(5, LONG).await {
            got.push((m.message_group().unwrap_or_default().to_owned(), text(&m)));
            consumer.ack(&m).await;
        }
    }
    for color in COLORS {
        let wanted: Vec<String> = (0..8).map(|i| format!("{color}{i}")).collect();
        let of_color = got.iter().filter(|(g, _)| g == color).map(|(_, t)| t.clone()).collect();
        same(wanted, of_color, color);
    }
}

/// Nothing of a message group is delivered while an earlier message is neither acknowledged nor due again.
async fn fifo_blocking(env: Arc<Env>) {
    let (topic, group) = (env.topic("blocking", "FIFO", 4).await, env.group("blocking", true).await);
    let producer = env.producer(&topic).await;
    for i in 0..3 {
        send(&producer, build(message(&topic, &format!("m{i}")).set_message_group("one"))).await;
    }
    let consumer = env.consumer(&group, &topic).await;
    let first = consumer.one(LONG).await;
    same("m0", &text(&first), "first");
    same(strings(&[]), texts(&consumer.poll(1, LONG).await), "received while m0 is held");
    consumer.ack(&first).await;

    let asked = Instant::now();
    same("m1", &text(&consumer.one(SHORT).await), "second");
    // Not acknowledged: it comes again, before the third.
    let again = consumer.one(LONG).await;
    assert!(asked.elapsed() >= SHORT, "came back after {:?}", asked.elapsed());
    same(("m1", 2), (&text(&again), again.delivery_attempt()), "after the invisible time");
    consumer.ack(&again).await;
    let third = consumer.one(LONG).await;
    same("m2", &text(&third), "third");
    consumer.ack(&third).await;
    env.await_committed(&topic, &group, 3).await;
}

async fn tag_filter(env: Arc<Env>) {
    let topic = env.topic("tags", "NORMAL", 4).await;
    let producer = env.producer(&topic).await;
    let mut wanted = Vec::new();
    for i in 0..20 {
        let body = format!("{}{i}", ["red", "green", "blue", ""][i % 4]);
        let m = message(&topic, &body);
        send(&producer, build(if i % 4 < 3 { m.set_tag(COLORS[i % 4]) } else { m })).await;
        if i % 4 == 0 || i % 4 == 2 {
            wanted.push(body);
        }
    }
    let filter = FilterExpression::new(FilterType::Tag, "red || blue");
    only(&env.filtered(&env.group("tags", false).await, &topic, filter).await, wanted).await;
}

async fn sql_filter(env: Arc<Env>) {
    let topic = env.topic("sql", "NORMAL", 4).await;
    let filter = "n BETWEEN 3 AND 12 AND (color = 'red' OR color IS NULL) AND TAGS = 't'";
    let filter = FilterExpression::new(FilterType::Sql, filter);
    let consumer = env.filtered(&env.group("sql", false).await, &topic, filter).await;
    let producer = env.producer(&topic).await;
    let mut wanted = Vec::new();
    for i in 0..20 {
        let mut properties = vec![("n", i.to_string())];
        if i % 3 < 2 {
            properties.push(("color", ["red", "blue"][i % 3].to_owned()));
        }
        send(
            &producer,
            build(message(&topic, &format!("m{i}")).set_tag("t").set_properties(HashMap::from_iter(properties))),
        )
        .await;
        if (3..=12).contains(&i) && i % 3 != 1 {
            wanted.push(format!("m{i}"));
        }
    }
    only(&consumer, wanted).await;
}

async fn only(consumer: &Consumer, wanted: Vec<String>) {
    let got = consumer.receive(wanted.len(), LONG).await;
    same(sorted(wanted), sorted(texts(&got)), "received");
    same(strings(&[]), texts(&consumer.poll(32, LONG).await), "received beyond these");
}

async fn unknown_group(env: Arc<Env>) {
    let topic = env.topic("unknown", "NORMAL", 4).await;
    send(&env.producer(&topic).await, build(message(&topic, "m"))).await;
    let consumer = env.consumer(&env.unique("nobody-made"), &topic).await;
    consumer.consume_exactly(&strings(&["m"])).await;
}

async fn share(env: Arc<Env>) {
    let (topic, group) = (env.topic("share", "NORMAL", 4).await, env.group("share", false).await);
    let producer = env.producer(&topic).await;
    let consumers = [env.consumer(&group, &topic).await, env.consumer(&group, &topic).await];
    let (mut bodies, mut got, deadline) = (Vec::new(), [vec![], vec![]], Instant::now() + LIMIT);
    while got.iter().any(Vec::is_empty) || got[0].len() + got[1].len() < bodies.len() {
        assert!(Instant::now() < deadline, "{} and {} of {} consumed", got[0].len(), got[1].len(), bodies.len());
        // More until each has had some.
        if got.iter().any(Vec::is_empty) {
            for _ in 0..20 {
                bodies.push(format!("m{}", bodies.len()));
                send(&producer, build(message(&topic, &bodies[bodies.len() - 1]))).await;
            }
        }
        for (consumer, got) in consumers.iter().zip(&mut got) {
            for m in consumer.poll(8, LONG).await {
                consumer.ack(&m).await;
                got.push(text(&m));
            }
        }
    }
    same(sorted(bodies), sorted(got.concat()), "consumed by both");
}

async fn many(env: Arc<Env>) {
    let (topic, group) = (env.topic("many", "NORMAL", 4).await, env.group("many", false).await);
    let producer = env.producer(&topic).await;
    let consumer = env.consumer(&group, &topic).await;
    let mut bodies = Vec::new();
    for batch in 0..20 {
        let some: Vec<String> = (0..100).map(|i| format!("m{batch}-{i}")).collect();
        send_all(&producer, &topic, &some).await;
        bodies.extend(some);
    }
    consumer.consume_exactly(&bodies).await;
    env.await_committed(&topic, &group, bodies.len()).await;
}

async fn send_all(producer: &Producer, topic: &str, bodies: &[String]) {
    join_all(bodies.iter().map(|b| send(producer, build(message(topic, b))))).await;
}
