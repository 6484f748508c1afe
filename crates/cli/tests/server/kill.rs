//! `kill -9` at random moments, under load and during start-up.

use std::collections::{BTreeMap, HashMap};
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
use testkit::{Batch, Client, History, Id, Message, Pull, Pulled, Seed, Sent, Stored, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::{alone, rocketmq};

pub(crate) const TOPICS: [&str; 3] = ["orders", "payments", "trades"];
pub(crate) const QUEUES: i32 = 4;
const PRODUCERS: u32 = 4;
/// Of one producer in one round: bounds the log, not the test.
const MESSAGES_MAX: u64 = 4000;

/// What is known of the queues, from what was read after earlier rounds.
#[derive(Default)]
struct Known {
    /// Log offset and size by queue offset.
    queues: BTreeMap<(String, i32), Vec<(u64, usize)>>,
    /// What a consumer saw while the load ran.
    seen: HashMap<(String, i32, i64), u64>,
    /// Topics whose creation was acknowledged.
    made: Vec<String>,
    /// Largest offset that the consumer committed.
    committed: HashMap<(String, i32), i64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let _alone = alone().await;
    let rounds: u64 = std::env::var("KILL_ROUNDS").map_or(10, |text| text.parse().expect("KILL_ROUNDS is a number"));
    let seed = Seed::take("kill_9");
    let mut rng = seed.stream(0);
    // Above what the smallest prepared segment needs, so that zeros are written ahead as in production.
    let command = rocketmq().set("mappedFileSizeCommitLog", 16 << 20);
    let history = Arc::new(Mutex::new(History::default()));
    let known = Arc::new(Mutex::new(Known::default()));
    let mut numbers = [0; PRODUCERS as usize];
    let mut starts = Vec::new();
    let mut killed_starts = 0;
    let mut in_doubt: Vec<Id> = Vec::new();

    for round in 0..=rounds {
        if round > 0 && rng.random_ratio(1, 4) {
            // The recovery of the last round dies as well.
            let usual = starts.iter().copied().max().unwrap_or(Duration::from_millis(100));
            command.start_and_kill_after(usual.mul_f64(rng.random_range(0.0..1.1)));
            killed_starts += 1;
        }
        let server = command.start();
        starts.push(server.ready_after());
        let client = server.client().await;
        verify_new(&client, &history, &known, &format!("seed {}, round {round}", seed.0)).await;
        verify_samples(&client, &history, &in_doubt).await;
        verify_tables(&client, &known).await;
        if round % 20 == 19 || round == rounds {
            verify_all(&client, command.data_path(), &known).await;
        }
        let verdict = history.lock().verdict();
        assert!(verdict.is_good(), "seed {}, round {round}: {verdict}\n{}", seed.0, server.output());
        assert_eq!(server.panics(), [""; 0]);
        if round % 20 == 19 {
            println!("kill -9: after {round} rounds: {verdict}; this start took {:?}", server.ready_after());
        }
        if round == rounds {
            break;
        }

        // Long enough now and then for a checkpoint and a copy of the tables to fall into it.
        let long = rng.random_ratio(1, 25);
        let pause =
            Duration::from_millis(if long { rng.random_range(9_500..12_000) } else { rng.random_range(5..500) });
        let window = if long { 2 } else { rng.random_range(1..300) };
        let mut producers = Vec::new();
        for producer in 0..PRODUCERS {
            let stream = seed.stream((round << 8) | (u64::from(producer) + 1));
            let load = Producer { producer, first: numbers[producer as usize], window, history: history.clone() };
            producers.push(tokio::spawn(load.run(server.address(), stream)));
        }
        let consumer = tokio::spawn(consume(server.address(), known.clone(), seed.stream((round << 8) | 0xFF)));
        let maker = tokio::spawn(make_topics(server.address(), round, known.clone()));
        tokio::time::sleep(pause).await;
        client.close().await;
        server.kill();
        in_doubt.clear();
        for (producer, load) in producers.into_iter().enumerate() {
            let next = load.await.expect("producers do not panic");
            let first = numbers[producer];
            let id = |number| Id { producer: producer as u32, number };
            in_doubt
                .extend((first..next).rev().take(50).map(id).filter(|id| history.lock().is_acknowledged(*id)).take(2));
            numbers[producer] = next;
        }
        consumer.await.expect("the consumer does not panic");
        maker.await.expect("the maker of topics does not panic");
    }

    starts.sort_unstable();
    let verdict = history.lock().verdict();
    println!("kill -9: {rounds} rounds and {killed_starts} killed starts; {verdict}");
    println!(
        "kill -9: {} topics made; restart median {:?}, max {:?}",
        known.lock().made.len(),
        starts[starts.len() / 2],
        starts[starts.len() - 1]
    );
    assert!(verdict.acknowledged > rounds as usize, "there was a load");
}

/// A connection with a window of sends.
pub(crate) struct Producer {
    pub(crate) producer: u32,
    /// Its first number.
    pub(crate) first: u64,
    pub(crate) window: usize,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Producer {
    /// Sends until the connection ends; returns the first number that was not used.
    pub(crate) async fn run(self, address: std::net::SocketAddr, mut rng: SmallRng) -> u64 {
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
        while next < self.first + MESSAGES_MAX {
            let Ok(permit) = window.acquire().await else { break };
            permit.forget();
            let topic = TOPICS[rng.random_range(0..TOPICS.len())];
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
async fn consume(address: std::net::SocketAddr, known: Arc<Mutex<Known>>, mut rng: SmallRng) {
    let mut wire = Wire::connect(address).await;
    let (topic, queue) = (TOPICS[rng.random_range(0..TOPICS.len())], rng.random_range(0..QUEUES));
    let place = (topic.to_owned(), queue);
    let mut offset = known.lock().queues.get(&place).map_or(0, Vec::len) as i64;
    for opaque in 0.. {
        let wait = Some(Duration::from_secs(1));
        let pull = Pull { group: "followers", wait, commit: Some(offset), ..Pull::from(topic, queue, offset) };
        if !wire.send(&pull.frame(), opaque).await {
            return;
        }
        let Some(answer) = wire.read().await else { return };
        // Refused while the topic does not exist yet.
        let Ok(pulled) = Pulled::from_answer(&answer) else { continue };
        let mut known = known.lock();
        let committed = known.committed.entry(place.clone()).or_default();
        *committed = offset.max(*committed);
        for message in &pulled.messages {
            known.seen.insert((topic.to_owned(), queue, message.offset), message.log_offset);
        }
        if pulled.code == 0 {
            offset = pulled.next;
        }
    }
}

/// Makes topics until the connection ends.
async fn make_topics(address: std::net::SocketAddr, round: u64, known: Arc<Mutex<Known>>) {
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
async fn verify_new(client: &Client, history: &Mutex<History>, known: &Mutex<Known>, when: &str) {
    for topic in TOPICS {
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
async fn verify_samples(client: &Client, history: &Mutex<History>, ids: &[Id]) {
    for id in ids {
        let topic = history.lock().topic_of(*id).expect("it was sent").to_owned();
        let found = client.by_unique_key(&topic, &key_of(*id)).await;
        let bodies: Vec<_> = found.iter().map(|message| Id::of_body(&message.body)).collect();
        assert_eq!(bodies, [Some(*id)], "by its key");
    }
}

/// Topics that were made are there, and no offset was invented.
async fn verify_tables(client: &Client, known: &Mutex<Known>) {
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
async fn verify_all(client: &Client, data: &Path, known: &Mutex<Known>) {
    let queues = known.lock().queues.clone();
    let mut in_log = scan_log(&data.join("commitlog"));
    in_log.retain(|(topic, _), _| TOPICS.contains(&topic.as_str()));
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
