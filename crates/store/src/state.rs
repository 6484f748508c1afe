//! Records that are not messages: changes of the broker's state, and the store's own.
//!
//! They carry the transaction type of a rolled-back message, so that a Java broker which reads this log enters them
//! in no consume queue and no index.

use protocol::record::{NewRecord, RecordView};
use std::net::{Ipv4Addr, SocketAddr};

/// Topic of state records. Not a topic for consumers.
pub const STATE_TOPIC: &str = "rmq_sys_STATE";

const ROLLED_BACK: i32 = 0x0C;
/// Queue ids tell the kinds apart.
const BROKER: u32 = 0;
const TOPIC_REMOVED: u32 = 1;

pub(crate) enum StateRecord<'a> {
    /// The broker knows what it means.
    Broker(&'a [u8]),
    /// The queues of this topic end here. The topic may begin anew after it.
    TopicRemoved(&'a str),
}

impl<'a> StateRecord<'a> {
    pub(crate) fn encode(&self, born_timestamp: i64) -> NewRecord<'a> {
        let (queue_id, body) = match *self {
            Self::Broker(body) => (BROKER, body),
            Self::TopicRemoved(topic) => (TOPIC_REMOVED, topic.as_bytes()),
        };
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        NewRecord {
            topic: STATE_TOPIC,
            queue_id,
            flag: 0,
            sys_flag: ROLLED_BACK,
            born_timestamp,
            born_host: nobody,
            store_host: nobody,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties: "",
            more_properties: "",
        }
    }
}

/// The state record that a record is, if it is one.
pub(crate) fn decode<'a>(record: &RecordView<'a>) -> Option<StateRecord<'a>> {
    if record.sys_flag() & ROLLED_BACK != ROLLED_BACK || record.topic() != STATE_TOPIC {
        return None;
    }
    match record.queue_id() {
        BROKER => Some(StateRecord::Broker(record.body())),
        TOPIC_REMOVED => str::from_utf8(record.body()).ok().map(StateRecord::TopicRemoved),
        _ => None,
    }
}
