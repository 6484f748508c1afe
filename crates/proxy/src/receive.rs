//! Receiving: POP with a wait.
//!
//! Source: `ReceiveMessageActivity`, `ReceiveMessageResponseStreamWriter`, `ConsumerProcessor.popMessage`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{PopFrom, PopLiteRequest, PopRequest, PopStatus, Popped, PoppedMessage};
use futures_util::future::join_all;
use protocol::properties;
use protocol::record::RecordView;
use protocol::tag::TagFilter;
use tracing::debug;

use crate::caller::Caller;
use crate::clients::Client;
use crate::context::Context;
use crate::delivery::{Delivery, Kind};
use crate::limits::{RECEIVE_MESSAGES_MAX, UNREAD_MAX, UNREAD_OF_A_CLIENT};
use crate::settle::Place;
use crate::status::Refusal;
use crate::v2::{Code, FilterType, ReceiveMessageRequest};
use crate::{agree, client, lite, renew, validate};

/// Source: `grpcClientConsumerMinLongPollingTimeoutMillis`, `grpcClientConsumerMaxLongPollingTimeoutMillis`.
const POLLING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(20));
/// An answer needs time to arrive: some clients give up exactly when the wait ends. Source:
/// `longPollingReserveTimeInMillis`.
const RESERVE: Duration = Duration::from_millis(100);
/// What a client grants a call that does not wait. Source: the clients' default request timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) async fn receive(context: Arc<Context>, caller: Caller, request: ReceiveMessageRequest) -> Delivery {
    match try_receive(&context, &caller, &request).await {
        Ok(delivery) => delivery,
        Err(refusal) => Delivery::refused(context, refusal),
    }
}

async fn try_receive(
    context: &Arc<Context>,
    caller: &Caller,
    request: &ReceiveMessageRequest,
) -> Result<Delivery, Refusal> {
    let known = context.clients.get(&caller.client_id);
    let queue = request.message_queue.as_ref();
    let wait = polling(caller, known.as_deref(), validate::duration(request.long_polling_timeout.as_ref()))?;
    let topic = validate::topic(queue.and_then(|queue| queue.topic.as_ref()))?;
    let group = validate::group(request.group.as_ref())?;
    let filter = client::filter(request.filter_expression.as_ref());
    context.backend.check_filter(filter)?;
    let renewed = request.auto_renew && known.is_some();
    let invisible = match request.auto_renew {
        true => renew::FIRST,
        false => {
            let wanted = validate::duration(request.invisible_duration.as_ref()).unwrap_or_default();
            validate::invisible_to_receive(wanted)?;
            wanted
        }
    };
    let unread = known.as_ref().map_or(0, |client| client.unread.load(Ordering::Relaxed));
    if unread > UNREAD_OF_A_CLIENT || context.unread.load(Ordering::Relaxed) > UNREAD_MAX {
        return Err(Refusal::new(Code::TooManyRequests, "too much was received and not read yet"));
    }
    let config = context.backend.group(group).await?;
    let broker = queue.and_then(|queue| queue.broker.as_ref()).map_or("", |broker| &*broker.name);
    if let Some(client) = known.as_ref().filter(|client| lite::is_lite(client::kind(&client.said().0))) {
        let asked = PopLiteRequest {
            client_id: &client.id,
            group,
            topic,
            max_messages: request.batch_size.clamp(1, RECEIVE_MESSAGES_MAX),
            invisible,
            wait,
            attempt_id: request.attempt_id.as_deref(),
        };
        let popped = tokio::select! {
            popped = context.backend.pop_lite(broker, &asked) => popped?,
            () = context.stop.cancelled() => return Err(nothing("the server is stopping")),
        };
        let kind = Kind { renewed, lite: true };
        return Ok(Delivery::new(context.clone(), (group, topic), known, kind, messages(popped)?));
    }
    let asked = PopRequest {
        group,
        topic,
        queue_id: -1,
        max_messages: request.batch_size.clamp(1, RECEIVE_MESSAGES_MAX),
        invisible,
        wait,
        from: PopFrom::Max,
        filter: Some(filter),
        order: config.consume_message_orderly,
        attempt_id: request.attempt_id.as_deref(),
    };
    let popped = tokio::select! {
        popped = context.backend.pop(broker, &asked) => popped?,
        // Whoever waits at the end is told to come again.
        () = context.stop.cancelled() => return Err(nothing("the server is stopping")),
    };
    let mut found = Found { context, group, topic, messages: messages(popped)? };
    found.leave_out_other_tags(request).await;
    found.bury_exhausted(agree::max_attempts(&config)).await;
    if found.messages.is_empty() {
        return Err(nothing("no match message"));
    }
    let messages = std::mem::take(&mut found.messages);
    let kind = Kind { renewed, lite: false };
    Ok(Delivery::new(context.clone(), (group, topic), known, kind, messages))
}

fn nothing(message: &str) -> Refusal {
    Refusal::new(Code::MessageNotFound, message)
}

/// How long a receive waits. Source: `ReceiveMessageActivity.receiveMessage`.
fn polling(caller: &Caller, client: Option<&Client>, wanted: Option<Duration>) -> Result<Duration, Refusal> {
    let (min, max) = POLLING;
    let Some(left) = caller.timeout else { return Ok(wanted.unwrap_or(max).clamp(min, max)) };
    let wanted = wanted.unwrap_or_else(|| {
        let said = client.and_then(|client| validate::duration(client.said().0.request_timeout.as_ref()));
        left.saturating_sub(said.unwrap_or(REQUEST_TIMEOUT) / 2)
    });
    let wait = wanted.clamp(min, max);
    if wait <= left {
        return Ok(wait.min(left.saturating_sub(RESERVE)));
    }
    if left >= min {
        return Ok(left - RESERVE);
    }
    let code = match caller.version_text.as_str() < "5.0.3" {
        true => Code::BadRequest,
        false => Code::IllegalPollingTime,
    };
    Err(Refusal::new(code, "The deadline time remaining is not enough for polling, please check network condition"))
}

fn messages(popped: Popped) -> Result<VecDeque<PoppedMessage>, Refusal> {
    match popped.status {
        PopStatus::Found => Ok(popped.messages.into()),
        PopStatus::PollingTimeout => Err(nothing("no new message")),
        PopStatus::PollingFull => Err(Refusal::new(Code::TooManyRequests, "polling full")),
    }
}

/// Messages that were popped and not handed over yet.
struct Found<'c> {
    context: &'c Context,
    group: &'c str,
    topic: &'c str,
    messages: VecDeque<PoppedMessage>,
}

impl Found<'_> {
    /// The broker compares hashes of tags only; clients of gRPC take what they get. Source: `PopMessageResultFilterImpl`.
    async fn leave_out_other_tags(&mut self, request: &ReceiveMessageRequest) {
        let Some(filter) = &request.filter_expression else { return };
        if filter.r#type == FilterType::Sql as i32 {
            return;
        }
        let TagFilter::AnyOf(tags) = TagFilter::parse(&filter.expression) else { return };
        let wanted = |message: &PoppedMessage| {
            let view = RecordView::parse(&message.record).ok();
            let tag = view.as_ref().and_then(|view| view.property(properties::TAGS));
            tag.is_some_and(|tag| tags.iter().any(|wanted| wanted == tag))
        };
        let (wanted, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.messages).into_iter().partition(wanted);
        self.messages = wanted;
        join_all(others.iter().map(|message| ack(self.context, self.group, self.topic, message))).await;
    }

    /// Messages that were delivered often enough become dead letters. Source: `PopMessageResultFilterImpl`.
    async fn bury_exhausted(&mut self, max_attempts: i32) {
        for message in std::mem::take(&mut self.messages) {
            if message.deliveries < max_attempts {
                self.messages.push_back(message);
                continue;
            }
            let receipt = &message.receipt;
            let offset = RecordView::parse(&message.record).map(|view| view.log_offset()).ok();
            let Some(offset) = receipt.log_offset.or(offset) else { continue };
            let place = Place { group: self.group, topic: self.topic, lite_topic: None };
            match self.context.backend.bury(place, &receipt.broker_name, offset).await {
                Ok(()) => ack(self.context, self.group, self.topic, &message).await,
                // It comes again, and is tried again.
                Err(refusal) => debug!(group = self.group, error = refusal.message, "dead letter not stored"),
            }
        }
    }
}

async fn ack(context: &Context, group: &str, topic: &str, message: &PoppedMessage) {
    let place = Place { group, topic, lite_topic: None };
    if let Err(refusal) = context.backend.ack(place, &message.receipt).await {
        debug!(group, topic, error = refusal.message, "message that nobody gets not acked, it comes again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Ends;

    fn caller(timeout: Option<u64>) -> Caller {
        let any = ([127, 0, 0, 1], 1).into();
        Caller {
            client_id: "c".into(),
            language: Default::default(),
            version: 0,
            version_text: "5.0.7".into(),
            ends: Ends { remote: any, local: any },
            timeout: timeout.map(Duration::from_millis),
        }
    }

    #[test]
    fn a_receive_waits_as_long_as_both_sides_like() {
        let check = |left: Option<u64>, wanted: Option<u64>, wait: u64| {
            let got = polling(&caller(left), None, wanted.map(Duration::from_millis)).unwrap();
            assert_eq!(got, Duration::from_millis(wait), "{left:?} {wanted:?}");
        };
        check(None, Some(15_000), 15_000);
        check(None, Some(1), 5000);
        check(None, Some(60_000), 20_000);
        check(Some(33_000), Some(30_000), 20_000);
        check(Some(8000), None, 6500);
        // What is left is less than wanted; and it ends a little before the client's patience.
        check(Some(8000), Some(10_000), 7900);
        check(Some(10_000), Some(10_000), 9900);
    }

    #[test]
    fn too_little_time_is_told() {
        let refused = |caller: &Caller| polling(caller, None, Some(Duration::from_secs(15))).unwrap_err().code;
        assert_eq!(refused(&caller(Some(2000))), Code::IllegalPollingTime);
        assert_eq!(refused(&Caller { version_text: "5.0.1".into(), ..caller(Some(2000)) }), Code::BadRequest);
    }
}
