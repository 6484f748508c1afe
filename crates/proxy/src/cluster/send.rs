//! Sending to a broker of the topic, and calling back.
//!
//! Source: `ProducerProcessor.sendMessage`, `SendMessageActivity.SendMessageQueueSelector`, `RecallMessageActivity`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use protocol::batch::{self, Part};
use protocol::code;
use protocol::name::AUTO_CREATE_TOPIC;
use protocol::recall::RecallHandle;
use protocol::request::{
    RecallMessage, RecallMessageHeader, Request, SendBatchMessage, SendMessageReply, SendMessageV2, SendMessageV2Header,
};
use protocol::tag::java_hash;
use protocol::{id, sysflag};

use super::call::Answer;
use super::{Cluster, Error, Topic};
use crate::send::{Checked, Stored, consistent_hash};
use crate::status::{self, Refusal};
use crate::v2::{Code, MessageType};

/// A broker, and the number of a queue there.
type Queue = (Arc<str>, i32);

/// Brokers that are tried for one message; a client tries again by itself.
const TRIES: usize = 3;

impl Cluster {
    pub(crate) async fn send(&self, topic: &Topic, messages: &[Checked]) -> Vec<Result<Stored, Refusal>> {
        if let [_, _, ..] = messages
            && self.may_share(messages)
        {
            return self.send_batch(topic, messages).await;
        }
        let mut stored = Vec::with_capacity(messages.len());
        // One behind the other: their order counts, perhaps.
        for message in messages {
            stored.push(self.send_one(topic, message).await.map_err(Refusal::from));
        }
        stored
    }

    /// Whether messages may travel as a batch, of which a broker takes plain ones only.
    fn may_share(&self, messages: &[Checked]) -> bool {
        let plain = |message: &Checked| message.kind == MessageType::Normal && message.ordered_by.is_none();
        let bytes: usize = messages.iter().map(|message| message.body.len() + message.properties.len()).sum();
        messages.iter().all(plain) && bytes <= self.options.message_bytes_max
    }

    async fn send_one(&self, topic: &Topic, message: &Checked) -> Result<Stored, Error> {
        let sys_flag = match message.kind {
            MessageType::Transaction => sysflag::TRANSACTION_PREPARED,
            _ => 0,
        };
        let header = SendMessageV2Header {
            properties: Some(&message.properties),
            sys_flag: Some(sys_flag),
            ..header(topic, message.born_ms)
        };
        let queues = self.queues(topic, message.ordered_by.as_deref())?;
        let receipt = self.store::<SendMessageV2>(queues, header, message.body.clone()).await?;
        Ok(receipt.of(0, message))
    }

    async fn send_batch(&self, topic: &Topic, messages: &[Checked]) -> Vec<Result<Stored, Refusal>> {
        let mut body = BytesMut::new();
        for Checked { properties, body: one, .. } in messages {
            batch::put(&Part { flag: 0, body: one, properties }, &mut body);
        }
        let header = SendMessageV2Header { batch: true, ..header(topic, messages[0].born_ms) };
        let stored = match self.queues(topic, None) {
            Ok(queues) => self.store::<SendBatchMessage>(queues, header, body.freeze()).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(receipt) => messages.iter().enumerate().map(|(at, message)| Ok(receipt.of(at, message))).collect(),
            Err(error) => {
                let refusal = Refusal::from(error);
                messages.iter().map(|_| Err(refusal.clone())).collect()
            }
        }
    }

    /// Sends to the first of these queues whose broker can be reached.
    async fn store<R>(&self, queues: Vec<Queue>, header: SendMessageV2Header<'_>, body: Bytes) -> Result<Receipt, Error>
    where
        R: for<'a> Request<Header<'a> = SendMessageV2Header<'a>, Reply<'a> = SendMessageReply<'a>>,
    {
        let mut left = queues.len();
        for (broker, queue_id) in queues {
            left -= 1;
            let header = SendMessageV2Header { queue_id, broker_name: Some(&broker), ..header.clone() };
            match self.call::<R>(&broker, &header, body.clone()).await {
                Err(error) if error.is_elsewhere_possible() && left > 0 => {}
                answer => return Receipt::read::<R>(broker, &answer?),
            }
        }
        unreachable!("there is at least one queue, and the last one returns")
    }

    /// Queues for a message, best first: its own if the order counts, else those whose turn it is, of brokers that
    /// are up, each of another broker.
    fn queues(&self, topic: &Topic, ordered_by: Option<&str>) -> Result<Vec<Queue>, Error> {
        let all = &topic.writable;
        if all.is_empty() {
            return Err(Error::NoQueue { topic: topic.name.clone(), wanted: "writable" });
        }
        if let Some(key) = ordered_by {
            let buckets = i32::try_from(all.len()).unwrap_or(i32::MAX);
            let at = consistent_hash(i64::from(java_hash(key)), buckets);
            return Ok(vec![all[at as usize].clone()]);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let wanted = TRIES.min(topic.writers);
        let mut chosen: Vec<Queue> = Vec::with_capacity(wanted);
        let (before, behind) = all.split_at(turn % all.len());
        // Those that are up come first; who cannot be reached is the last resort.
        for up in [true, false] {
            for (broker, queue) in behind.iter().chain(before) {
                if chosen.len() == wanted {
                    return Ok(chosen);
                }
                if !chosen.iter().any(|(known, _)| known == broker) && self.brokers.is_up(broker) == up {
                    chosen.push((broker.clone(), *queue));
                }
            }
        }
        Ok(chosen)
    }

    pub(crate) async fn recall(&self, topic: &str, handle: &str) -> Result<String, Refusal> {
        let invalid = || Refusal::new(Code::InternalServerError, "recall failed, handle is invalid");
        let broker = RecallHandle::decode(handle).ok_or_else(invalid)?.broker_name;
        let header = RecallMessageHeader { producer_group: Some(topic), topic, recall_handle: handle };
        let answer = self.order::<RecallMessage>(&broker, &header).await?;
        Ok(answer.header::<RecallMessage>()?.msg_id.to_owned())
    }
}

/// What all sends to a topic have in common.
fn header(topic: &Topic, born_ms: i64) -> SendMessageV2Header<'_> {
    SendMessageV2Header {
        // A gRPC producer has no group but its topic.
        producer_group: Some(&topic.name),
        topic: &topic.name,
        default_topic: Some(AUTO_CREATE_TOPIC),
        default_topic_queue_nums: Some(4),
        sys_flag: Some(0),
        born_timestamp: Some(born_ms),
        flag: Some(0),
        properties: Some(""),
        reconsume_times: Some(0),
        ..SendMessageV2Header::default()
    }
}

/// Where messages were stored.
struct Receipt {
    broker: Arc<str>,
    /// Why they may not be as safe as configured yet.
    unconfirmed: Option<Refusal>,
    /// Place of the first in its queue.
    queue_offset: i64,
    log_offsets: Vec<i64>,
    recall_handle: String,
}

impl Receipt {
    fn read<R>(broker: Arc<str>, answer: &Answer) -> Result<Receipt, Error>
    where
        R: for<'a> Request<Reply<'a> = SendMessageReply<'a>>,
    {
        let unconfirmed = match answer.code() {
            code::SUCCESS => None,
            other => Some(status::of_storing(other).ok_or_else(|| answer.refusal())?),
        };
        let reply = answer.header::<R>()?;
        let log_offset = |id: &str| id::parse_offset_id(id).map(|(_, log_offset)| log_offset as i64);
        let log_offsets: Option<Vec<i64>> = reply.msg_id.split(',').map(log_offset).collect();
        Ok(Receipt {
            broker,
            unconfirmed,
            queue_offset: reply.queue_offset,
            log_offsets: log_offsets.ok_or_else(|| answer.unreadable::<R>("the message id says no place"))?,
            recall_handle: reply.recall_handle.unwrap_or_default().to_owned(),
        })
    }

    /// That of one of the messages.
    fn of(&self, at: usize, message: &Checked) -> Stored {
        Stored {
            unconfirmed: self.unconfirmed.clone(),
            broker: self.broker.clone(),
            unique_key: message.id.clone(),
            queue_offset: self.queue_offset + at as i64,
            log_offset: self.log_offsets.get(at).copied().unwrap_or_default(),
            recall_handle: self.recall_handle.clone(),
        }
    }
}
