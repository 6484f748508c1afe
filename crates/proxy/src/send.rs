//! Sending, and calling back what waits for its time.
//!
//! Source: `SendMessageActivity`, `ProducerProcessor`, `RecallMessageActivity`.

use std::sync::Arc;

use bytes::Bytes;
use protocol::properties;

use crate::caller::Caller;
use crate::context::Context;
use crate::convert::{BORN_HOST, BORN_TIMESTAMP, LITE_TOPIC, TRACE_CONTEXT};
use crate::limits::SEND_MESSAGES_MAX;
use crate::status::{self, Refusal};
use crate::v2::{
    Code, Encoding, Message, MessageType, RecallMessageRequest, RecallMessageResponse, SendMessageRequest,
    SendMessageResponse, SendResultEntry, SystemProperties,
};
use crate::{encoding, route, transaction, validate};

/// Source: `maxTransactionRecoverySecond`.
const TRANSACTION_RECOVERY_SECONDS: i64 = 3600;

/// A message that passed all checks.
pub(crate) struct Checked {
    pub(crate) kind: MessageType,
    /// As its client made it.
    pub(crate) id: String,
    pub(crate) properties: String,
    /// Decides the queue, if the order counts.
    pub(crate) ordered_by: Option<String>,
    pub(crate) born_ms: i64,
    pub(crate) body: Bytes,
}

/// A message that is stored.
pub(crate) struct Stored {
    /// Why it may not be as safe as configured yet.
    pub(crate) unconfirmed: Option<Refusal>,
    /// Name of the broker.
    pub(crate) broker: Arc<str>,
    pub(crate) unique_key: String,
    /// Place in its queue.
    pub(crate) queue_offset: i64,
    /// Place in the log.
    pub(crate) log_offset: i64,
    /// Empty if it cannot be recalled.
    pub(crate) recall_handle: String,
}

pub(crate) async fn send(
    context: &Context,
    caller: &Caller,
    request: SendMessageRequest,
) -> Result<SendMessageResponse, Refusal> {
    let Some(first) = request.messages.first() else {
        return Err(Refusal::new(Code::MessageCorrupted, "no message to send"));
    };
    if request.messages.iter().any(|message| message.topic != first.topic) {
        return Err(Refusal::new(Code::MessageCorrupted, "different message has different topic"));
    }
    if request.messages.len() > SEND_MESSAGES_MAX {
        let message = format!("{} messages at once, the limit is {SEND_MESSAGES_MAX}", request.messages.len());
        return Err(Refusal::new(Code::PayloadTooLarge, message));
    }
    let resource = first.topic.clone();
    let name = validate::topic(resource.as_ref())?;
    let checked = request.messages.into_iter().map(|message| check(context, caller, name, message));
    let checked = checked.collect::<Result<Vec<_>, _>>()?;
    let topic = context.backend.topic(name).await?;
    if !topic.is_writable() {
        return Err(Refusal::new(Code::Forbidden, "no writable queue"));
    }
    if context.check_message_type {
        checked.iter().try_for_each(|message| route::check_type(&topic, message.kind))?;
    }
    let stored = context.backend.send(&caller.ends, &topic, &checked).await;
    let kinds = checked.iter().map(|message| message.kind);
    let entries: Vec<_> = kinds.zip(stored).map(|(kind, stored)| entry(kind, stored)).collect();
    if let [SendResultEntry { status: Some(status), .. }] = &entries[..]
        && !status::is_stored(status)
    {
        return Ok(SendMessageResponse { status: Some(status.clone()), entries });
    }
    let status = status::summary(entries.iter().filter_map(|entry| entry.status.as_ref()));
    Ok(SendMessageResponse { status: Some(status), entries })
}

fn check(context: &Context, caller: &Caller, topic: &str, message: Message) -> Result<Checked, Refusal> {
    let system = message.system_properties.unwrap_or_default();
    validate::message_id(&system.message_id)?;
    let tag = system.tag.as_deref().unwrap_or_default();
    validate::tag(tag)?;
    system.keys.iter().try_for_each(|key| validate::key(key))?;
    let group = system.message_group.as_deref().unwrap_or_default();
    validate::message_group(group)?;
    let lite_topic = system.lite_topic.as_deref().unwrap_or_default();
    if !lite_topic.is_empty() {
        validate::lite_topic(lite_topic)?;
    }
    let counted = tag.len() + system.keys.iter().map(String::len).sum::<usize>();
    validate::user_properties(message.user_properties.iter(), counted)?;
    let body = body(context, message.body, system.body_encoding)?;

    let born_ms = system.born_timestamp.as_ref().map_or_else(|| context.backend.now_ms(), validate::millis);
    let transaction = system.message_type == MessageType::Transaction as i32;
    let mut text = String::with_capacity(256);
    let mut push = |name: &str, value: &str| {
        if !value.is_empty() {
            properties::push(&mut text, name, value);
        }
    };
    for (name, value) in &message.user_properties {
        push(name, value);
    }
    push(properties::TAGS, tag);
    push(properties::KEYS, &system.keys.join(" "));
    push(properties::UNIQUE_KEY, &system.message_id);
    push(properties::PRODUCER_GROUP, topic);
    if transaction {
        push(properties::TRANSACTION_PREPARED, "true");
        if let Some(recovery) = &system.orphaned_transaction_recovery_duration {
            let seconds = recovery.seconds;
            if !(0..=TRANSACTION_RECOVERY_SECONDS).contains(&seconds) {
                let message = format!("the recovery duration must be at most {TRANSACTION_RECOVERY_SECONDS} seconds");
                return Err(Refusal::new(Code::BadRequest, message));
            }
            push(properties::CHECK_IMMUNITY_SECONDS, &seconds.to_string());
        }
    }
    if let Some(at) = &system.delivery_timestamp {
        push(properties::TIMER_DELIVER_MS, &delivery_ms(context, at)?.to_string());
    }
    push(properties::SHARDING_KEY, group);
    push(LITE_TOPIC, lite_topic);
    if let Some(priority) = system.priority {
        if priority < 0 {
            return Err(Refusal::new(Code::BadRequest, format!("priority {priority} is negative")));
        }
        push(properties::PRIORITY, &priority.to_string());
    }
    push(TRACE_CONTEXT, system.trace_context.as_deref().unwrap_or_default());
    let peer = caller.ends.remote.ip().to_canonical().to_string();
    push(BORN_HOST, if system.born_host.is_empty() { &peer } else { &system.born_host });
    push(BORN_TIMESTAMP, &born_ms.to_string());
    let ordered_by = [group, lite_topic].into_iter().find(|key| !key.is_empty()).map(str::to_owned);
    let kind = kind_of(&system, transaction);
    Ok(Checked { kind, id: system.message_id, properties: text, ordered_by, born_ms, body })
}

/// The body as it is stored: never in gzip, which clients of remoting do not know.
fn body(context: &Context, body: Bytes, encoding: i32) -> Result<Bytes, Refusal> {
    let max = context.backend.message_bytes_max();
    let too_large =
        || Refusal::new(Code::MessageBodyTooLarge, format!("message body cannot exceed the max {max} bytes"));
    if body.is_empty() {
        return Err(Refusal::new(Code::MessageBodyEmpty, "message body cannot be empty"));
    }
    if body.len() > max {
        return Err(too_large());
    }
    if encoding != Encoding::Gzip as i32 {
        return Ok(body);
    }
    let body = encoding::gunzip(&body, max).map_err(|error| match encoding::is_too_large(&error) {
        true => too_large(),
        false => Refusal::new(Code::MessageCorrupted, format!("the body is not gzip: {error}")),
    })?;
    match body.is_empty() {
        true => Err(Refusal::new(Code::MessageBodyEmpty, "message body cannot be empty")),
        false => Ok(body),
    }
}

/// Source: `SendMessageActivity.validateDelayTime`.
fn delivery_ms(context: &Context, at: &prost_types::Timestamp) -> Result<i64, Refusal> {
    let ms = validate::millis(at);
    let own = Some(context.delivery_delay_max).filter(|max| !max.is_zero());
    let max = own.into_iter().chain(context.backend.timer_delay_max()).min();
    if let Some(max) = max
        && i128::from(ms) - i128::from(context.backend.now_ms()) > max.as_millis().cast_signed()
    {
        let message = format!("the max delay time is too large, the limit is {} seconds", max.as_secs());
        return Err(Refusal::new(Code::IllegalDeliveryTime, message));
    }
    Ok(ms)
}

/// What a message is by what it carries. Source: `TopicMessageType.parseFromMessageProperty`.
fn kind_of(system: &SystemProperties, transaction: bool) -> MessageType {
    let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    match () {
        () if transaction => MessageType::Transaction,
        () if system.delivery_timestamp.is_some() => MessageType::Delay,
        () if has(&system.message_group) => MessageType::Fifo,
        () if system.priority.is_some() => MessageType::Priority,
        () if has(&system.lite_topic) => MessageType::Lite,
        () => MessageType::Normal,
    }
}

/// What became of one message.
fn entry(kind: MessageType, stored: Result<Stored, Refusal>) -> SendResultEntry {
    let stored = match stored {
        Ok(stored) => stored,
        Err(refusal) => return SendResultEntry { status: Some(refusal.into()), ..SendResultEntry::default() },
    };
    let place =
        transaction::Place { broker: &stored.broker, queue_offset: stored.queue_offset, log_offset: stored.log_offset };
    SendResultEntry {
        transaction_id: match kind {
            MessageType::Transaction => place.id(&stored.unique_key),
            _ => String::new(),
        },
        status: Some(stored.unconfirmed.map_or_else(status::ok, Into::into)),
        message_id: stored.unique_key,
        offset: stored.queue_offset,
        recall_handle: stored.recall_handle,
    }
}

/// A bucket that few keys leave when there is one more. Source: Guava, `Hashing.consistentHash`.
pub(crate) fn consistent_hash(key: i64, buckets: i32) -> i32 {
    let mut state = key as u64;
    let mut candidate = 0;
    loop {
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let random = ((state >> 33) as f64 + 1.0) / f64::from(1u32 << 31);
        // Beyond the range of i32 the cast stops at its end, as Java's does.
        let next = (f64::from(candidate + 1) / random) as i32;
        if next < 0 || next >= buckets {
            return candidate;
        }
        candidate = next;
    }
}

pub(crate) async fn recall(
    context: &Context,
    caller: &Caller,
    request: &RecallMessageRequest,
) -> Result<RecallMessageResponse, Refusal> {
    let topic = context.backend.topic(validate::topic(request.topic.as_ref())?).await?;
    if context.check_message_type {
        route::check_type(&topic, MessageType::Delay)?;
    }
    let message_id = context.backend.recall(&caller.ends, topic.name(), &request.recall_handle).await?;
    Ok(RecallMessageResponse { status: Some(status::ok()), message_id })
}

#[cfg(test)]
mod tests {
    use protocol::tag::java_hash;

    use super::*;

    #[test]
    fn keys_stay_in_their_bucket() {
        let of = |key: &str, buckets| consistent_hash(i64::from(java_hash(key)), buckets);
        for key in ["a", "order-1", "order-2", "日本"] {
            assert_eq!(of(key, 1), 0);
            for buckets in 1..64 {
                let (now, then) = (of(key, buckets), of(key, buckets + 1));
                // With one bucket more a key stays or moves into the new one: what makes the hash consistent.
                assert!((0..buckets).contains(&now) && (now == then || then == buckets), "{key} {buckets}");
            }
        }
    }

    #[test]
    fn a_type_follows_from_what_is_set() {
        let check = |system: SystemProperties, wanted| assert_eq!(kind_of(&system, false), wanted);
        let group = || Some("g".to_owned());
        check(SystemProperties::default(), MessageType::Normal);
        check(SystemProperties { message_group: group(), ..Default::default() }, MessageType::Fifo);
        check(SystemProperties { message_group: Some(String::new()), ..Default::default() }, MessageType::Normal);
        let at = Some(prost_types::Timestamp::default());
        check(
            SystemProperties { delivery_timestamp: at, message_group: group(), ..Default::default() },
            MessageType::Delay,
        );
        check(SystemProperties { priority: Some(3), ..Default::default() }, MessageType::Priority);
        check(SystemProperties { lite_topic: group(), ..Default::default() }, MessageType::Lite);
        assert_eq!(
            kind_of(&SystemProperties { priority: Some(3), ..Default::default() }, true),
            MessageType::Transaction
        );
    }
}
