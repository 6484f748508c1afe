//! Sending.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use protocol::batch::{self, Part};
use protocol::body::MessageQueue;
use protocol::code::{self, Code};
use protocol::name::AUTO_CREATE_TOPIC;
use protocol::properties;
use protocol::request::{Request, SendBatchMessage, SendMessageReply, SendMessageV2, SendMessageV2Header};
use protocol::tag::java_hash;
use protocol::{Frame, sysflag};

use crate::client::{refused, reply};
use crate::{Client, Error, Message, Route, clock, compression, limits};

/// Sends messages. Made by [`Client::producer`]; shared by reference, calls may run side by side.
pub struct Producer {
    client: Client,
    group: String,
    turn: AtomicUsize,
}

/// Which queue a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Select<'a> {
    /// The next one; another one when that fails.
    #[default]
    Turn,
    /// The one that this key hashes to, as Java's `SelectMessageQueueByHash` has it. Messages of one key stay in
    /// order, so there is no second try at another queue.
    Key(&'a str),
    /// The n-th of the topic's writeable queues.
    Nth(usize),
    /// This one.
    Queue(&'a MessageQueue),
}

/// How far a broker got with a message; it is stored in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// As far as the broker is configured to wait for.
    Ok,
    /// The flush to disk was not confirmed in time.
    FlushTimeout,
    /// The replicas did not confirm in time.
    ReplicaTimeout,
    /// There was no replica.
    NoReplica,
}

impl Stored {
    fn from_code(code: Code) -> Option<Stored> {
        match code {
            code::SUCCESS => Some(Stored::Ok),
            code::FLUSH_DISK_TIMEOUT => Some(Stored::FlushTimeout),
            code::FLUSH_SLAVE_TIMEOUT => Some(Stored::ReplicaTimeout),
            code::SLAVE_NOT_AVAILABLE => Some(Stored::NoReplica),
            _ => None,
        }
    }

    /// The status under Java's name.
    pub fn name(self) -> &'static str {
        match self {
            Stored::Ok => "SEND_OK",
            Stored::FlushTimeout => "FLUSH_DISK_TIMEOUT",
            Stored::ReplicaTimeout => "FLUSH_SLAVE_TIMEOUT",
            Stored::NoReplica => "SLAVE_NOT_AVAILABLE",
        }
    }
}

/// What a broker says about a message it stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Unique id of the message; of a batch all of them, separated by commas.
    pub id: String,
    /// Id of its place; of a batch all of them, separated by commas.
    pub offset_id: String,
    /// Queue it is in.
    pub queue: MessageQueue,
    /// Its place there; of a batch that of the first.
    pub offset: i64,
    /// How safe it is.
    pub stored: Stored,
}

/// One send, ready for any queue.
struct Parcel<'a> {
    code: i32,
    request: &'static str,
    topic: &'a str,
    flag: i32,
    sys_flag: i32,
    properties: String,
    body: Bytes,
    id: String,
}

impl Producer {
    pub(crate) fn new(client: Client, group: &str) -> Producer {
        // Producers that start together should not all begin with the first queue.
        let turn = AtomicUsize::new(clock::now_ns() as usize % 1024);
        Producer { client, group: group.to_owned(), turn }
    }

    /// Stores a message in any queue of its topic, and waits until the broker confirms it.
    ///
    /// Tries up to two other queues, preferably of another broker, when a broker does not answer or refuses for a
    /// passing reason. A try that was not answered may have stored the message all the same, so it may be there twice.
    pub async fn send(&self, message: &Message) -> Result<Receipt, Error> {
        self.send_to(message, Select::Turn).await
    }

    /// The same with a say in the queue.
    pub async fn send_to(&self, message: &Message, select: Select<'_>) -> Result<Receipt, Error> {
        message.check()?;
        self.deliver(&self.parcel(message), select).await
    }

    /// Stores messages of one topic together in one queue: all or none, one behind the other. Delays do not apply.
    pub async fn send_batch(&self, messages: &[Message], select: Select<'_>) -> Result<Receipt, Error> {
        self.deliver(&self.batch(messages)?, select).await
    }

    /// Sends without waiting for anything: the message may be lost without notice.
    pub async fn send_oneway(&self, message: &Message, select: Select<'_>) -> Result<(), Error> {
        message.check()?;
        let route = self.client.route_to_send(&message.topic).await?;
        let queue = self.select(&message.topic, &route, select, None)?;
        let address = master(&route, &queue)?;
        let frame = self.frame(&self.parcel(message), &queue);
        Ok(self.client.shared.notify(address, frame).await?)
    }

    async fn deliver(&self, parcel: &Parcel<'_>, select: Select<'_>) -> Result<Receipt, Error> {
        let mut retries = if select == Select::Turn { limits::SEND_RETRIES } else { 0 };
        let mut avoid: Option<String> = None;
        loop {
            let route = self.client.route_to_send(parcel.topic).await?;
            let queue = self.select(parcel.topic, &route, select, avoid.as_deref())?;
            match self.attempt(parcel, &route, &queue).await {
                Err(error) if retries > 0 && is_passing(&error) => {
                    retries -= 1;
                    avoid = Some(queue.broker_name);
                    // When there is no newer route, the old one serves as well.
                    let _ = self.client.shared.refresh(parcel.topic).await;
                }
                finished => return finished,
            }
        }
    }

    async fn attempt(&self, parcel: &Parcel<'_>, route: &Route, queue: &MessageQueue) -> Result<Receipt, Error> {
        let address = master(route, queue)?;
        let shared = &self.client.shared;
        let answer = shared.exchange(address, self.frame(parcel, queue), shared.timeout()).await?;
        let stored = Stored::from_code(Code(answer.code)).ok_or_else(|| refused(address, parcel.request, &answer))?;
        let reply: SendMessageReply<'_> = reply::<SendMessageV2>(address, &answer)?;
        Ok(Receipt {
            id: parcel.id.clone(),
            offset_id: reply.msg_id.to_owned(),
            queue: MessageQueue { queue_id: reply.queue_id, ..queue.clone() },
            offset: reply.queue_offset,
            stored,
        })
    }

    fn parcel<'a>(&self, message: &'a Message) -> Parcel<'a> {
        let (properties, id) = message.wire_properties(|| self.client.shared.unique_id());
        let (code, request) = (SendMessageV2::CODE, SendMessageV2::NAME);
        let (topic, flag, body) = (message.topic.as_str(), message.flag, message.body.clone());
        let plain = Parcel { code, request, topic, flag, sys_flag: 0, properties, body, id };
        if plain.body.len() < limits::COMPRESS_BYTES_MIN {
            return plain;
        }
        match compression::compress(&plain.body) {
            Some(body) => {
                Parcel { body: body.into(), sys_flag: sysflag::COMPRESSED | sysflag::COMPRESSION_ZLIB, ..plain }
            }
            None => plain,
        }
    }

    fn batch<'a>(&self, messages: &'a [Message]) -> Result<Parcel<'a>, Error> {
        let topic = messages.first().map_or("", |first| first.topic.as_str());
        let mut body = BytesMut::new();
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            message.check()?;
            if message.topic != topic {
                return Err(Error::Invalid(format!("a batch has one topic, not {topic:?} and {:?}", message.topic)));
            }
            if message.properties().any(|(name, _)| name == properties::DELAY || name.starts_with("TIMER_")) {
                return Err(Error::Invalid("a batch cannot be delayed".into()));
            }
            let (properties, id) = message.wire_properties(|| self.client.shared.unique_id());
            batch::put(&Part { flag: message.flag, body: &message.body, properties: &properties }, &mut body);
            ids.push(id);
        }
        if body.is_empty() || body.len() > limits::BODY_BYTES_MAX {
            let problem = format!("a batch has 1 to {} bytes, not {}", limits::BODY_BYTES_MAX, body.len());
            return Err(Error::Invalid(problem));
        }
        let (code, request) = (SendBatchMessage::CODE, SendBatchMessage::NAME);
        let (properties, body) = (String::new(), body.freeze());
        Ok(Parcel { code, request, topic, flag: 0, sys_flag: 0, properties, body, id: ids.join(",") })
    }

    fn frame(&self, parcel: &Parcel<'_>, queue: &MessageQueue) -> Frame {
        let header = SendMessageV2Header {
            producer_group: Some(&self.group),
            topic: parcel.topic,
            default_topic: Some(AUTO_CREATE_TOPIC),
            default_topic_queue_nums: Some(limits::NEW_TOPIC_QUEUES),
            queue_id: queue.queue_id,
            sys_flag: Some(parcel.sys_flag),
            born_timestamp: Some(clock::now_ms()),
            flag: Some(parcel.flag),
            properties: Some(&parcel.properties),
            reconsume_times: Some(0),
            batch: parcel.code == SendBatchMessage::CODE,
            broker_name: Some(&queue.broker_name),
            ..SendMessageV2Header::default()
        };
        Frame::request(parcel.code, &header).with_body(parcel.body.clone())
    }

    fn select(
        &self,
        topic: &str,
        route: &Route,
        select: Select<'_>,
        avoid: Option<&str>,
    ) -> Result<MessageQueue, Error> {
        let queues = &route.writeable;
        if queues.is_empty() {
            return Err(Error::NoQueue { topic: topic.to_owned(), wanted: "writeable" });
        }
        let queue = match select {
            Select::Queue(queue) => queue,
            Select::Nth(nth) => queues.get(nth).ok_or_else(|| {
                Error::Invalid(format!("topic {topic:?} has {} writeable queues, there is no {nth}", queues.len()))
            })?,
            Select::Key(key) => &queues[java_hash(key).unsigned_abs() as usize % queues.len()],
            Select::Turn => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let mut following = (0..queues.len()).map(|step| &queues[(turn + step) % queues.len()]);
                following.find(|queue| avoid != Some(&queue.broker_name)).unwrap_or(&queues[turn % queues.len()])
            }
        };
        Ok(queue.clone())
    }
}

fn master<'r>(route: &'r Route, queue: &MessageQueue) -> Result<&'r str, Error> {
    route.master(&queue.broker_name).ok_or_else(|| Error::UnknownBroker(queue.broker_name.clone()))
}

/// Whether another queue may do better. Source: `DefaultMQProducer.retryResponseCodes`; 204 and 205 have no name here.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Call(_) | Error::UnknownBroker(_) => true,
        Error::Refused { code, .. } => matches!(code.0, 1 | 2 | 14 | 16 | 17 | 204 | 205 | 1500),
        _ => false,
    }
}
