//! Names of topics and groups: what is legal, what the system keeps for itself, what is derived.
//!
//! Source: `TopicValidator`, `Validators`, `MixAll`.

/// Longest name of a topic in characters; `i8` holds its length in a record of version 1.
pub const TOPIC_CHARS_MAX: usize = 127;
/// Longest name of a retry or dead-letter topic.
pub const RETRY_TOPIC_CHARS_MAX: usize = 255;
/// Longest name of a group.
pub const GROUP_CHARS_MAX: usize = 120;

/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Prefix of topics that only the system uses.
pub const SYSTEM_PREFIX: &str = "rmq_sys_";
/// Prefix of the names of lite topics' queues.
pub const LITE_PREFIX: &str = "%LMQ%$";
/// Topic after which unknown topics are made.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Topic of messages that wait for a delay level.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Topic of messages that wait for a time of their own.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Topic of half messages.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Topic of decisions about half messages.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Topic of half messages that were checked too often.
pub const CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Topic of the broker's self test.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Topic of offset events.
pub const OFFSET_MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";
/// Topic of the benchmark tools.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Topic of message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// End of the name of a cluster's topic of replies.
pub const REPLY_SUFFIX: &str = "_REPLY_TOPIC";
/// Group under which a Java broker keeps how far it has looked at half messages.
pub const TRANSACTION_GROUP: &str = "CID_RMQ_SYS_TRANS";
/// Group under which admin tools read.
pub const TOOLS_GROUP: &str = "TOOLS_CONSUMER";

/// Key-value namespace of ordered topics in a name server.
pub const ORDER_TOPIC_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Retry topic of a group.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// Dead-letter topic of a group.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// Name of the queue of a lite topic.
///
/// Source: RocketMQ 5.5.0, `LiteUtil.toLmqName`.
pub fn lite_queue(parent: &str, lite_topic: &str) -> String {
    format!("{LITE_PREFIX}{parent}${lite_topic}")
}

/// Parent and lite topic of such a name.
pub fn parse_lite_queue(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(LITE_PREFIX)?.split_once('$').filter(|(_, lite_topic)| !lite_topic.contains('$'))
}

/// Separates group and topic in the newer names of the retry topics of POP; no name of a topic or group has it.
pub const POP_RETRY_SEPARATOR_V2: char = '+';

/// Retry topic of POP, with the older kind of name, which does not tell where the group ends. Source: `KeyBuilder`.
pub fn pop_retry_topic_v1(group: &str, topic: &str) -> String {
    format!("{RETRY_PREFIX}{group}_{topic}")
}

/// Retry topic of POP, with the newer kind of name.
pub fn pop_retry_topic_v2(group: &str, topic: &str) -> String {
    format!("{RETRY_PREFIX}{group}{POP_RETRY_SEPARATOR_V2}{topic}")
}

/// Topic of the replies in a cluster.
pub fn reply_topic(cluster: &str) -> String {
    format!("{cluster}{REPLY_SUFFIX}")
}

/// Why a name is refused; the text names the rule, as Java's does.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing but white space.
    #[error("The specified {0} is blank.")]
    Blank(&'static str),
    /// A character outside the allowed set.
    #[error("The specified {kind}: {name}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    Characters {
        /// "topic" or "group".
        kind: &'static str,
        /// The name, cut to a readable length.
        name: String,
    },
    /// Too long.
    #[error("The specified {kind}: {name}, is longer than {kind} max length: {max}")]
    Length {
        /// "topic" or "group".
        kind: &'static str,
        /// The name, cut to a readable length.
        name: String,
        /// The most characters allowed.
        max: usize,
    },
}

/// Checks the name of a topic.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    let derived = topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX);
    check("topic", topic, if derived { RETRY_TOPIC_CHARS_MAX } else { TOPIC_CHARS_MAX })
}

/// Checks the name of a group.
pub fn check_group(group: &str) -> Result<(), NameError> {
    check("group", group, GROUP_CHARS_MAX)
}

fn check(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    let shown = || name.chars().take(300).collect();
    if name.trim().is_empty() {
        return Err(NameError::Blank(kind));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte)) {
        return Err(NameError::Characters { kind, name: shown() });
    }
    if name.len() > max {
        return Err(NameError::Length { kind, name: shown(), max });
    }
    Ok(())
}

/// Whether producers are refused. Source: `TopicValidator.NOT_ALLOWED_SEND_TOPIC_SET`.
pub fn is_closed_to_producers(topic: &str) -> bool {
    [SCHEDULE_TOPIC, HALF_TOPIC, OP_HALF_TOPIC, CHECK_MAX_TIME_TOPIC, SELF_TEST_TOPIC, OFFSET_MOVED_TOPIC]
        .contains(&topic)
}

/// Whether the topic belongs to the system, leaving aside those a broker adds by its own name.
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_PREFIX)
        || is_closed_to_producers(topic)
        || [AUTO_CREATE_TOPIC, BENCHMARK_TOPIC, TRACE_TOPIC, "CHECKPOINT_TOPIC"].contains(&topic)
}

/// Whether the group belongs to the system.
pub fn is_system_group(group: &str) -> bool {
    group.starts_with("CID_RMQ_SYS_") || SYSTEM_GROUPS.contains(&group)
}

/// Groups that every broker has from the start. Source: `SubscriptionGroupManager.init`.
pub const SYSTEM_GROUPS: [&str; 7] = [
    TOOLS_GROUP,
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(check_topic("%RETRY%my-group_1|x").is_ok());
        assert_eq!(check_topic(" "), Err(NameError::Blank("topic")));
        assert!(matches!(check_topic("a b"), Err(NameError::Characters { .. })));
        assert!(matches!(check_topic("日本"), Err(NameError::Characters { .. })));
        assert!(check_topic(&"x".repeat(127)).is_ok());
        assert!(matches!(check_topic(&"x".repeat(128)), Err(NameError::Length { max: 127, .. })));
        assert!(check_topic(&retry_topic(&"x".repeat(120))).is_ok());
        assert!(matches!(check_group(&"x".repeat(121)), Err(NameError::Length { max: 120, .. })));
    }
}
