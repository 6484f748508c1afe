//! Messages that are there for good: sent to queues, pulled from them, looked up by their keys.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use protocol::record::{Invalid, enters_queue, validate};
use protocol::request::{GetTopicConfig, QueryConsumeQueue, QueryConsumeQueueHeader, TopicHeader};
use protocol::{Frame, code, json};
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::Value;
use testkit::{Batch, Client, History, Id, Message, Pull, Pulled, Sent, Stored, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

pub(crate) const TOPICS: [&str; 3] = ["orders", "payments", "trades"];
pub(crate) const QUEUES: i32 = 4;
/// Of one producer in one round: bounds the log, not the test.
pub(crate) const MESSAGES_MAX: u64 = 4000;

/// What is known of the queues, from what was read after earlier rounds.
#[derive(Default)]
pub(super) struct Known {
    /// Log offset and size by queue offset.
    pub(super) queues: BTreeMap<(String, i32), Vec<(u64, usize)>>,
    /// What a consumer saw while the load ran.
    seen: HashMap<(String, i32, i64), u64>,
    /// Topics whose creation was acknowledged.
    pub(super) made: Vec<String>,
    /// Largest offset that the consumer wanted to commit.
    committed: HashMap<(String, i32), i64>,
}

/// A connection with a window of sends.
pub(crate) struct Producer {
    pub(crate) producer: u32,
    /// Its first number.
    pub(crate) first: u64,
    /// Where it sends to.
    pub(crate) topics: &'static [&'static str],
    pub(crate) messages_max: u64,
    pub(crate) window: usize,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Producer {
    /// Sends until the connection ends; returns the first number that was not used.
    pub(crate) async fn run(self, address: SocketAddr, mut rng: SmallRng) -> u64 {
        let (mut reader, mut writer) = Wire::connect(address).await.into_stream().into_split();
        let window = Arc::new(Semaphore::new(self.window));
        let waiting: Arc<Mutex<HashMap<i32, Vec<Id>>>> = Arc::default();
        let answers = {
            let (history, window, waiting) = (self.history.clone(), window.clone(), waiting.clone());
            tokio::spawn(async move {
                let mut input = BytesMut::new();
                while let Ok(1..) = reader.read_buf(&mut input).await {
                    while let Some(answer) = Frame::decode(&mut input).expect("a broker sends frames") {
                        let ids = waiting.lock().remove(&answer.opaque).expect("one answer for each request");
                        window.add_permits(1);
                        let sent = match Sent::from_answer(&answer) {
                            Ok(sent) => sent,
                            // The server is leaving; any other refusal is a mistake.
                            Err(refused) if refused.code == code::SERVICE_NOT_AVAILABLE.0 => continue,
                            Err(refused) => panic!("{refused:?}"),
                        };
                        for (at, id) in ids.into_iter().enumerate() {
                            history.lock().acknowledged(id, sent.queue, sent.offset + at as i64);
                        }
                    }
                }
                window.close();
            })
        };
        let mut next = self.first;
        let mut opaque = 0;
        while next < self.first + self.messages_max {
            let Ok(permit) = window.acquire().await else { break };
            permit.forget();
            let topic = self.topics[rng.random_range(0..self.topics.len())];
            let count = if rng.random_ratio(1, 10) { rng.random_range(2..10) } else { 1 };
            let ids: Vec<_> = (next..next + count).map(|number| Id { producer: self.producer, number }).collect();
            next += count;
            ids.iter().for_each(|id| self.history.lock().sent(*id, topic));
            let messages = ids.iter().map(|id| {
                let body = id.body(rng.random_range(0..2000));
                Message::new(body).unique_key(&key_of(*id)).tag(["a", "b", "c"][rng.random_range(0..3)])
            });
            let messages: Vec<_> = messages.collect();
            let queue = rng.random_range(0..QUEUES);
            let frame = match &messages[..] {
                [one] => one.frame(topic, queue),
                many => many.iter().fold(Batch::default(), Batch::with).frame(topic, queue),
            };
            opaque += 1;
            waiting.lock().insert(opaque, ids);
            let mut bytes = BytesMut::new();
            frame.encode(opaque, &mut bytes);
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        answers.await.expect("answers make sense");
        next
    }
}

fn key_of(id: Id) -> String {
    format!("key-{id}")
}

/// Follows some queue, remembers what it saw, and commits its place.
pub(super) async fn consume(address: SocketAddr, known: Arc<Mutex<Known>>, mut rng: SmallRng) {
    let mut wire = Wire::connect(address).await;
    let (topic, queue) = (TOPICS[rng.random_range(0..TOPICS.len())], rng.random_range(0..QUEUES));
    let place = (topic.to_owned(), queue);
    let mut offset = known.lock().queues.get(&place).map_or(0, Vec::len) as i64;
    for opaque in 0.. {
        let wait = Some(Duration::from_secs(1));
        let pull = Pull { group: "followers", wait, commit: Some(offset), ..Pull::from(topic, queue, offset) };
        {
            let mut known = known.lock();
            let committed = known.committed.entry(place.clone()).or_default();
            *committed = offset.max(*committed);
        }
        if !wire.send(&pull.frame(), opaque).await {
            return;
        }
        let Some(answer) = wire.read().await else { return };
        // Refused while the topic does not exist yet.
        let Ok(pulled) = Pulled::from_answer(&answer) else { continue };
        let mut known = known.lock();
        for message in &pulled.messages {
            known.seen.insert((topic.to_owned(), queue, message.offset), message.log_offset);
        }
        if pulled.code == 0 {
            offset = pulled.next;
        }
    }
}

/// Makes topics until the connection ends.
pub(super) async fn make_topics(address: SocketAddr, round: u64, known: Arc<Mutex<Known>>) {
    let mut wire = Wire::connect(address).await;
    for number in 0..20 {
        let topic = format!("made-{round}-{number}");
        if !wire.send(&testkit::send_frame(&topic, 0, "", "first"), number).await {
            return;
        }
        let Some(answer) = wire.read().await else { return };
        Sent::from_answer(&answer).expect("the first message makes the topic");
        known.lock().made.push(topic);
    }
}

/// Reads what is new since the last round.
pub(super) async fn verify_new(
    client: &Client,
    topics: impl Iterator<Item = &'static str>,
    history: &Mutex<History>,
    known: &Mutex<Known>,
    when: &str,
) {
    for topic in topics {
        for queue in 0..QUEUES {
            let from = known.lock().queues.get(&(topic.to_owned(), queue)).map_or(0, Vec::len);
            let (min, max) = client.range(topic, queue).await;
            if max == 0 && from == 0 {
                continue;
            }
            assert!(min == 0 && max >= from as i64, "{when}: queue {queue} of {topic} shrank from {from} to {max}");
            let messages = client.read(topic, queue, from as i64).await;
            assert_eq!(messages.len() as i64, max - from as i64, "{when}: queue {queue} of {topic} is dense");
            let mut known = known.lock();
            let places = known.queues.entry((topic.to_owned(), queue)).or_default();
            for message in &messages {
                check_place(message, topic, queue, places, when);
                history.lock().read(topic, queue, message.offset, &message.body);
                places.push((message.log_offset, message.size));
            }
        }
    }
    let known = known.lock();
    for ((topic, queue, offset), log_offset) in &known.seen {
        let is = known.queues.get(&(topic.clone(), *queue)).and_then(|places| places.get(*offset as usize));
        assert_eq!(is.map(|(at, _)| at), Some(log_offset), "{when}: a consumer saw another {topic} {queue} {offset}");
    }
}

#[track_caller]
fn check_place(message: &Stored, topic: &str, queue: i32, before: &[(u64, usize)], when: &str) {
    assert_eq!((message.topic.as_str(), message.queue), (topic, queue), "{when}");
    assert_eq!(message.offset, before.len() as i64, "{when}: offsets of queue {queue} of {topic} are dense");
    let end_of_last = before.last().map_or(0, |(at, size)| at + *size as u64);
    assert!(message.log_offset >= end_of_last, "{when}: log offsets of queue {queue} of {topic} rise");
}

/// Looks some of the last acknowledged messages up by their keys.
pub(super) async fn verify_samples(client: &Client, history: &Mutex<History>, ids: &[Id]) {
    for id in ids {
        let topic = history.lock().topic_of(*id).expect("it was sent").to_owned();
        let found = client.by_unique_key(&topic, &key_of(*id)).await;
        let bodies: Vec<_> = found.iter().map(|message| Id::of_body(&message.body)).collect();
        assert_eq!(bodies, [Some(*id)], "by its key");
    }
}

/// Topics that were made are there, and no offset was invented.
pub(super) async fn verify_tables(client: &Client, known: &Mutex<Known>) {
    let (made, committed) = {
        let known = known.lock();
        (known.made.clone(), known.committed.clone())
    };
    for topic in made.iter().rev().take(25) {
        let answer = client.ask::<GetTopicConfig>(&TopicHeader { topic }).await;
        assert_eq!(answer.code, 0, "topic {topic} was acknowledged: {:?}", answer.remark);
    }
    for ((topic, queue), largest) in committed {
        if let Ok(offset) = client.committed("followers", &topic, queue).await {
            assert!(offset <= largest, "nobody committed {offset} in queue {queue} of {topic}");
        }
    }
}

/// Compares the whole log, as it lies on the disk, with the queues, both as they are read and as they were.
pub(super) async fn verify_all(client: &Client, data: &Path, known: &Mutex<Known>) {
    let queues = known.lock().queues.clone();
    let mut in_log = scan_log(&data.join("commitlog"));
    in_log.retain(|queue, _| queues.contains_key(queue));
    assert_eq!(in_log.len(), queues.len());
    for ((topic, queue), places) in &queues {
        let logged = &in_log[&(topic.clone(), *queue)];
        assert_eq!(logged, places, "queue {queue} of {topic} equals the log");
        let again: Vec<_> = client.read(topic, *queue, 0).await.iter().map(|m| (m.log_offset, m.size)).collect();
        assert_eq!(&again, places, "queue {queue} of {topic} is what it was");
        let header = QueryConsumeQueueHeader { topic, queue_id: *queue, index: 0, count: 500, consumer_group: None };
        let answer = client.ask::<QueryConsumeQueue>(&header).await;
        let shown: Value = json::parse(&answer.body).expect("a table of entries");
        let entries = shown["queueData"].as_array().expect("a list of entries");
        let entry = |entry: &Value| Some((entry["physicOffset"].as_u64()?, entry["physicSize"].as_u64()? as usize));
        let entries: Vec<_> = entries.iter().map(|shown| entry(shown).expect("numbers")).collect();
        assert_eq!(entries[..], places[..places.len().min(500)]);
    }
}

/// Places of all messages in the files of a log, by queue.
fn scan_log(dir: &Path) -> BTreeMap<(String, i32), Vec<(u64, usize)>> {
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("a log").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let mut queues: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        let bytes = std::fs::read(&file).expect("it can be read");
        let mut at = 0;
        while at < bytes.len() {
            let record = match validate(&bytes[at..], true) {
                Ok(record) => record,
                Err(Invalid::Blank(_) | Invalid::Zero) => break,
                Err(invalid) => panic!("{} at {at}: {invalid}", file.display()),
            };
            at += record.len();
            if enters_queue(record.sys_flag()) {
                let queue = queues.entry((record.topic().to_owned(), record.queue_id() as i32)).or_default();
                assert_eq!(record.queue_offset(), queue.len() as u64);
                queue.push((record.log_offset(), record.len()));
            }
        }
    }
    queues
}
