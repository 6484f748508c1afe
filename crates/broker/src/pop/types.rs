//! What goes into the verbs of POP and what comes out.

use std::time::Duration;

use bytes::Bytes;
use protocol::receipt::Receipt;

use crate::FilterText;

/// Where a group begins that has no offset yet. Source: `ConsumeInitMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PopFrom {
    /// At the first message that is left.
    Min,
    /// At the last one; but a queue whose first message is young is read from there, as clients expect of a new topic.
    Max,
}

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub struct PopRequest<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic; its retry topics of the group belong to it.
    pub topic: &'a str,
    /// Queue; -1 means all.
    pub queue_id: i32,
    /// Most messages wanted.
    pub max_messages: i32,
    /// For how long nobody else sees them.
    pub invisible: Duration,
    /// Longest wait; zero answers at once.
    pub wait: Duration,
    /// Where a new group begins.
    pub from: PopFrom,
    /// Which messages; `None` means all.
    pub filter: Option<FilterText<'a>>,
    /// In order: nothing more of a queue before its last batch is acked.
    pub order: bool,
    /// Of an ordered pop: who asks again with the same word is given the same batch again.
    pub attempt_id: Option<&'a str>,
}

/// How a pop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PopStatus {
    /// There are messages.
    Found,
    /// There were none until the end of the wait.
    PollingTimeout,
    /// There are none, and too many wait already.
    PollingFull,
}

/// Answer to a pop.
#[derive(Debug, Clone)]
pub struct Popped {
    /// How it ended.
    pub status: PopStatus,
    /// When the messages were taken, in milliseconds since 1970.
    pub pop_ms: i64,
    /// For how long nobody else sees them.
    pub invisible_ms: i64,
    /// The same in all receipts of this answer.
    pub revive_queue: i32,
    /// About how many messages are left.
    pub rest: i64,
    /// The messages, those of one queue one behind the other.
    pub messages: Vec<PoppedMessage>,
}

/// One popped message.
#[derive(Debug, Clone)]
pub struct PoppedMessage {
    /// Its record. A retried message is under its original topic and has its receipt in POP_CK.
    pub record: Bytes,
    /// What acks it.
    pub receipt: Receipt,
    /// How often it was delivered before, as a consumer should see it.
    pub deliveries: i32,
}

/// A popped message was consumed.
#[derive(Debug, Clone)]
pub struct Ack<'a> {
    /// Topic that was popped, or the retry topic in which the message lies.
    pub topic: &'a str,
    /// Consumer group.
    pub group: &'a str,
    /// Queue of the message.
    pub queue_id: i32,
    /// Place of the message in its queue.
    pub queue_offset: i64,
    /// Its receipt.
    pub receipt: &'a Receipt,
}

/// A popped message needs more time, or less.
#[derive(Debug, Clone)]
pub struct ChangeInvisible<'a> {
    /// Topic that was popped, or the retry topic in which the message lies.
    pub topic: &'a str,
    /// Consumer group.
    pub group: &'a str,
    /// Queue of the message.
    pub queue_id: i32,
    /// Place of the message in its queue.
    pub queue_offset: i64,
    /// Its receipt.
    pub receipt: &'a Receipt,
    /// For how long, from now on, nobody sees it.
    pub invisible: Duration,
    /// The delivery did not count: the next one has the same number.
    pub suspend: bool,
}

/// What makes the new receipt from the old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invisible {
    /// In place of when the message was popped.
    pub pop_ms: i64,
    /// In place of the old invisible time.
    pub invisible_ms: i64,
    /// Of the receipt.
    pub revive_queue: i32,
}
