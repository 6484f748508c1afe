//! What a scenario is given: the server, and names nobody used before.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType, SendReceipt};
use rocketmq::model::message::{Message, MessageBuilder, MessageView};
use rocketmq::model::transaction::TransactionChecker;
use rocketmq::{Producer, SimpleConsumer};
use serde_json::{json, Value};

/// The library ends a poll at the client after the time that it asks the server to wait.
const POLL: Duration = Duration::from_secs(7);
pub const LIMIT: Duration = Duration::from_secs(60);
/// The shortest invisible time that a proxy accepts, and one that no scenario waits for.
pub const SHORT: Duration = Duration::from_secs(10);
pub const LONG: Duration = Duration::from_secs(300);

static NUMBERS: AtomicUsize = AtomicUsize::new(1);

#[derive(Clone, Default)]
pub struct Addresses {
    pub grpc: String,
    pub helper: String,
}

pub struct Env {
    addresses: Addresses,
}

/// A message as a remoting client sees it.
pub struct Stored {
    pub body: String,
    pub properties: HashMap<String, String>,
}

/// A simple consumer with its one subscription.
pub struct Consumer {
    inner: SimpleConsumer,
    topic: String,
    filter: FilterExpression,
}

impl Env {
    pub fn new(addresses: Addresses) -> Self {
        Env { addresses }
    }

    /// Asks the runner's helper, which can do what this client cannot; see helper.py.
    pub async fn ask(&self, asked: Value) -> Value {
        let address = self.addresses.helper.clone();
        let answer = tokio::task::spawn_blocking(move || -> std::io::Result<Value> {
            let mut stream = TcpStream::connect(address)?;
            writeln!(stream, "{asked}")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        });
        let answer = answer.await.expect("a thread").expect("the helper answers");
        assert!(answer.get("error").is_none(), "helper: {}", answer["error"]);
        answer
    }

    pub fn unique(&self, stem: &str) -> String {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        format!("rust-{stem}-{}-{}-{number}", std::process::id(), now_ms() % 1_000_000_000)
    }

    pub async fn topic(&self, stem: &str, kind: &str, queues: usize) -> String {
        let name = self.unique(stem);
        self.make_topic(&name, kind, queues).await;
        name
    }

    /// Makes the topic, or changes its type.
    pub async fn make_topic(&self, name: &str, kind: &str, queues: usize) {
        self.ask(json!({"do": "topic", "name": name, "type": kind, "queues": queues})).await;
    }

    pub async fn group(&self, stem: &str, order: bool) -> String {
        let name = self.unique(stem);
        self.ask(json!({"do": "group", "name": name, "order": order})).await;
        name
    }

    pub async fn stored(&self, topic: &str, count: usize) -> Vec<Stored> {
        let answer = self.ask(json!({"do": "stored", "topic": topic, "count": count})).await;
        let messages = answer["messages"].as_array().expect("messages").iter();
        messages
            .map(|m| Stored {
                body: m["body"].as_str().expect("a body").to_owned(),
                properties: serde_json::from_value(m["properties"].clone()).expect("properties"),
            })
            .collect()
    }

    pub async fn await_committed(&self, topic: &str, group: &str, count: usize) {
        eventually("all committed", LIMIT, || async {
            self.ask(json!({"do": "committed", "topic": topic, "group": group})).await["committed"] == count
        })
        .await;
    }

    fn client_option(&self) -> ClientOption {
        let mut option = ClientOption::default();
        option.set_access_url(self.addresses.grpc.clone());
        option.set_enable_tls(false);
        // The default of three seconds is short for two cores that run everything at once.
        option.set_timeout(Duration::from_secs(30));
        option.set_long_polling_timeout(POLL);
        option
    }

    fn producer_option(topic: &str) -> ProducerOption {
        let mut option = ProducerOption::default();
        option.set_topics(vec![topic]);
        option
    }

    pub async fn producer(&self, topic: &str) -> Producer {
        let mut producer = Producer::new(Self::producer_option(topic), self.client_option()).expect("a producer");
        producer.start().await.expect("a started producer");
        producer
    }

    pub async fn transactional(&self, topic: &str, checker: Box<TransactionChecker>) -> Producer {
        let mut producer =
            Producer::new_transaction_producer(Self::producer_option(topic), self.client_option(), checker)
                .expect("a producer");
        producer.start().await.expect("a started producer");
        producer
    }

    pub async fn consumer(&self, group: &str, topic: &str) -> Consumer {
        self.filtered(group, topic, FilterExpression::new(FilterType::Tag, "*")).await
    }

    pub async fn filtered(&self, group: &str, topic: &str, filter: FilterExpression) -> Consumer {
        let mut option = SimpleConsumerOption::default();
        option.set_consumer_group(group);
        option.set_topics(vec![topic]);
        let mut inner = SimpleConsumer::new(option, self.client_option()).expect("a consumer");
        inner.start().await.expect("a started consumer");
        Consumer { inner, topic: topic.to_owned(), filter }
    }
}

impl Consumer {
    /// One poll.
    pub async fn poll(&self, count: i32, invisible: Duration) -> Vec<MessageView> {
        match self.try_poll(count, invisible).await {
            Ok(messages) => messages,
            Err(e) => panic!("receive: {e}"),
        }
    }

    /// One poll; the library's own deadline may come before the server's answer that there is nothing.
    pub async fn try_poll(&self, count: i32, invisible: Duration) -> Result<Vec<MessageView>, String> {
        match self.inner.receive_with(&self.topic, &self.filter, count, invisible).await {
            Ok(messages) => Ok(messages),
            Err(e) if ["Timeout expired", "deadline", "Deadline"].iter().any(|t| e.to_string().contains(t)) => {
                Ok(vec![])
            }
            Err(e) => Err(e.to_string()),
        }
    }

    /// Receives until there are so many messages, and leaves them without acknowledgement.
    pub async fn receive(&self, count: usize, invisible: Duration) -> Vec<MessageView> {
        let (mut found, deadline) = (Vec::new(), Instant::now() + LIMIT);
        while found.len() < count {
            assert!(Instant::now() < deadline, "{count} messages received: only {} within {LIMIT:?}", found.len());
            found.extend(self.poll(32, invisible).await);
        }
        same(count, found.len(), "messages received");
        found
    }

    pub async fn one(&self, invisible: Duration) -> MessageView {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(message) = self.poll(1, invisible).await.pop() {
                return message;
            }
            assert!(Instant::now() < deadline, "a message: not within {LIMIT:?}");
        }
    }

    pub async fn ack(&self, message: &MessageView) {
        if let Err(e) = self.inner.ack(message).await {
            panic!("ack: {e}");
        }
    }

    /// An acknowledgement that may get lost.
    pub async fn try_ack(&self, message: &MessageView) -> bool {
        self.inner.ack(message).await.is_ok()
    }

    /// Receives and acknowledges until each of these bodies came; then they must have come exactly once.
    pub async fn consume_exactly(&self, bodies: &[String]) -> Vec<MessageView> {
        let found = self.receive(bodies.len(), LONG).await;
        for m in &found {
            self.ack(m).await;
        }
        same(sorted(bodies.to_vec()), sorted(texts(&found)), "consumed");
        found
    }
}

pub async fn send(producer: &Producer, message: impl Message) -> SendReceipt {
    match producer.send(message).await {
        Ok(receipt) => receipt,
        Err(e) => panic!("send: {e}"),
    }
}

pub fn build(builder: MessageBuilder) -> impl Message {
    builder.build().expect("a message")
}

pub fn message(topic: &str, body: &str) -> MessageBuilder {
    MessageBuilder::builder().set_topic(topic).set_body(body.as_bytes().to_vec())
}

pub fn text(message: &MessageView) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

pub fn texts(messages: &[MessageView]) -> Vec<String> {
    messages.iter().map(text).collect()
}

pub fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

pub fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| t.to_string()).collect()
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// The send must be refused, with this code where the library passes it on.
pub async fn refused(
    what: &str,
    code: &str,
    send: impl Future<Output = Result<SendReceipt, rocketmq::error::ClientError>>,
) {
    match send.await {
        Ok(_) => panic!("{what} was accepted"),
        Err(e) => assert!(e.to_string().contains(code), "{what}: {code} expected, got {e}"),
    }
}

#[track_caller]
pub fn same<T: PartialEq + Debug>(expected: T, actual: T, what: &str) {
    if expected != actual {
        let (e, a) = (format!("{expected:?}"), format!("{actual:?}"));
        let brief = |t: &str| t.chars().take(200).collect::<String>();
        panic!("{what}: expected {}, got {} at {}", brief(&e), brief(&a), Location::caller());
    }
}

pub async fn eventually<F: Future<Output = bool>>(what: &str, limit: Duration, holds: impl Fn() -> F) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
