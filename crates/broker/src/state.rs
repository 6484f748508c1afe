//! Changes of settings and offsets, as records of the log.
//!
//! The log is the only truth: a change is made in memory and appended here, in one order for both. After a crash
//! the tables are read from their last snapshot and the changes behind it are applied again; applying one twice does
//! no harm, because each holds the whole new value.
//! Only those of the due table, messages in flight among them, are exact: its snapshot stands for one place of the log, and earlier ones are left out.

use std::sync::Arc;

use protocol::body::{GroupConfig, SetMessageRequestModeBody, TopicConfig};
use serde::{Deserialize, Serialize};
use store::{LogOffset, Store};

use crate::Error;
use crate::due::DueChange;
use crate::pop::{FlightChange, OrderChange};

/// One change, written as JSON: rare, small, and readable when someone has to look at it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    Topic(TopicConfig),
    TopicDeleted(String),
    Group(GroupConfig),
    GroupDeleted(String),
    Offsets(Vec<OffsetChange>),
    GroupOffsetsDeleted(String),
    TopicOffsetsDeleted(String),
    /// Delay level and the next offset of its queue.
    DelayOffset(i32, i64),
    /// Timers that were delivered, half messages that were checked.
    Due(DueChange),
    /// The number of a pair of topic and group that pops.
    PopOwner(u32, String, String),
    /// Messages that were popped, and popped ones that are no longer invisible.
    Flights(FlightChange),
    /// What ordered pops handed out.
    Orders(Vec<OrderChange>),
    /// How a group gets its messages.
    RequestMode(SetMessageRequestModeBody),
}

/// Topic, group, queue, offset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OffsetChange(pub(crate) String, pub(crate) String, pub(crate) i32, pub(crate) i64);

/// Writes changes into the log.
pub(crate) struct Journal {
    store: Arc<Store>,
    clock: Arc<dyn store::Clock>,
}

impl Journal {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn store::Clock>) -> Journal {
        Journal { store, clock }
    }

    /// Appends a change and returns where it ends. It is durable when the log is flushed up to there; whatever
    /// depends on it comes later in the same log.
    pub(crate) fn append(&self, change: &Change) -> Result<LogOffset, Error> {
        let body = serde_json::to_vec(change).expect("changes have string keys and no failing serializers");
        Ok(self.store.append_state(&body)?.end)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
