//! Popping over a wire.

use std::sync::Arc;
use std::time::Duration;

use protocol::receipt::Receipt;
use protocol::request::{
    AckMessage, AckMessageHeader, ChangeInvisibleTime, ChangeInvisibleTimeHeader, ChangeInvisibleTimeReply, PopMessage,
    PopMessageHeader, PopMessageReply, Request,
};
use protocol::{Frame, code};

use crate::client::accepted;
use crate::{Refused, Stored};

/// What to pop, of all queues.
#[derive(Debug, Clone)]
pub struct Pop<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Most messages.
    pub max: i32,
    /// For how long nobody else is to see them.
    pub invisible: Duration,
    /// Longest wait for messages; zero: none.
    pub wait: Duration,
    /// In order.
    pub order: bool,
}

impl Pop<'_> {
    /// The request.
    pub fn frame(&self) -> Frame {
        let header = PopMessageHeader {
            consumer_group: self.group,
            topic: self.topic,
            queue_id: -1,
            max_msg_nums: self.max,
            invisible_time: self.invisible.as_millis() as i64,
            poll_time: self.wait.as_millis() as i64,
            born_time: None,
            init_mode: 0,
            exp_type: Some("TAG"),
            exp: Some("*"),
            order: self.order,
            attempt_id: None,
        };
        Frame::request(PopMessage::CODE, &header)
    }

    /// Reads the answer: messages with their receipts, none if there were none in time.
    ///
    /// # Panics
    /// When the answer does not hold together.
    pub fn messages(&self, answer: &Frame) -> Result<Vec<(Stored, Receipt)>, Refused> {
        if answer.code == code::POLLING_TIMEOUT.0 {
            return Ok(Vec::new());
        }
        accepted(answer)?;
        let reply: PopMessageReply<'_> = answer.header().expect("a pop says what it brought");
        let receipts = reply.receipts(&Arc::from("broker-a")).expect("a pop says how to make receipts");
        let messages = Stored::all(&answer.body);
        assert_eq!(messages.len(), receipts.len(), "one receipt for each message");
        Ok(messages.into_iter().zip(receipts).collect())
    }

    /// The request that acks a message of it.
    pub fn ack(&self, receipt: &Receipt) -> Frame {
        let header = AckMessageHeader {
            consumer_group: self.group,
            topic: &receipt.real_topic(self.topic, self.group),
            queue_id: receipt.queue_id,
            extra_info: &receipt.to_string(),
            offset: receipt.queue_offset,
            lite_topic: None,
        };
        Frame::request(AckMessage::CODE, &header)
    }

    /// The request that makes a message of it visible at another time, so long from now.
    pub fn change(&self, receipt: &Receipt, invisible: Duration) -> Frame {
        let header = ChangeInvisibleTimeHeader {
            consumer_group: self.group,
            topic: &receipt.real_topic(self.topic, self.group),
            queue_id: receipt.queue_id,
            extra_info: &receipt.to_string(),
            offset: receipt.queue_offset,
            invisible_time: invisible.as_millis() as i64,
            lite_topic: None,
            suspend: false,
        };
        Frame::request(ChangeInvisibleTime::CODE, &header)
    }

    /// The receipt after such a change.
    pub fn changed(&self, receipt: &Receipt, answer: &Frame) -> Result<Receipt, Refused> {
        accepted(answer)?;
        let reply: ChangeInvisibleTimeReply = answer.header().expect("a change says from when on it counts");
        let ChangeInvisibleTimeReply { pop_time: pop_ms, invisible_time: invisible_ms, revive_qid: revive_queue } =
            reply;
        Ok(Receipt { pop_ms, invisible_ms, revive_queue, ..receipt.clone() })
    }
}
