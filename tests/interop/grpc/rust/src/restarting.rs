//! The server goes away and comes back while a producer and a consumer work.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::env::{build, eventually, message, text, Env, LIMIT};
use crate::{restart, restart_server, Scenario};

const BEFORE: usize = 300;
const MESSAGES: usize = 900;
const INVISIBLE: Duration = Duration::from_secs(30);
/// What was on its way to the consumer comes again when its invisible time is over.
const CONSUMED: Duration = Duration::from_secs(150);

#[derive(Default)]
struct Traffic {
    acknowledged: Mutex<HashSet<String>>,
    /// A send that failed may have been stored all the same.
    uncertain: Mutex<HashSet<String>>,
    consumed: Mutex<HashSet<String>>,
    number: AtomicUsize,
    stop_sending: AtomicBool,
    stop_consuming: AtomicBool,
}

impl Traffic {
    fn sent(&self) -> usize {
        self.acknowledged.lock().expect("the set").len()
    }

    fn missing(&self) -> Vec<String> {
        let consumed = self.consumed.lock().expect("the set");
        self.acknowledged.lock().expect("the set").difference(&consumed).cloned().collect()
    }
}

pub fn scenarios() -> Vec<Scenario> {
    vec![
        restart("restart-by-sigterm", |env| traffic(env, "TERM")),
        restart("restart-by-sigkill", |env| traffic(env, "KILL")),
    ]
}

async fn traffic(env: Arc<Env>, how: &'static str) {
    let (topic, group) = (env.topic("restart", "NORMAL", 4).await, env.group("restart", false).await);
    let all = Arc::new(Traffic::default());
    let sender = tokio::spawn(send(env.clone(), topic.clone(), all.clone()));
    let consumer = tokio::spawn(consume(env, group, topic, all.clone()));
    eventually("the first messages", LIMIT, || async { all.sent() >= BEFORE }).await;
    restart_server(how).await;
    let enough = MESSAGES.max(all.sent() + BEFORE);
    eventually("all sent", Duration::from_secs(90), || async { all.sent() >= enough }).await;
    all.stop_sending.store(true, Ordering::Relaxed);
    sender.await.expect("the sender");
    eventually("all consumed", CONSUMED, || async { all.missing().is_empty() }).await;
    all.stop_consuming.store(true, Ordering::Relaxed);
    consumer.await.expect("the consumer");
    let (acknowledged, uncertain) = (all.acknowledged.lock().expect("the set"), all.uncertain.lock().expect("the set"));
    for body in all.consumed.lock().expect("the set").iter() {
        assert!(acknowledged.contains(body) || uncertain.contains(body), "consumed but never sent: {body}");
    }
}

async fn send(env: Arc<Env>, topic: String, all: Arc<Traffic>) {
    let producer = env.producer(&topic).await;
    while !all.stop_sending.load(Ordering::Relaxed) {
        let body = format!("m{}", all.number.fetch_add(1, Ordering::Relaxed));
        let (set, pause) = match producer.send(build(message(&topic, &body))).await {
            Ok(_) => (&all.acknowledged, 3),
            Err(_) => (&all.uncertain, 100),
        };
        set.lock().expect("the set").insert(body);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn consume(env: Arc<Env>, group: String, topic: String, all: Arc<Traffic>) {
    let consumer = env.consumer(&group, &topic).await;
    while !all.stop_consuming.load(Ordering::Relaxed) {
        let Ok(messages) = consumer.try_poll(32, INVISIBLE).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        for m in &messages {
            all.consumed.lock().expect("the set").insert(text(m));
            // One that is lost with the server makes the message come again.
            consumer.try_ack(m).await;
        }
    }
}
