//! A client that asks one thing at a time and says what came back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use protocol::batch::{self, Part};
use protocol::body::{
    ConsumerData, ConsumerIdList, HeartbeatData, LockBatchReply, LockBatchRequest, MessageQueue, ProducerData,
    SubscriptionData,
};
use protocol::record::{RecordView, validate};
use protocol::request::{
    ConsumerGroupHeader, ConsumerSendBack, ConsumerSendBackHeader, CreateTopic, CreateTopicHeader, DeleteTopic,
    GetConsumerList, GetMaxOffset, GetMinOffset, HeartBeat, LockBatch, OffsetReply, PullMessage, PullMessageHeader,
    PullMessageReply, QueryConsumerOffset, QueryConsumerOffsetHeader, QueryMessage, QueryMessageHeader, QueueHeader,
    Request, SendBatchMessage, SendMessageReply, SendMessageV2Header, TopicHeader, UnlockBatch, UpdateConsumerOffset,
    UpdateConsumerOffsetHeader,
};
use protocol::{Frame, Header, code, json, peer, properties, sysflag};
use remoting::{Answer, NoParked, Peer, Pool, Service};

use crate::{DEADLINE, send_frame};

/// An answer that is not success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Response code.
    pub code: i32,
    /// What it said.
    pub remark: String,
}

/// A message to send.
#[derive(Debug, Clone, Default)]
pub struct Message {
    body: Bytes,
    properties: String,
}

impl Message {
    /// With a body.
    pub fn new(body: impl Into<Bytes>) -> Message {
        Message { body: body.into(), properties: String::new() }
    }

    /// With one more property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Message {
        properties::push(&mut self.properties, name, value);
        self
    }

    /// With a tag.
    #[must_use]
    pub fn tag(self, tag: &str) -> Message {
        self.property(properties::TAGS, tag)
    }

    /// With a delay level.
    #[must_use]
    pub fn delay(self, level: i32) -> Message {
        self.property(properties::DELAY, &level.to_string())
    }

    /// With a unique key.
    #[must_use]
    pub fn unique_key(self, key: &str) -> Message {
        self.property(properties::UNIQUE_KEY, key)
    }

    /// The request that sends it.
    pub fn frame(&self, topic: &str, queue_id: i32) -> Frame {
        send_frame(topic, queue_id, &self.properties, self.body.clone())
    }
}

/// Several messages in one request.
#[derive(Debug, Clone, Default)]
pub struct Batch(BytesMut);

impl Batch {
    /// With one more message.
    #[must_use]
    pub fn with(mut self, message: &Message) -> Batch {
        let part = Part { flag: 0, body: &message.body, properties: &message.properties };
        batch::put(&part, &mut self.0);
        self
    }

    /// The request that sends it.
    pub fn frame(self, topic: &str, queue_id: i32) -> Frame {
        let header = SendMessageV2Header {
            producer_group: Some("P"),
            topic,
            default_topic: Some("TBW102"),
            default_topic_queue_nums: Some(4),
            queue_id,
            batch: true,
            ..SendMessageV2Header::default()
        };
        Frame::request(SendBatchMessage::CODE, &header).with_body(self.0.freeze())
    }
}

/// Where a message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Offset message id; of a batch all of them.
    pub msg_id: String,
    /// Queue.
    pub queue: i32,
    /// Place in the queue; of a batch the first.
    pub offset: i64,
    /// What recalls it, if it waits for a time of its own.
    pub recall_handle: Option<String>,
}

impl Sent {
    /// Reads the answer to a send.
    pub fn from_answer(answer: &Frame) -> Result<Sent, Refused> {
        accepted(answer)?;
        let reply: SendMessageReply<'_> = answer.header().expect("an accepted send says where the message is");
        let recall_handle = reply.recall_handle.map(str::to_owned);
        Ok(Sent { msg_id: reply.msg_id.to_owned(), queue: reply.queue_id, offset: reply.queue_offset, recall_handle })
    }
}

/// A message as a consumer reads it, its checksum verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue: i32,
    /// Place in the queue.
    pub offset: i64,
    /// Place in the log.
    pub log_offset: u64,
    /// Bytes in the log.
    pub size: usize,
    /// Body.
    pub body: Bytes,
    /// Properties.
    pub properties: String,
    /// Times it was consumed before.
    pub reconsume_times: i32,
    /// When it was stored.
    pub store_timestamp: i64,
}

impl Stored {
    fn new(record: &RecordView<'_>) -> Stored {
        Stored {
            topic: record.topic().to_owned(),
            queue: record.queue_id() as i32,
            offset: record.queue_offset() as i64,
            log_offset: record.log_offset(),
            size: record.len(),
            body: Bytes::copy_from_slice(record.body()),
            properties: record.properties().to_owned(),
            reconsume_times: record.reconsume_times(),
            store_timestamp: record.store_timestamp(),
        }
    }

    /// The records of a body, one behind the other.
    ///
    /// # Panics
    /// When one of them is damaged.
    pub fn all(mut body: &[u8]) -> Vec<Stored> {
        let mut all = Vec::new();
        while !body.is_empty() {
            let record = validate(body, true).expect("a broker hands out whole records");
            all.push(Stored::new(&record));
            body = &body[record.len()..];
        }
        all
    }

    /// A property.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::get(&self.properties, name)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("this body is text")
    }
}

/// What to pull.
#[derive(Debug, Clone)]
pub struct Pull<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Lite topic of it, if that is what is wanted.
    pub lite_topic: Option<&'a str>,
    /// Queue.
    pub queue: i32,
    /// First offset.
    pub offset: i64,
    /// Most messages.
    pub max: i32,
    /// Longest wait for messages, if any.
    pub wait: Option<Duration>,
    /// Tags, such as `a || b`.
    pub tags: &'a str,
    /// Offset to commit with it.
    pub commit: Option<i64>,
}

impl<'a> Pull<'a> {
    /// Everything from an offset on, without waiting.
    pub fn from(topic: &'a str, queue: i32, offset: i64) -> Pull<'a> {
        Pull {
            group: "testkit",
            topic,
            lite_topic: None,
            queue,
            offset,
            max: 1024,
            wait: None,
            tags: "*",
            commit: None,
        }
    }

    /// The request.
    pub fn frame(&self) -> Frame {
        let mut sys_flag = sysflag::PULL_SUBSCRIPTION;
        if self.wait.is_some() {
            sys_flag |= sysflag::PULL_SUSPEND;
        }
        if self.commit.is_some() {
            sys_flag |= sysflag::PULL_COMMIT_OFFSET;
        }
        let header = PullMessageHeader {
            consumer_group: self.group,
            topic: self.topic,
            queue_id: self.queue,
            queue_offset: self.offset,
            max_msg_nums: self.max,
            sys_flag,
            commit_offset: Some(self.commit.unwrap_or(0)),
            suspend_timeout_millis: Some(self.wait.unwrap_or_default().as_millis() as i64),
            subscription: Some(self.tags),
            sub_version: Some(0),
            expression_type: Some("TAG"),
            lite_topic: self.lite_topic,
        };
        Frame::request(PullMessage::CODE, &header)
    }
}

/// What a pull brought.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Response code: 0 found, 19 nothing there, 20 nothing matched, 21 offset out of range.
    pub code: i32,
    /// How it ended.
    pub remark: String,
    /// Offset to go on from.
    pub next: i64,
    /// First offset of the queue.
    pub min: i64,
    /// Offset behind the last message.
    pub max: i64,
    /// Messages.
    pub messages: Vec<Stored>,
}

impl Pulled {
    /// Reads the answer to a pull.
    pub fn from_answer(answer: &Frame) -> Result<Pulled, Refused> {
        if ![code::SUCCESS, code::PULL_NOT_FOUND, code::PULL_RETRY_IMMEDIATELY, code::PULL_OFFSET_MOVED]
            .contains(&code::Code(answer.code))
        {
            accepted(answer)?;
        }
        let reply: PullMessageReply = answer.header().expect("a pull says where to go on");
        Ok(Pulled {
            code: answer.code,
            remark: answer.remark.clone().unwrap_or_default(),
            next: reply.next_begin_offset,
            min: reply.min_offset,
            max: reply.max_offset,
            messages: Stored::all(&answer.body),
        })
    }
}

/// Nothing but success.
pub(crate) fn accepted(answer: &Frame) -> Result<(), Refused> {
    match answer.code {
        0 => Ok(()),
        code => Err(Refused { code, remark: answer.remark.clone().unwrap_or_default() }),
    }
}

/// Keeps what the broker asks of the client.
#[derive(Default)]
struct Notices(Mutex<Vec<Frame>>);

impl Service for Notices {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame, _arrived: tokio::time::Instant) -> Answer<NoParked> {
        self.0.lock().push(request);
        Answer::Never
    }
}

/// One connection. Its methods panic when the connection ends: tests that expect that use [`crate::Wire`].
pub struct Client {
    pool: Pool<Notices>,
    notices: Arc<Notices>,
    address: SocketAddr,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Client {
        let notices = Arc::new(Notices::default());
        let pool = Pool::new(notices.clone());
        pool.peer(&address.to_string()).await.expect("somebody listens");
        Client { pool, notices, address }
    }

    /// Closes the connection and waits until it is closed.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Where it is connected to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks anything.
    #[track_caller]
    pub fn call(&self, mut frame: Frame) -> impl Future<Output = Frame> + '_ {
        let caller = std::panic::Location::caller();
        frame.version = peer::VERSION;
        async move {
            let answer = self.pool.call(&self.address.to_string(), frame, DEADLINE).await;
            answer.unwrap_or_else(|error| panic!("{caller}: {error}"))
        }
    }

    /// Asks by type.
    #[track_caller]
    pub fn ask<'a, R: Request>(&'a self, header: &R::Header<'_>) -> impl Future<Output = Frame> + 'a {
        self.call(Frame::request(R::CODE, header))
    }

    /// Codes of what the broker asked of this client so far.
    pub fn notices(&self) -> Vec<i32> {
        self.notices.0.lock().iter().map(|frame| frame.code).collect()
    }

    /// Forgets them.
    pub fn forget_notices(&self) {
        self.notices.0.lock().clear();
    }

    /// Sends a message and waits until it is acknowledged.
    pub async fn send(&self, topic: &str, queue: i32, message: &Message) -> Result<Sent, Refused> {
        Sent::from_answer(&self.call(message.frame(topic, queue)).await)
    }

    /// Sends a batch.
    pub async fn send_batch(&self, topic: &str, queue: i32, batch: Batch) -> Result<Sent, Refused> {
        Sent::from_answer(&self.call(batch.frame(topic, queue)).await)
    }

    /// Pulls once.
    pub async fn pull(&self, pull: &Pull<'_>) -> Result<Pulled, Refused> {
        Pulled::from_answer(&self.call(pull.frame()).await)
    }

    /// Everything that a queue has from an offset on.
    ///
    /// # Panics
    /// When the queue cannot be read.
    pub async fn read(&self, topic: &str, queue: i32, from: i64) -> Vec<Stored> {
        let mut all = Vec::new();
        let mut offset = from;
        loop {
            let pulled = self.pull(&Pull::from(topic, queue, offset)).await.expect("the queue can be read");
            match pulled.code {
                0 => {
                    offset = pulled.next;
                    all.extend(pulled.messages);
                }
                19 => return all,
                _ if pulled.max == 0 => return all,
                _ => panic!("queue {queue} of {topic} at {offset}: {pulled:?}"),
            }
        }
    }

    /// Makes a topic, or changes its number of queues.
    pub async fn create_topic(&self, topic: &str, queues: i32) -> Result<(), Refused> {
        let header = CreateTopicHeader {
            topic,
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: 6,
            topic_filter_type: Some("SINGLE_TAG"),
            topic_sys_flag: Some(0),
            order: false,
            attributes: None,
        };
        accepted(&self.ask::<CreateTopic>(&header).await)
    }

    /// Deletes a topic.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Refused> {
        accepted(&self.ask::<DeleteTopic>(&TopicHeader { topic }).await)
    }

    /// First offset of a queue and the one behind the last message.
    pub async fn range(&self, topic: &str, queue_id: i32) -> (i64, i64) {
        let header = QueueHeader { topic, queue_id };
        let min = offset_in(&self.ask::<GetMinOffset>(&header).await);
        let max = offset_in(&self.ask::<GetMaxOffset>(&header).await);
        (min.expect("every queue has a first offset"), max.expect("every queue has an end"))
    }

    /// Where a group stands; an error when it never committed.
    pub async fn committed(&self, group: &str, topic: &str, queue_id: i32) -> Result<i64, Refused> {
        let header =
            QueryConsumerOffsetHeader { consumer_group: group, topic, queue_id, set_zero_if_not_found: Some(false) };
        offset_in(&self.ask::<QueryConsumerOffset>(&header).await)
    }

    /// Commits.
    pub async fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Result<(), Refused> {
        let header = UpdateConsumerOffsetHeader { consumer_group: group, topic, queue_id, commit_offset: offset };
        accepted(&self.ask::<UpdateConsumerOffset>(&header).await)
    }

    /// Gives a message back.
    pub async fn send_back(&self, group: &str, message: &Stored, level: i32, max: i32) -> Result<(), Refused> {
        let header = ConsumerSendBackHeader {
            offset: message.log_offset as i64,
            group,
            delay_level: level,
            origin_msg_id: None,
            origin_topic: Some(&message.topic),
            unit_mode: false,
            max_reconsume_times: Some(max),
        };
        accepted(&self.ask::<ConsumerSendBack>(&header).await)
    }

    /// Messages with a unique key.
    pub async fn by_unique_key(&self, topic: &str, key: &str) -> Vec<Stored> {
        let header = QueryMessageHeader {
            topic,
            key,
            max_num: 32,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            index_type: None,
            unique_key_query: true,
        };
        let answer = self.ask::<QueryMessage>(&header).await;
        if answer.code == code::QUERY_NOT_FOUND.0 {
            return Vec::new();
        }
        accepted(&answer).expect("the index can be read");
        Stored::all(&answer.body)
    }

    /// Says that this client is alive, produces, and consumes topics in a group.
    pub async fn heartbeat(&self, client_id: &str, group: &str, topics: &[&str]) {
        accepted(&self.call(heartbeat_frame(client_id, group, topics)).await).expect("a heartbeat is accepted");
    }

    /// Client ids of a consumer group.
    pub async fn members(&self, group: &str) -> Vec<String> {
        let answer = self.ask::<GetConsumerList>(&ConsumerGroupHeader { consumer_group: group }).await;
        let list = json::parse::<ConsumerIdList>(&answer.body);
        list.map(|list| list.consumer_id_list).unwrap_or_default()
    }

    /// Locks queues of a topic for a client and says which it has now.
    pub async fn lock(&self, client_id: &str, group: &str, topic: &str, queues: &[i32]) -> Vec<i32> {
        let frame = Frame { code: LockBatch::CODE, ..Frame::default() };
        let answer = self.call(frame.with_body(json::to_vec(&lock_request(client_id, group, topic, queues)))).await;
        accepted(&answer).expect("locking is answered");
        let reply: LockBatchReply = json::parse(&answer.body).expect("a list of queues");
        let mut ids: Vec<_> = reply.lock_ok_mq_set.iter().map(|queue| queue.queue_id).collect();
        ids.sort_unstable();
        ids
    }

    /// Unlocks queues.
    pub async fn unlock(&self, client_id: &str, group: &str, topic: &str, queues: &[i32]) {
        let frame = Frame { code: UnlockBatch::CODE, ..Frame::default() };
        let body = json::to_vec(&lock_request(client_id, group, topic, queues));
        accepted(&self.call(frame.with_body(body)).await).expect("unlocking is answered");
    }
}

/// What a client sends that is alive, produces in the group `P`, and consumes topics in a group.
pub fn heartbeat_frame(client_id: &str, group: &str, topics: &[&str]) -> Frame {
    let subscription = |topic: &&str| SubscriptionData { topic: (*topic).into(), ..SubscriptionData::default() };
    let consumer = ConsumerData {
        group_name: group.into(),
        consume_type: Some("CONSUME_PASSIVELY".into()),
        subscription_data_set: topics.iter().map(subscription).collect(),
        ..ConsumerData::default()
    };
    let data = HeartbeatData {
        client_id: client_id.into(),
        consumer_data_set: vec![consumer],
        producer_data_set: vec![ProducerData { group_name: "P".into() }],
        ..HeartbeatData::default()
    };
    Frame { code: HeartBeat::CODE, ..Frame::default() }.with_body(json::to_vec(&data))
}

fn lock_request(client_id: &str, group: &str, topic: &str, queues: &[i32]) -> LockBatchRequest {
    let queue = |id: &i32| MessageQueue { broker_name: "broker-a".into(), queue_id: *id, topic: topic.into() };
    LockBatchRequest {
        client_id: client_id.into(),
        consumer_group: group.into(),
        mq_set: queues.iter().map(queue).collect(),
        only_this_broker: true,
    }
}

fn offset_in(answer: &Frame) -> Result<i64, Refused> {
    accepted(answer)?;
    Ok(OffsetReply::decode(&answer.fields).expect("an offset").offset)
}
