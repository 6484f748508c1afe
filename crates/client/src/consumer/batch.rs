//! Messages as they are handed to the application.

use std::sync::Arc;

use protocol::body::MessageQueue;
use tokio::sync::Notify;

use super::progress::{Failed, Progress, Ticket};
use crate::Received;

/// Messages of one queue, in order. In a group each batch must be acknowledged; one that is dropped instead counts as
/// failed, and its messages come again after a while.
#[derive(Debug)]
pub struct Batch {
    queue: MessageQueue,
    messages: Vec<Received>,
    failed: Vec<usize>,
    receipt: Option<Return>,
}

/// Where a batch of a group reports back to.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) progress: Arc<Progress>,
    pub(super) ticket: Ticket,
    /// Wakes who gives failures back to the broker.
    pub(super) failures: Arc<Notify>,
}

impl Batch {
    pub(super) fn new(queue: MessageQueue, messages: Vec<Received>, receipt: Option<Return>) -> Batch {
        Batch { queue, messages, failed: Vec::new(), receipt }
    }

    /// Where the messages come from.
    pub fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// The messages.
    pub fn messages(&self) -> &[Received] {
        &self.messages
    }

    /// Lets the message at `index` come again after a while: 10 s the first time, later each time after, until it
    /// becomes a dead letter. The others are not affected.
    pub fn fail(&mut self, index: usize) {
        if index < self.messages.len() && !self.failed.contains(&index) {
            self.failed.push(index);
        }
    }

    /// Says that all messages are consumed, except those that failed.
    pub fn ack(mut self) {
        let failed = std::mem::take(&mut self.failed);
        self.finish(failed);
    }

    /// Says that only the first `count` messages are consumed. The others come again when the queue is read anew, by
    /// another member or after this consumer was closed; the group gets no further in this queue until then.
    pub fn ack_first(mut self, count: usize) {
        let Some(rest) = self.messages.get(count) else { return self.ack() };
        let Some(receipt) = self.receipt.take() else { return };
        receipt.progress.split(receipt.ticket, rest.offset, self.messages.len() - count);
    }

    pub(super) fn is_current(&self) -> bool {
        self.receipt.as_ref().is_none_or(|receipt| receipt.progress.is_current(receipt.ticket))
    }

    fn finish(&mut self, failed: Vec<usize>) {
        let Some(receipt) = self.receipt.take() else { return };
        let failed: Vec<Failed> = failed.into_iter().map(|index| failed_message(&self.messages[index])).collect();
        let any = !failed.is_empty();
        receipt.progress.finish(receipt.ticket, failed);
        if any {
            receipt.failures.notify_one();
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.is_current() {
            self.finish((0..self.messages.len()).collect());
        }
    }
}

fn failed_message(message: &Received) -> Failed {
    Failed { log_offset: message.log_offset, id: message.id(), topic: message.topic.clone() }
}
