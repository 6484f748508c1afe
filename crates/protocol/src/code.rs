//! Response codes. Source: `ResponseCode`, `RemotingSysResponseCode`.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:literal $name:ident,)*) => {
        $($(#[$doc])* pub const $name: Code = Code($code);)*

        impl Code {
            /// Name of the code in the protocol, `None` when it is none of the known ones.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($code => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

/// A response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub i32);

codes! {
    /// Done.
    0 SUCCESS,
    /// Anything without a code of its own; clients retry at another broker.
    1 SYSTEM_ERROR,
    /// Passing overload.
    2 SYSTEM_BUSY,
    /// Nobody here serves this request code.
    3 REQUEST_CODE_NOT_SUPPORTED,
    /// Stored, but its flush took too long.
    10 FLUSH_DISK_TIMEOUT,
    /// Stored, but no replica was there.
    11 SLAVE_NOT_AVAILABLE,
    /// Stored, but the replicas took too long.
    12 FLUSH_SLAVE_TIMEOUT,
    /// The message breaks a rule.
    13 MESSAGE_ILLEGAL,
    /// Not now: shutting down or disk full.
    14 SERVICE_NOT_AVAILABLE,
    /// The peer is too old for this.
    15 VERSION_NOT_SUPPORTED,
    /// Forbidden by a permission.
    16 NO_PERMISSION,
    /// Unknown topic.
    17 TOPIC_NOT_EXIST,
    /// Nothing there yet.
    19 PULL_NOT_FOUND,
    /// Nothing matched; go on from the next offset.
    20 PULL_RETRY_IMMEDIATELY,
    /// The offset is outside the queue; go on from the next offset.
    21 PULL_OFFSET_MOVED,
    /// No such offset, key or value.
    22 QUERY_NOT_FOUND,
    /// The filter expression is wrong.
    23 SUBSCRIPTION_PARSE_FAILED,
    /// The group does not subscribe to this topic.
    24 SUBSCRIPTION_NOT_EXIST,
    /// The broker knows an older subscription.
    25 SUBSCRIPTION_NOT_LATEST,
    /// Unknown consumer group.
    26 SUBSCRIPTION_GROUP_NOT_EXIST,
    /// A parameter breaks a rule.
    29 INVALID_PARAMETER,
    /// No consumer of the group is online.
    206 CONSUMER_NOT_ONLINE,
    /// A client did not answer in time.
    207 CONSUME_MSG_TIMEOUT,
    /// No message at this offset.
    208 NO_MESSAGE,
    /// Too many pops wait already.
    209 POLLING_FULL,
    /// There was nothing to pop until the end of the wait.
    210 POLLING_TIMEOUT,
    /// The broker does not exist.
    211 BROKER_NOT_EXIST,
    /// The group consumes in broadcast.
    213 BROADCAST_CONSUMPTION,
    /// Limited by a quota.
    215 FLOW_CONTROL,
    /// Not allowed in this state.
    604 ILLEGAL_OPERATION,
    /// There are too many subscriptions to lite topics.
    2018 LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
    /// The server is leaving; clients go elsewhere and come back.
    1500 GO_AWAY,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}
