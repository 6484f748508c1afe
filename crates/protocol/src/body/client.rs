//! What clients say of themselves and how it is shown to admin tools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;
use crate::json::Keyed;
use crate::peer::Language;

/// How a group shares messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    /// Every member receives everything.
    Broadcasting,
    /// Members choose lite topics, each message goes to one who chose. Since 5.5.0.
    LiteSelective,
    /// Each message goes to one member.
    #[default]
    #[serde(other)]
    Clustering,
}

/// Body of a heartbeat. Source: `HeartbeatData`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// Client id.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Groups it consumes in.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Hash of the subscriptions, 0 when the client does not use it.
    pub heartbeat_fingerprint: i32,
    /// Groups it produces in.
    pub producer_data_set: Vec<ProducerData>,
    /// The subscriptions were left out because nothing changed.
    pub without_sub: bool,
}

/// One consumer group of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where a new group starts.
    pub consume_from_where: Option<String>,
    /// `CONSUME_ACTIVELY`, `CONSUME_PASSIVELY` or `CONSUME_POP`.
    pub consume_type: Option<String>,
    /// Group.
    pub group_name: String,
    /// How it shares messages.
    pub message_model: MessageModel,
    /// What it subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Whether it belongs to a unit.
    pub unit_mode: bool,
}

/// One producer group of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// Group.
    pub group_name: String,
}

/// A subscription to a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// The filter is a class; no longer supported by anyone.
    pub class_filter_mode: bool,
    /// Hashes of the tags.
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`.
    pub expression_type: Option<String>,
    /// The expression.
    pub sub_string: String,
    /// Its version, a time in milliseconds.
    pub sub_version: i64,
    /// The tags.
    pub tags_set: Vec<String>,
    /// Topic.
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        SubscriptionData {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: Some("TAG".into()),
            sub_string: "*".into(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: String::new(),
        }
    }
}

/// Body of a lock or unlock request. Source: `LockBatchRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequest {
    /// Client.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Ask no other broker.
    pub only_this_broker: bool,
}

/// Queues that are locked now. Source: `LockBatchResponseBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LockBatchReply {
    /// The queues.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}

/// Client ids of a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerIdList {
    /// Client ids.
    pub consumer_id_list: Vec<String>,
}

/// Body of CHECK_CLIENT_CONFIG. Source: `CheckClientRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequest {
    /// Client.
    pub client_id: String,
    /// Group.
    pub group: String,
    /// What it wants to subscribe to.
    pub subscription_data: Option<SubscriptionData>,
}

/// One connection of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// Address.
    pub client_addr: String,
    /// Client id.
    pub client_id: String,
    /// Language.
    pub language: Language,
    /// Release as an `MQVersion` ordinal.
    pub version: i32,
}

/// Who consumes in a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// Connections.
    pub connection_set: Vec<Connection>,
    /// Where a new group starts.
    pub consume_from_where: Option<String>,
    /// How it receives.
    pub consume_type: Option<String>,
    /// How it shares messages.
    pub message_model: MessageModel,
    /// Subscriptions by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Who produces in a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// Connections.
    pub connection_set: Vec<Connection>,
}

/// One producer in the list of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// Client id.
    pub client_id: String,
    /// Language.
    pub language: Language,
    /// Time of the last heartbeat.
    pub last_update_timestamp: i64,
    /// Address.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Release as an `MQVersion` ordinal.
    pub version: i32,
}

/// All producers by group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProducerTable {
    /// The table.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// The text of `ResetOffsetBody`: offsets by queue.
pub fn reset_offset_body<'q>(offsets: impl IntoIterator<Item = (&'q MessageQueue, i64)>) -> String {
    let mut table = Keyed::default();
    for (queue, offset) in offsets {
        table.entry(queue, &offset);
    }
    format!("{{\"offsetTable\":{}}}", table.finish())
}
