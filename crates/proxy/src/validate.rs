//! What names and numbers of a request must look like.
//!
//! Source: `GrpcValidator`, `Validators`, `TopicValidator`.

use std::time::Duration;

use protocol::name;

use crate::limits::MESSAGE_ID_CHARS_MAX;
use crate::status::Refusal;
use crate::v2::{Code, Resource};

/// Source: `maxMessageGroupSize`; a length of this is refused already.
const MESSAGE_GROUP_BYTES: usize = 64;
/// Source: `userPropertyMaxNum`.
const USER_PROPERTIES_MAX: usize = 128;
/// Source: `maxUserPropertySize`.
const USER_PROPERTIES_BYTES_MAX: usize = 16 * 1024;
/// Source: `maxLiteTopicSize`.
pub(crate) const LITE_TOPIC_BYTES_MAX: usize = 64;
/// Source: `minInvisibleTimeMillsForRecv`, `maxInvisibleTimeMills`.
const INVISIBLE_MIN: Duration = Duration::from_secs(10);
const INVISIBLE_MAX: Duration = Duration::from_secs(12 * 3600);

type Checked<T = ()> = Result<T, Refusal>;

fn refuse<T>(code: Code, message: impl Into<String>) -> Checked<T> {
    Err(Refusal::new(code, message))
}

/// The name of a topic that clients may use.
pub(crate) fn topic(resource: Option<&Resource>) -> Checked<&str> {
    let topic = resource.map_or("", |resource| &*resource.name);
    if let Err(error) = name::check_topic(topic) {
        return refuse(Code::IllegalTopic, error.to_string());
    }
    if name::is_system_topic(topic) {
        return refuse(Code::IllegalTopic, format!("cannot access system topic {topic}"));
    }
    Ok(topic)
}

/// The name of a group that clients may use.
pub(crate) fn group(resource: Option<&Resource>) -> Checked<&str> {
    let group = resource.map_or("", |resource| &*resource.name);
    if let Err(error) = name::check_group(group) {
        return refuse(Code::IllegalConsumerGroup, error.to_string());
    }
    if name::is_system_group(group) {
        return refuse(Code::IllegalConsumerGroup, format!("cannot use system consumer group {group}"));
    }
    Ok(group)
}

pub(crate) fn tag(tag: &str) -> Checked {
    if tag.is_empty() {
        return Ok(());
    }
    if tag.trim().is_empty() {
        return refuse(Code::IllegalMessageTag, "tag cannot be the char sequence of whitespace");
    }
    if tag.contains('|') {
        return refuse(Code::IllegalMessageTag, "tag cannot contain '|'");
    }
    if has_control(tag) {
        return refuse(Code::IllegalMessageTag, "tag cannot contain control character");
    }
    Ok(())
}

pub(crate) fn key(key: &str) -> Checked {
    if key.is_empty() {
        return Ok(());
    }
    if key.trim().is_empty() {
        return refuse(Code::IllegalMessageKey, "key cannot be the char sequence of whitespace");
    }
    if has_control(key) {
        return refuse(Code::IllegalMessageKey, "key cannot contain control character");
    }
    Ok(())
}

pub(crate) fn message_group(group: &str) -> Checked {
    if group.is_empty() {
        return Ok(());
    }
    if group.trim().is_empty() {
        return refuse(Code::IllegalMessageGroup, "message group cannot be the char sequence of whitespace");
    }
    if group.len() >= MESSAGE_GROUP_BYTES {
        return refuse(
            Code::IllegalMessageGroup,
            format!("message group exceed the max size {MESSAGE_GROUP_BYTES}, it has {} bytes", group.len()),
        );
    }
    if has_control(group) {
        return refuse(Code::IllegalMessageGroup, "message group cannot contain control character");
    }
    Ok(())
}

pub(crate) fn lite_topic(lite: &str) -> Checked {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if lite.trim().is_empty() || lite.len() > LITE_TOPIC_BYTES_MAX || !lite.bytes().all(legal) {
        let shown: String = lite.chars().take(100).collect();
        return refuse(
            Code::IllegalLiteTopic,
            format!("lite topic {shown:?} must be 1 to {LITE_TOPIC_BYTES_MAX} of a-zA-Z0-9_-"),
        );
    }
    Ok(())
}

pub(crate) fn message_id(id: &str) -> Checked {
    if id.trim().is_empty() {
        return refuse(Code::IllegalMessageId, "message id cannot be blank");
    }
    if id.len() > MESSAGE_ID_CHARS_MAX || has_control(id) {
        return refuse(Code::IllegalMessageId, "message id is too long or contains control characters");
    }
    Ok(())
}

/// The user's properties of a message, with tag and keys counted in.
pub(crate) fn user_properties<'p>(
    properties: impl ExactSizeIterator<Item = (&'p String, &'p String)>,
    tag_and_keys: usize,
) -> Checked {
    if properties.len() > USER_PROPERTIES_MAX {
        return refuse(
            Code::MessagePropertiesTooLarge,
            format!("too many user properties, max is {USER_PROPERTIES_MAX}"),
        );
    }
    let mut bytes = tag_and_keys;
    for (key, value) in properties {
        if key.is_empty() {
            return refuse(Code::IllegalMessagePropertyKey, "the name of a property cannot be empty");
        }
        if is_reserved(key) {
            return refuse(Code::IllegalMessagePropertyKey, format!("property is used by system: {key}"));
        }
        if has_control(key) || has_control(value) {
            return refuse(
                Code::IllegalMessagePropertyKey,
                format!("the property {key:?} cannot contain control character"),
            );
        }
        bytes += key.len() + value.len();
    }
    if bytes > USER_PROPERTIES_BYTES_MAX {
        return refuse(
            Code::MessagePropertiesTooLarge,
            format!("the total size of user properties is too large, max is {USER_PROPERTIES_BYTES_MAX}"),
        );
    }
    Ok(())
}

/// The invisible time of a receive.
pub(crate) fn invisible_to_receive(wanted: Duration) -> Checked {
    if wanted < INVISIBLE_MIN {
        let min = INVISIBLE_MIN.as_millis();
        return refuse(Code::IllegalInvisibleTime, format!("the invisibleTime is too small. min is {min}"));
    }
    invisible(wanted)
}

/// The invisible time of a message that was received.
pub(crate) fn invisible(wanted: Duration) -> Checked {
    if wanted > INVISIBLE_MAX {
        let max = INVISIBLE_MAX.as_millis();
        return refuse(Code::IllegalInvisibleTime, format!("the invisibleTime is too large. max is {max}"));
    }
    Ok(())
}

/// A duration of the protocol; a negative one is none.
pub(crate) fn duration(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(*duration?).ok()
}

/// Milliseconds since 1970 of a time of the protocol.
pub(crate) fn millis(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// Source: `GrpcValidator` with `CharMatcher.javaIsoControl`.
fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Whether a property is the system's. Source: `MessageConst.STRING_HASH_SET`.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.binary_search(&name).is_ok()
}

/// In the order of their bytes.
const RESERVED: [&str; 53] = [
    "1ST_POP_TIME",
    "ARRIVE_TIME",
    "BORN_TIMESTAMP",
    "BUYER_ID",
    "CLUSTER",
    "CONSUME_START_TIME",
    "CORRECTION_FLAG",
    "CORRELATION_ID",
    "DELAY",
    "DLQ_ORIGIN_MESSAGE_ID",
    "DLQ_ORIGIN_TOPIC",
    "DUP_INFO",
    "EXTEND_UNIQ_INFO",
    "INNER_MULTI_QUEUE_OFFSET",
    "INSTANCE_ID",
    "KEYS",
    "MAX_OFFSET",
    "MAX_RECONSUME_TIMES",
    "MIN_OFFSET",
    "MQ2_FLAG",
    "MSG_REGION",
    "MSG_TYPE",
    "ORIGIN_MESSAGE_ID",
    "PGROUP",
    "POP_CK",
    "POP_CK_OFFSET",
    "PUSH_REPLY_TIME",
    "REAL_QID",
    "REAL_TOPIC",
    "RECONSUME_TIME",
    "REPLY_TO_CLIENT",
    "RETRY_TOPIC",
    "TAGS",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TIMER_DEL_UNIQKEY",
    "TIMER_DEQUEUE_MS",
    "TIMER_ENQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "TRACE_ON",
    "TRANSFER_FLAG",
    "TRAN_MSG",
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TTL",
    "UNIQ_KEY",
    "WAIT",
    "_SYS_MSG_PRIORITY_",
    "__BORNHOST",
    "__CRC32#",
    "__LITE_TOPIC",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str) -> Resource {
        Resource { resource_namespace: String::new(), name: name.into() }
    }

    #[track_caller]
    fn check<T: std::fmt::Debug>(checked: Checked<T>, code: Option<Code>) {
        assert_eq!(checked.as_ref().err().map(|refusal| refusal.code), code, "{checked:?}");
    }

    #[test]
    fn names() {
        check(topic(Some(&resource("orders"))), None);
        check(topic(None), Some(Code::IllegalTopic));
        check(topic(Some(&resource("a b"))), Some(Code::IllegalTopic));
        check(topic(Some(&resource(&"x".repeat(128)))), Some(Code::IllegalTopic));
        check(topic(Some(&resource("TBW102"))), Some(Code::IllegalTopic));
        check(topic(Some(&resource("rmq_sys_wheel_timer"))), Some(Code::IllegalTopic));
        check(group(Some(&resource("workers"))), None);
        check(group(Some(&resource(" "))), Some(Code::IllegalConsumerGroup));
        check(group(Some(&resource("CID_RMQ_SYS_TRANS"))), Some(Code::IllegalConsumerGroup));
    }

    #[test]
    fn tags_keys_and_groups() {
        check(tag(""), None);
        check(tag("red"), None);
        check(tag("  "), Some(Code::IllegalMessageTag));
        check(tag("a|b"), Some(Code::IllegalMessageTag));
        check(tag("a\u{1}"), Some(Code::IllegalMessageTag));
        check(key("\u{7f}"), Some(Code::IllegalMessageKey));
        check(key(" "), Some(Code::IllegalMessageKey));
        check(message_group(&"g".repeat(63)), None);
        check(message_group(&"g".repeat(64)), Some(Code::IllegalMessageGroup));
        check(message_group(" "), Some(Code::IllegalMessageGroup));
        check(lite_topic("s_1-x"), None);
        check(lite_topic("s$"), Some(Code::IllegalLiteTopic));
        check(message_id(" "), Some(Code::IllegalMessageId));
    }

    #[test]
    fn properties() {
        let check_pairs = |pairs: Vec<(String, String)>, code| {
            let map: std::collections::HashMap<_, _> = pairs.into_iter().collect();
            check(user_properties(map.iter(), 0), code);
        };
        check_pairs(vec![("a".into(), "1".into())], None);
        check_pairs(vec![("KEYS".into(), "1".into())], Some(Code::IllegalMessagePropertyKey));
        check_pairs(vec![("a".into(), "\u{2}".into())], Some(Code::IllegalMessagePropertyKey));
        check_pairs(vec![("a".into(), "x".repeat(16 * 1024))], Some(Code::MessagePropertiesTooLarge));
        let many = (0..129).map(|n| (n.to_string(), String::new())).collect();
        check_pairs(many, Some(Code::MessagePropertiesTooLarge));
    }

    #[test]
    fn reserved_names_are_in_order() {
        assert!(RESERVED.is_sorted());
        assert!(is_reserved("1ST_POP_TIME") && is_reserved("__CRC32#") && !is_reserved("__SHARDINGKEY"));
    }

    #[test]
    fn times() {
        check(invisible_to_receive(Duration::from_secs(9)), Some(Code::IllegalInvisibleTime));
        check(invisible_to_receive(Duration::from_secs(10)), None);
        check(invisible(Duration::ZERO), None);
        check(invisible(Duration::from_secs(12 * 3600 + 1)), Some(Code::IllegalInvisibleTime));
        let negative = prost_types::Duration { seconds: -1, nanos: 0 };
        assert_eq!(duration(Some(&negative)), None);
    }
}
