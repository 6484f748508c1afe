//! Bodies around POP.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use super::{MessageModel, MessageQueue};

/// How a group gets its messages. Source: `MessageRequestMode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MessageRequestMode {
    /// Clients share the queues out and pull.
    #[default]
    Pull,
    /// The broker shares the messages out.
    Pop,
}

/// Body of SET_MESSAGE_REQUEST_MODE, and a row of the table. Source: `SetMessageRequestModeRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetMessageRequestModeBody {
    /// Consumer group.
    pub consumer_group: String,
    /// How it gets its messages.
    pub mode: MessageRequestMode,
    /// With POP: how many other clients share the queues of one; all if it is not positive.
    pub pop_share_queue_num: i32,
    /// Topic.
    pub topic: String,
}

/// `messageRequestMode.json`, and the body of GET_ALL_MESSAGE_REQUEST_MODE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageRequestModeTable {
    /// Rows by topic and group.
    pub message_request_mode_map: BTreeMap<String, BTreeMap<String, SetMessageRequestModeBody>>,
}

/// Body of QUERY_ASSIGNMENT. Source: `QueryAssignmentRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentBody {
    /// Client.
    pub client_id: String,
    /// Consumer group.
    pub consumer_group: String,
    /// How the group shares messages.
    pub message_model: MessageModel,
    /// How queues are shared out: `AVG` or `AVG_BY_CIRCLE`.
    pub strategy_name: String,
    /// Topic.
    pub topic: String,
}

/// A queue that a client is to consume. Source: `MessageQueueAssignment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueueAssignment {
    /// Nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<BTreeMap<String, String>>,
    /// The queue; number -1 means all of the broker.
    pub message_queue: MessageQueue,
    /// How to consume it.
    #[serde(default)]
    pub mode: MessageRequestMode,
}

/// Reply to QUERY_ASSIGNMENT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentReply {
    /// Queues of the client; none at all means: keep what you have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<MessageQueueAssignment>>,
}

/// Body of BATCH_ACK_MESSAGE. Source: `BatchAckMessageRequestBody`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckBody {
    /// What is acked.
    pub acks: Vec<BatchAck>,
    /// Broker.
    pub broker_name: String,
}

/// Acks of messages of one pop and queue. Source: `BatchAck`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAck {
    /// Base64 of bytes, least significant bit and byte first: bit `i` acks the offset `start_offset + i`. Source:
    /// `BitSetSerializerDeserializer`.
    #[serde(rename = "b", alias = "bitSet")]
    pub bits: String,
    /// Consumer group.
    #[serde(rename = "c", alias = "consumerGroup")]
    pub consumer_group: String,
    /// For how long the messages were invisible.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_ms: i64,
    /// When they were popped.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_ms: i64,
    /// Queue.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// `0`, `1` or `2`: in which kind of topic they lie.
    #[serde(rename = "r", alias = "retry")]
    pub retry: String,
    /// Revive queue.
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue: i32,
    /// First offset of the pop.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// Topic that was popped.
    #[serde(rename = "t", alias = "topic")]
    pub topic: String,
}

impl BatchAck {
    /// The offsets that are acked, `None` when the bits are not Base64.
    pub fn offsets(&self) -> Option<Vec<i64>> {
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(&self.bits).ok()?;
        let bits = bytes.iter().enumerate().flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte & 1 << bit != 0).map(move |bit| (at * 8) as i64 + bit)
        });
        Some(bits.map(|bit| self.start_offset.saturating_add(bit)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_a_java_bit_set() {
        // `Base64.getEncoder().encodeToString(BitSet.toByteArray())` of {0, 1, 9}.
        let text = r#"{"acks":[{"b":"AwI=","c":"G","it":30000,"pt":5,"q":1,"r":"1","rq":3,"so":100,"t":"T"}],"brokerName":"b"}"#;
        let body: BatchAckBody = serde_json::from_str(text).unwrap();
        assert_eq!(body.acks[0].offsets(), Some(vec![100, 101, 109]));
        assert_eq!(body.acks[0].retry, "1");
        assert_eq!(serde_json::to_string(&body).unwrap(), text);
        assert_eq!(BatchAck { bits: "*".into(), ..BatchAck::default() }.offsets(), None);
        let long = r#"{"bitSet":"AQ==","consumerGroup":"G","startOffset":7}"#;
        let ack: BatchAck = serde_json::from_str(long).unwrap();
        assert_eq!((ack.offsets(), ack.consumer_group.as_str()), (Some(vec![7]), "G"));
    }
}
