//! Bodies that are JSON text. Members are in alphabetical order, as Java writes them.

mod client;
mod lite;
mod pop;
mod route;
mod settings;
mod stats;

pub use client::*;
pub use lite::*;
pub use pop::*;
pub use route::*;
pub use settings::*;
pub use stats::*;

use serde::{Deserialize, Serialize};

/// A queue of a topic at a broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueue {
    /// Broker name.
    #[serde(default)]
    pub broker_name: String,
    /// Queue.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// Version of a table: equal versions mean equal tables. Source: `DataVersion`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Changes so far.
    pub counter: i64,
    /// Term of the controller, 0 without one.
    pub state_version: i64,
    /// Time of the last change in milliseconds since 1970.
    pub timestamp: i64,
}

/// A list of topics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicList {
    /// Address of some broker, on system lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// Names.
    #[serde(default)]
    pub topic_list: Vec<String>,
}
