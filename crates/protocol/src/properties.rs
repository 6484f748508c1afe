//! The properties of a message: `name \x01 value \x02`, repeated.
//!
//! Source: `MessageDecoder.string2messageProperties`, `MessageConst`.

use crate::find::before_first;

/// Space separated keys for look-ups.
pub const KEYS: &str = "KEYS";
/// The tag.
pub const TAGS: &str = "TAGS";
/// `false`: do not wait for flush and replicas.
pub const WAIT: &str = "WAIT";
/// Delay level, from 1.
pub const DELAY: &str = "DELAY";
/// Topic that a retried message came from.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Topic that a delayed message goes to.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// Queue that a delayed message goes to.
pub const REAL_QUEUE: &str = "REAL_QID";
/// `true` on a half message.
pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
/// Producer group of a half message.
pub const PRODUCER_GROUP: &str = "PGROUP";
/// Offset message id of the first delivery of a retried message.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Times a message was consumed before, as a client sends it.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Bound on the former.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// Region of the broker that stored the message.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether the message may be traced.
pub const TRACE_ON: &str = "TRACE_ON";
/// Client's unique id.
pub const UNIQUE_KEY: &str = "UNIQ_KEY";
/// Cluster of the broker that stored the message.
pub const CLUSTER: &str = "CLUSTER";
/// Ordering key.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Further topics whose queues a record stands in, separated by commas.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// Its offsets there.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// Lite topic of a message.
pub const LITE_TOPIC: &str = "__LITE_TOPIC";
/// Handle of a popped message.
pub const POP_CK: &str = "POP_CK";
/// When a popped message was first popped, in milliseconds since 1970.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Consumer group that a message of a retry topic of POP is for.
pub const ORIGIN_GROUP: &str = "ORIGIN_GROUP";
/// Arbitrary delay in seconds.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Arbitrary delay in milliseconds.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Arbitrary delivery time in milliseconds since 1970.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// When a timer message is due, as the broker understood its wish, in milliseconds since 1970.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// When a timer message was stored.
pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
/// When it was delivered.
pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
/// How often it was stored again because its log was about to be deleted.
pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
/// Unique key of the timer message that this one cancels; before 5.4.0 `<topic>+<unique key>`.
pub const TIMER_DELETE_UNIQUE_KEY: &str = "TIMER_DEL_UNIQKEY";
/// Transaction of a half message: its unique key.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// Seconds after which a half message may be checked for the first time.
pub const CHECK_IMMUNITY_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// How often a half message was checked.
pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// Topic a dead letter came from.
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Offset message id a dead letter came from.
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// Correlates a reply with its request.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Client that waits for the reply.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// What kind of message this is, `reply` on replies.
pub const MESSAGE_TYPE: &str = "MSG_TYPE";
/// When the broker handed a reply on, in milliseconds since 1970.
pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
/// Priority from 0, a larger number being more urgent.
pub const PRIORITY: &str = "_SYS_MSG_PRIORITY_";

const NAME_END: char = '\u{1}';
const PAIR_END: char = '\u{2}';

/// Names and values of a properties text, in its order. Pairs without a name or with an empty value do not count.
pub fn iter(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let name_end = before_first(rest.as_bytes(), NAME_END as u8, PAIR_END as u8);
            if rest.as_bytes().get(name_end) != Some(&(NAME_END as u8)) {
                // No name: neither does a value follow.
                rest = rest.get(name_end + 1..).unwrap_or_default();
                continue;
            }
            let value_at = name_end + 1;
            let pair_end = value_at + before_first(&rest.as_bytes()[value_at..], PAIR_END as u8, PAIR_END as u8);
            let (name, value) = (&rest[..name_end], &rest[value_at..pair_end]);
            rest = rest.get(pair_end + 1..).unwrap_or_default();
            if !name.is_empty() && !value.is_empty() {
                return Some((name, value));
            }
        }
        None
    })
}

/// The value of a property, the last one if there are several, as a hash map would keep it.
pub fn get<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    iter(text).filter(|(key, _)| *key == name).last().map(|(_, value)| value)
}

/// Appends a property. A separator inside the value would end it early, so it is dropped.
pub fn push(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() && !text.ends_with(PAIR_END) {
        text.push(PAIR_END);
    }
    text.push_str(name);
    text.push(NAME_END);
    text.extend(value.chars().filter(|c| !matches!(*c, NAME_END | PAIR_END)));
    text.push(PAIR_END);
}

/// Replaces a property, or removes it when `value` is `None`.
pub fn set(text: &mut String, name: &str, value: Option<&str>) {
    if get(text, name).is_some() {
        let mut kept = String::with_capacity(text.len());
        for (key, old) in iter(text).filter(|(key, _)| *key != name) {
            push(&mut kept, key, old);
        }
        *text = kept;
    }
    if let Some(value) = value {
        push(text, name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_that_java_drops_are_dropped() {
        let text = "a\u{1}1\u{2}b\u{1}\u{2}\u{1}c\u{2}d\u{2}e\u{1}x\u{1}y";
        assert_eq!(iter(text).collect::<Vec<_>>(), [("a", "1"), ("e", "x\u{1}y")]);
        assert_eq!(get(text, "a"), Some("1"));
        assert_eq!(get(text, "b"), None);
        assert_eq!(get("a\u{1}1\u{2}a\u{1}2", "a"), Some("2"));
    }

    #[test]
    fn pairs_are_split_as_texts_are_split() {
        proptest!(|(text in "[\u{1}\u{2}ab日]{0,30}")| {
            let split: Vec<(&str, &str)> = text
                .split(PAIR_END)
                .filter_map(|pair| pair.split_once(NAME_END))
                .filter(|(name, value)| !name.is_empty() && !value.is_empty())
                .collect();
            prop_assert_eq!(iter(&text).collect::<Vec<_>>(), split);
        });
    }

    #[test]
    fn a_property_is_replaced_and_removed() {
        let mut text = "a\u{1}1\u{2}b\u{1}2".to_owned();
        set(&mut text, "a", Some("3"));
        assert_eq!(text, "b\u{1}2\u{2}a\u{1}3\u{2}");
        set(&mut text, "b", None);
        set(&mut text, "x", None);
        assert_eq!(text, "a\u{1}3\u{2}");
    }
}
