//! What a verb refuses, by what the caller can do about it. Each wire has its own codes for these, in one file.

use protocol::name::NameError;

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Create the topic, or send elsewhere.
    #[error("topic[{0}] not exist, apply first please!")]
    UnknownTopic(String),
    /// Create the group.
    #[error("subscription group [{0}] does not exist")]
    UnknownGroup(String),
    /// Choose another name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The topic belongs to the system.
    #[error("sending to topic [{0}] is not allowed, it belongs to the system")]
    ClosedTopic(String),
    /// A parameter breaks a rule.
    #[error("{0}")]
    Parameter(String),
    /// An attribute of a topic is wrong.
    #[error("{0}")]
    Attribute(String),
    /// A rule forbids it; ask whoever made the rule.
    #[error("{reason}")]
    Forbidden {
        /// Which rule.
        kind: Forbidden,
        /// In words.
        reason: String,
    },
    /// Send something else: the message breaks a rule.
    #[error("{0}")]
    MessageIllegal(String),
    /// Not in the state that things are in: too late, or meant for somebody else.
    #[error("{0}")]
    Illegal(String),
    /// This server does not do that (yet).
    #[error("{0}")]
    Unsupported(String),
    /// The filter expression is wrong.
    #[error("parse the consumer's subscription failed: {0}")]
    Filter(String),
    /// Heartbeat first: the broker does not know what the group subscribes to.
    #[error("the consumer's subscription not exist: group {group:?}, topic {topic:?}")]
    NoSubscription {
        /// Consumer group.
        group: String,
        /// Topic.
        topic: String,
    },
    /// Heartbeat again: the broker knows an older subscription.
    #[error("the consumer's subscription not latest: group {group:?}, topic {topic:?}")]
    OldSubscription {
        /// Consumer group.
        group: String,
        /// Topic.
        topic: String,
    },
    /// A quota is used up: give something up first.
    #[error("{0}")]
    Quota(String),
    /// The queue has no message there.
    #[error("{0}")]
    NoMessage(String),
    /// Passing: try again after a pause.
    #[error("{0}")]
    Busy(String),
    /// There is nothing like that.
    #[error("{0}")]
    NotFound(String),
    /// Go elsewhere: this broker is stopping or not started.
    #[error("the broker is stopping")]
    Stopping,
    /// A table of settings cannot be read; repair or remove the file.
    #[error("{0}")]
    Settings(String),
    /// The store refused; see there.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Which rule forbids something. Source: `ForbiddenType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// The permission of the broker.
    Broker = 1,
    /// The settings of the group.
    Group = 2,
    /// The permission of the topic.
    Topic = 3,
    /// The group may not broadcast.
    Broadcast = 4,
    /// The group may not read this topic.
    Subscription = 5,
}

impl Error {
    pub(crate) fn forbidden(kind: Forbidden, reason: impl Into<String>) -> Error {
        Error::Forbidden { kind, reason: reason.into() }
    }
}
