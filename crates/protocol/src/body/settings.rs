//! Settings of topics and groups, and the tables they are kept in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;
use crate::perm;

/// Settings of a topic. Source: `TopicConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// Attributes such as `message.type`.
    pub attributes: BTreeMap<String, String>,
    /// An ordered topic.
    pub order: bool,
    /// See [`crate::perm`].
    pub perm: i32,
    /// Queues for readers.
    pub read_queue_nums: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// Name.
    pub topic_name: String,
    /// See [`crate::sysflag`].
    pub topic_sys_flag: i32,
    /// Queues for writers.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm: perm::READ | perm::WRITE,
            read_queue_nums: 16,
            topic_filter_type: "SINGLE_TAG".into(),
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl TopicConfig {
    /// A readable and writeable topic of so many queues.
    pub fn new(name: impl Into<String>, queues: i32) -> TopicConfig {
        TopicConfig {
            topic_name: name.into(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            ..TopicConfig::default()
        }
    }
}

/// `topics.json`, and the body of GET_ALL_TOPIC_CONFIG.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Topics by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// A list of topics to make. Source: `CreateTopicListRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigList {
    /// Topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// Settings of a consumer group. Source: `SubscriptionGroupConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupConfig {
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Broker id to read from.
    pub broker_id: i64,
    /// Whether broadcast is allowed.
    pub consume_broadcast_enable: bool,
    /// Whether consuming is allowed.
    pub consume_enable: bool,
    /// Whether a new group may start at the beginning.
    pub consume_from_min_enable: bool,
    /// Whether POP keeps the order.
    pub consume_message_orderly: bool,
    /// Minutes a client may take for a message.
    pub consume_timeout_minute: i32,
    /// Name.
    pub group_name: String,
    /// Delays between tries.
    pub group_retry_policy: serde_json::Value,
    /// Flag of the group.
    pub group_sys_flag: i32,
    /// Tell members when others come or go.
    pub notify_consumer_ids_changed_enable: bool,
    /// Tries before a message becomes a dead letter.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Broker id to read from when far behind.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: serde_json::json!({"type": "CUSTOMIZED"}),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// `subscriptionGroup.json`, and the body of GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// What groups may not do, by group and topic.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Groups by name.
    pub subscription_group_table: BTreeMap<String, GroupConfig>,
}

/// A list of groups to make. Source: `SubscriptionGroupList`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupConfigList {
    /// Groups.
    pub group_config_list: Vec<GroupConfig>,
}

/// `consumerOffset.json`: offsets by `topic@group` and queue. Quoted keys, which Java reads as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// The table.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// `delayOffset.json`: next offset by delay level. Quoted keys, which Java reads as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsetTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// The table.
    pub offset_table: BTreeMap<i32, i64>,
}
