//! What clients say of themselves and how it is shown to admin tools.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::MessageQueue;
use crate::json::Keyed;
use crate::peer::Language;

/// How a group shares messages. The C++ client writes enums as numbers, which Java's JSON library takes as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", from = "String")]
pub enum MessageModel {
    /// Every member receives everything.
    Broadcasting,
    /// Each message goes to one member.
    #[default]
    Clustering,
    /// Members choose lite topics, each message goes to one who chose. Since 5.5.0.
    LiteSelective,
}

impl From<String> for MessageModel {
    fn from(name: String) -> MessageModel {
        match name.as_str() {
            "BROADCASTING" | "0" => MessageModel::Broadcasting,
            "LITE_SELECTIVE" | "2" => MessageModel::LiteSelective,
            _ => MessageModel::Clustering,
        }
    }
}

/// In the order of their numbers. Source: `ConsumeType`.
const CONSUME_TYPES: [&str; 3] = ["CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"];

/// In the order of their numbers. Source: `ConsumeFromWhere`.
const CONSUME_FROM: [&str; 6] = [
    "CONSUME_FROM_LAST_OFFSET",
    "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
    "CONSUME_FROM_MIN_OFFSET",
    "CONSUME_FROM_MAX_OFFSET",
    "CONSUME_FROM_FIRST_OFFSET",
    "CONSUME_FROM_TIMESTAMP",
];

fn consume_type<'de, D: Deserializer<'de>>(given: D) -> Result<Option<String>, D::Error> {
    named(&CONSUME_TYPES, given)
}

fn consume_from<'de, D: Deserializer<'de>>(given: D) -> Result<Option<String>, D::Error> {
    named(&CONSUME_FROM, given)
}

/// A name, for which its number may stand.
fn named<'de, D: Deserializer<'de>>(names: &[&str], given: D) -> Result<Option<String>, D::Error> {
    let given = Option::<String>::deserialize(given)?;
    let by_number = |given: &str| names.get(given.parse::<usize>().ok()?).map(|name| (*name).to_owned());
    Ok(given.map(|given| by_number(&given).unwrap_or(given)))
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
    #[serde(deserialize_with = "consume_from")]
    pub consume_from_where: Option<String>,
    /// `CONSUME_ACTIVELY`, `CONSUME_PASSIVELY` or `CONSUME_POP`.
    #[serde(deserialize_with = "consume_type")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_heartbeat_of_the_cpp_client_has_numbers_for_names() {
        // As version 1.2.4 writes it.
        let body =
            br#"{"clientID":"1@DEFAULT","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"G",
            "messageModel":0,"subscriptionDataSet":[{"codeSet":[0,0],"subString":"a || b","subVersion":"1795377144552",
            "tagsSet":["a","b"],"topic":"T"}]}],"producerDataSet":[{"groupName":"P"}]}"#;
        let heartbeat: HeartbeatData = json::parse(body).unwrap();
        let consumer = &heartbeat.consumer_data_set[0];
        assert_eq!(consumer.consume_from_where.as_deref(), Some("CONSUME_FROM_FIRST_OFFSET"));
        assert_eq!(consumer.consume_type.as_deref(), Some("CONSUME_PASSIVELY"));
        assert_eq!(consumer.message_model, MessageModel::Broadcasting);
        assert_eq!(consumer.subscription_data_set[0].sub_version, 1_795_377_144_552);
        for (number, model) in [(1, "CLUSTERING"), (2, "LITE_SELECTIVE")] {
            let by =
                |text: &str| json::parse::<ConsumerData>(format!(r#"{{"messageModel":{text}}}"#).as_bytes()).unwrap();
            let (named, numbered) = (by(&format!("{model:?}")), by(&number.to_string()));
            assert_eq!((numbered.message_model, json::to_vec(&numbered)), (named.message_model, json::to_vec(&named)));
        }
    }
}
