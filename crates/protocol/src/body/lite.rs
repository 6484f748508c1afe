//! Bodies about lite topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OffsetWrapper, TopicOffset};

/// Body of LITE_SUBSCRIPTION_CTL. Source: `LiteSubscriptionCtlRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteSubscriptions {
    /// Changes, each of one client.
    pub subscription_set: Vec<LiteSubscriptionEntry>,
}

/// A change of what a client subscribes to. Source: `LiteSubscriptionDTO`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteSubscriptionEntry {
    /// `PARTIAL_ADD`, `PARTIAL_REMOVE`, `COMPLETE_ADD` or `COMPLETE_REMOVE`.
    pub action: String,
    /// Client.
    pub client_id: Option<String>,
    /// Consumer group.
    pub group: Option<String>,
    /// Lite topics.
    pub lite_topic_set: Option<Vec<String>>,
    /// Where a new subscription begins.
    pub offset_option: Option<LiteOffsetOption>,
    /// Parent topic.
    pub topic: Option<String>,
    /// Counts changes at the client; nobody looks at it.
    pub version: i64,
}

/// Where a new subscription begins. Source: `OffsetOption`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteOffsetOption {
    /// `POLICY`, `OFFSET`, `TAIL_N` or `TIMESTAMP`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of a policy 0 for where the group stands, 1 for the first message, 2 for the end.
    pub value: i64,
}

/// Body of the answer to GET_BROKER_LITE_INFO.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerLiteInfo {
    /// How queues are stored.
    pub store_type: String,
    /// Most queues of lite topics.
    pub max_lmq_num: i32,
    /// How many there are.
    pub current_lmq_num: i32,
    /// Pairs of client and lite topic.
    pub lite_subscription_count: i32,
    /// Pairs of group and lite topic with messages in flight.
    pub order_info_count: i32,
    /// Queues of lite topics.
    pub cq_table_size: i32,
    /// Pairs of group and topic with offsets.
    pub offset_table_size: i32,
    /// Clients with lists of events.
    pub event_map_size: i32,
    /// Minutes after which lite topics are deleted, by parent.
    pub topic_meta: BTreeMap<String, i32>,
    /// Groups by the parent they are bound to.
    pub group_meta: BTreeMap<String, Vec<String>>,
}

/// Body of the answer to GET_PARENT_TOPIC_INFO.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentTopicInfo {
    /// Parent topic.
    pub topic: String,
    /// Minutes after which a lite topic is deleted; -1 means never.
    pub ttl: i32,
    /// Groups that are bound to it.
    pub groups: Vec<String>,
    /// Its queues of lite topics.
    pub lmq_num: i32,
    /// Its lite topics.
    pub lite_topic_count: i32,
}

/// Body of the answer to GET_LITE_TOPIC_INFO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiteTopicInfo {
    /// Parent topic.
    pub parent_topic: String,
    /// Lite topic.
    pub lite_topic: String,
    /// Who subscribes; the client `*` stands for a group that reads everything.
    pub subscriber: Vec<Subscriber>,
    /// Its messages.
    pub topic_offset: TopicOffset,
    /// Whether new messages of it come to this broker.
    pub sharding_to_broker: bool,
}

/// A client and its group. Source: `ClientGroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subscriber {
    /// Client.
    pub client_id: String,
    /// Consumer group.
    pub group: String,
}

/// Body of the answer to GET_LITE_CLIENT_INFO.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteClientInfo {
    /// Parent topic.
    pub parent_topic: String,
    /// Consumer group.
    pub group: String,
    /// Client.
    pub client_id: String,
    /// When it was heard of, milliseconds since 1970; -1 if it is not known.
    pub last_access_time: i64,
    /// Nobody sets it.
    pub last_consume_time: i64,
    /// Lite topics that it names; -1 if it is not known.
    pub lite_topic_count: i32,
    /// Names of their queues.
    pub lite_topic_set: Vec<String>,
}

/// Body of the answer to GET_LITE_GROUP_INFO.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteGroupInfo {
    /// Consumer group.
    pub group: String,
    /// Parent topic.
    pub parent_topic: String,
    /// The one lite topic that was asked for.
    pub lite_topic: Option<String>,
    /// Store time of the oldest message that is not consumed; -1 if there is none.
    pub earliest_unconsumed_timestamp: i64,
    /// Messages that are not consumed; -1 of a lite topic that does not exist.
    pub total_lag_count: i64,
    /// The one lite topic that was asked for.
    pub lite_topic_offset_wrapper: Option<OffsetWrapper>,
    /// Those with most messages.
    pub lag_count_top_k: Vec<LiteLag>,
    /// The same by age.
    pub lag_timestamp_top_k: Vec<LiteLag>,
}

/// A lite topic in which a group lags. Source: `LiteLagInfo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteLag {
    /// Lite topic.
    pub lite_topic: String,
    /// Messages that are not consumed.
    pub lag_count: i64,
    /// Store time of the oldest, milliseconds since 1970.
    pub earliest_unconsumed_timestamp: i64,
}
