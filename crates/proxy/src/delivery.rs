//! Popped messages on their way to a client.
//!
//! They are turned into messages of the protocol when the client has room for the next, and what it never took, because
//! it left or cut the stream, is visible to others again after a second.
//! Source: `ReceiveMessageResponseStreamWriter`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};

use broker::PoppedMessage;
use futures_util::Stream;
use protocol::record::RecordView;
use tracing::debug;

use crate::clients::Client;
use crate::context::Context;
use crate::convert::{self, Received};
use crate::lite;
use crate::renew::WHEN_GONE;
use crate::settle::Place;
use crate::status::{self, Refusal};
use crate::v2::receive_message_response::Content;
use crate::v2::{ReceiveMessageResponse, Status};

/// The answer to a receive: a status, messages, and when they left.
pub(crate) struct Delivery {
    context: Arc<Context>,
    group: String,
    topic: String,
    client: Option<Arc<Client>>,
    /// Kept invisible while the client works on them.
    renewed: bool,
    /// Of lite topics.
    lite: bool,
    status: Option<Status>,
    messages: VecDeque<PoppedMessage>,
    /// Bytes of the message that was handed out last. The next one is asked for when there is room again, so only then
    /// has the client taken it.
    handed_out: usize,
    ended: bool,
}

/// What kind of messages are delivered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// They are kept invisible while the client works on them.
    pub(crate) renewed: bool,
    /// They are of lite topics.
    pub(crate) lite: bool,
}

impl Delivery {
    pub(crate) fn new(
        context: Arc<Context>,
        (group, topic): (&str, &str),
        client: Option<Arc<Client>>,
        Kind { renewed, lite }: Kind,
        messages: VecDeque<PoppedMessage>,
    ) -> Delivery {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let bytes = messages.iter().map(|message| message.record.len()).sum();
        let status = Some(status::ok());
        let delivery =
            Delivery { context, group, topic, client, renewed, lite, status, messages, handed_out: 0, ended: false };
        delivery.count(|unread| unread.fetch_add(bytes, Ordering::Relaxed));
        delivery
    }

    /// A delivery of nothing but a refusal.
    pub(crate) fn refused(context: Arc<Context>, refusal: Refusal) -> Delivery {
        let mut delivery = Delivery::new(context, ("", ""), None, Kind::default(), VecDeque::new());
        delivery.status = Some(refusal.into());
        delivery
    }

    /// Code of the status it begins with.
    pub(crate) fn code(&self) -> i32 {
        self.status.as_ref().map_or(0, |status| status.code)
    }

    /// Changes what counts as unread, of the client and of all.
    fn count(&self, change: impl Fn(&AtomicUsize) -> usize) {
        change(&self.context.unread);
        if let Some(client) = &self.client {
            change(&client.unread);
        }
    }

    fn lite_topic(&self, message: &PoppedMessage) -> Option<String> {
        self.lite.then(|| lite::lite_topic(&message.record)).flatten()
    }

    fn taken(&mut self) {
        let bytes = std::mem::take(&mut self.handed_out);
        self.count(|unread| unread.fetch_sub(bytes, Ordering::Relaxed));
    }

    fn next(&mut self) -> Option<Content> {
        self.taken();
        if let Some(status) = self.status.take() {
            return Some(Content::Status(status));
        }
        while let Some(mut message) = self.messages.pop_front() {
            self.handed_out += message.record.len();
            // Dead letters are found by it. Source: `ReceiptHandle.encode`.
            let at = RecordView::parse(&message.record).ok().map(|view| view.log_offset());
            message.receipt.log_offset = message.receipt.log_offset.or(at);
            let handle = message.receipt.to_string();
            let received = Received { handle: handle.clone(), deliveries: message.deliveries };
            let Some(content) = convert::message(&message.record, Some(received)) else {
                debug!(topic = self.topic, offset = message.receipt.queue_offset, "record not readable, left out");
                continue;
            };
            if self.renewed
                && let Some(client) = &self.client
            {
                let lite_topic = self.lite_topic(&message);
                let (group, topic) = (&*self.group, &*self.topic);
                let place = Place { group, topic, lite_topic: lite_topic.as_deref() };
                self.context.renewals.hold(&client.id, place, &handle, message.receipt, message.deliveries);
            }
            return Some(Content::Message(content));
        }
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        Some(Content::DeliveryTimestamp(convert::time(self.context.backend.now_ms())))
    }
}

impl Stream for Delivery {
    type Item = Result<ReceiveMessageResponse, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next().map(|content| Ok(ReceiveMessageResponse { content: Some(content) })))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.taken();
        for message in std::mem::take(&mut self.messages) {
            let bytes = message.record.len();
            self.count(|unread| unread.fetch_sub(bytes, Ordering::Relaxed));
            let lite_topic = self.lite_topic(&message);
            let place = Place { group: &self.group, topic: &self.topic, lite_topic: lite_topic.as_deref() };
            self.context.backend.give_back(place, &message.receipt, WHEN_GONE);
        }
    }
}
