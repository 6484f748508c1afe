//! Figures for admin tools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MessageQueue, SubscriptionData};
use crate::json::{Keyed, ScanError, parse};

/// Offsets of one queue. Source: `TopicOffset`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// Store time of the last message.
    pub last_update_timestamp: i64,
    /// Offset behind the last message.
    pub max_offset: i64,
    /// First offset.
    pub min_offset: i64,
}

/// How far a group is in one queue. Source: `OffsetWrapper`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// Offset behind the last message.
    pub broker_offset: i64,
    /// Next offset to consume.
    pub consumer_offset: i64,
    /// Store time of the message before that.
    pub last_timestamp: i64,
    /// Next offset to pull.
    pub pull_offset: i64,
}

/// A table by queue, as in `TopicStatsTable` and `ConsumeStats`: its keys travel as whole objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueTable<T> {
    /// Messages a second, over all queues.
    pub tps: f64,
    /// The table.
    pub offsets: BTreeMap<MessageQueue, T>,
}

/// Offsets of a topic.
pub type TopicStats = QueueTable<TopicOffset>;
/// How far a group is.
pub type ConsumeStats = QueueTable<OffsetWrapper>;

impl TopicStats {
    /// Body of GET_TOPIC_STATS_INFO.
    pub fn to_body(&self) -> String {
        format!("{{\"offsetTable\":{},\"topicPutTps\":{:?}}}", self.table(), self.tps)
    }
}

impl ConsumeStats {
    /// Body of GET_CONSUME_STATS.
    pub fn to_body(&self) -> String {
        format!("{{\"consumeTps\":{:?},\"offsetTable\":{}}}", self.tps, self.table())
    }
}

impl<T: Serialize + for<'de> Deserialize<'de>> QueueTable<T> {
    fn table(&self) -> String {
        let mut table = Keyed::default();
        for (queue, value) in &self.offsets {
            table.entry(queue, value);
        }
        table.finish()
    }

    /// Reads either body.
    pub fn from_body(body: &[u8]) -> Result<Self, ScanError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw<T> {
            #[serde(alias = "topicPutTps", default)]
            consume_tps: f64,
            offset_table: BTreeMap<String, T>,
        }
        let raw: Raw<T> = parse(body)?;
        let keyed = raw.offset_table.into_iter().map(|(key, value)| Ok((parse(key.as_bytes())?, value)));
        Ok(QueueTable { tps: raw.consume_tps, offsets: keyed.collect::<Result<_, ScanError>>()? })
    }
}

/// Times between which a group's backlog of a queue lies. Source: `QueueTimeSpan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueTimeSpan {
    /// Store time of the last consumed message.
    pub consume_time_stamp: i64,
    /// Milliseconds between that and now, 0 when there is no backlog.
    pub delay_time: i64,
    /// Store time of the last message.
    pub max_time_stamp: i64,
    /// Queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message.
    pub min_time_stamp: i64,
}

/// Body of QUERY_CONSUME_TIME_SPAN.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeTimeSpans {
    /// One per queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Groups of a topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// Names.
    pub group_list: Vec<String>,
}

/// Subscription of a group to a topic. Source: `QuerySubscriptionResponseBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionReply {
    /// Group.
    pub group: String,
    /// The subscription, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// Topic.
    pub topic: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_tables_are_written_as_java_does_and_read_back() {
        let queue = MessageQueue { broker_name: "broker-a".into(), queue_id: 3, topic: "TopicTest".into() };
        let mut stats = ConsumeStats::default();
        stats.offsets.insert(queue, OffsetWrapper { broker_offset: 10, ..OffsetWrapper::default() });
        let body = stats.to_body();
        assert_eq!(
            body,
            r#"{"consumeTps":0.0,"offsetTable":{{"brokerName":"broker-a","queueId":3,"topic":"TopicTest"}:{"brokerOffset":10,"consumerOffset":0,"lastTimestamp":0,"pullOffset":0}}}"#
        );
        assert_eq!(ConsumeStats::from_body(body.as_bytes()).unwrap(), stats);
    }
}
