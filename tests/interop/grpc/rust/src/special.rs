//! Messages that are more than sent and received. This client has neither recall nor priorities.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rocketmq::model::transaction::{Transaction, TransactionResolution};

use crate::env::{build, eventually, message, now_ms, same, send, strings, text, texts, Env, LIMIT, LONG};
use crate::{together, Scenario};

/// Java's timer has this precision and may be so early.
const TIMER_MS: i64 = 1000;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        together("delay", delay),
        together("transaction-commit-and-rollback", transaction),
        together("transaction-check", transaction_check),
    ]
}

async fn delay(env: Arc<Env>) {
    let topic = env.topic("delay", "DELAY", 1).await;
    let consumer = env.consumer(&env.group("delay", false).await, &topic).await;
    let producer = env.producer(&topic).await;
    // This client's delivery timestamps are of whole seconds.
    let now = now_ms() / 1000;
    for seconds in [9, 5] {
        let m = message(&topic, &seconds.to_string()).set_tag("t").set_properties(HashMap::from([("p", "v")]));
        send(&producer, build(m.set_delivery_timestamp(now + seconds))).await;
    }
    let (mut got, deadline) = (Vec::new(), Instant::now() + LIMIT);
    while got.len() < 2 {
        assert!(Instant::now() < deadline, "{got:?} within {LIMIT:?}");
        for m in consumer.poll(32, LONG).await {
            let due = now + text(&m).parse::<i64>().expect("seconds");
            assert!(now_ms() >= due * 1000 - TIMER_MS, "{} s came after {} ms", text(&m), now_ms() - now * 1000);
            same(
                (Some("t"), "v", 1),
                (m.tag(), m.properties()["p"].as_str(), m.delivery_attempt()),
                "tag, property, attempt",
            );
            consumer.ack(&m).await;
            got.push(text(&m));
        }
    }
    same(strings(&["5", "9"]), got, "order of arrival");
}

async fn transaction(env: Arc<Env>) {
    let topic = env.topic("transaction", "TRANSACTION", 2).await;
    let consumer = env.consumer(&env.group("transaction", false).await, &topic).await;
    let producer = env.transactional(&topic, Box::new(|_, _| TransactionResolution::UNKNOWN)).await;
    let half = |body: &str| {
        let m = message(&topic, body).enable_transaction().set_tag("t").set_keys(vec![format!("k-{body}")]);
        build(m.set_properties(HashMap::from([("p", body)])))
    };
    let first = producer.send_transaction_message(half("m0")).await.expect("a half message");
    same(strings(&[]), texts(&consumer.poll(32, LONG).await), "consumed before the commit");
    first.commit().await.expect("a commit");
    let mut committed = Vec::new();
    for i in 1..10 {
        let t = producer.send_transaction_message(half(&format!("m{i}"))).await.expect("a half message");
        if i % 2 == 0 {
            t.commit().await.expect("a commit");
            committed.push(format!("m{i}"));
        } else {
            t.rollback().await.expect("a rollback");
        }
    }
    committed.push("m0".to_owned());
    for m in consumer.consume_exactly(&committed).await {
        same(Some("t"), m.tag(), "tag");
        same(&[format!("k-{}", text(&m))][..], m.keys(), "keys");
        same(text(&m), m.properties()["p"].clone(), "property");
    }
    same(strings(&[]), texts(&consumer.poll(32, LONG).await), "consumed beyond these");
}

async fn transaction_check(env: Arc<Env>) {
    let topic = env.topic("check", "TRANSACTION", 1).await;
    let consumer = env.consumer(&env.group("check", false).await, &topic).await;
    let times: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let counted = times.clone();
    let producer = env.transactional(
        &topic,
        Box::new(move |_, m| {
            let mut times = counted.lock().expect("the counts");
            let count = times.entry(text(&m)).or_default();
            *count += 1;
            match (text(&m).as_str(), *count) {
                ("no", _) => TransactionResolution::ROLLBACK,
                ("later", 1) => TransactionResolution::UNKNOWN,
                _ => TransactionResolution::COMMIT,
            }
        }),
    );
    let producer = producer.await;
    for body in ["yes", "no", "later"] {
        let m = build(message(&topic, body).enable_transaction());
        producer.send_transaction_message(m).await.expect("a half message");
    }
    eventually("all checked", LIMIT, || async {
        let times = times.lock().expect("the counts");
        let of = |body: &str| times.get(body).copied().unwrap_or_default();
        of("yes") > 0 && of("no") > 0 && of("later") > 1
    })
    .await;
    // A check may cross the commit of the one before, and then the message comes twice.
    let (mut got, deadline) = (HashSet::new(), Instant::now() + LIMIT);
    while got.len() < 2 {
        assert!(Instant::now() < deadline, "{got:?} within {LIMIT:?}");
        got.extend(texts(&consumer.poll(32, LONG).await));
    }
    got.extend(texts(&consumer.poll(32, LONG).await));
    same(HashSet::from(["yes".to_owned(), "later".to_owned()]), got, "consumed");
}
