//! Offsets: of consumers, and of the queues themselves.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// Where a group stands in a queue.
    14 QUERY_CONSUMER_OFFSET QueryConsumerOffset(QueryConsumerOffsetHeader<'a>) -> OffsetReply;
    /// Remembers where a group stands.
    15 UPDATE_CONSUMER_OFFSET UpdateConsumerOffset(UpdateConsumerOffsetHeader<'a>) -> NoFields;
    /// First offset at or after a store time.
    29 SEARCH_OFFSET_BY_TIMESTAMP SearchOffset(SearchOffsetHeader<'a>) -> OffsetReply;
    /// Offset behind the last message.
    30 GET_MAX_OFFSET GetMaxOffset(QueueHeader<'a>) -> OffsetReply;
    /// Offset of the first message.
    31 GET_MIN_OFFSET GetMinOffset(QueueHeader<'a>) -> OffsetReply;
    /// Store time of the first message.
    32 GET_EARLIEST_MSG_STORETIME GetEarliestStoreTime(QueueHeader<'a>) -> TimestampReply;
}

header! {
    /// `QueryConsumerOffsetRequestHeader`.
    pub struct QueryConsumerOffsetHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// `false` asks not to turn "unknown" into 0.
        pub set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }
}

header! {
    /// `UpdateConsumerOffsetRequestHeader`.
    pub struct UpdateConsumerOffsetHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// Next offset to consume.
        pub commit_offset: i64 = "commitOffset",
    }
}

header! {
    /// A topic and a queue of it.
    pub struct QueueHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
    }
}

header! {
    /// `SearchOffsetRequestHeader`.
    pub struct SearchOffsetHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// Store time in milliseconds since 1970.
        pub timestamp: i64 = "timestamp",
        /// `upper` asks for the last message at or before instead; anything else is `lower`.
        pub boundary_type: Option<&'a str> = "boundaryType",
        /// Lite topic of the topic.
        pub lite_topic: Option<&'a str> = "liteTopic",
    }
}

header! {
    /// An offset.
    pub struct OffsetReply {
        /// Offset in the queue.
        pub offset: i64 = "offset",
    }
}

header! {
    /// A time.
    pub struct TimestampReply {
        /// Milliseconds since 1970, -1 when there is none.
        pub timestamp: i64 = "timestamp",
    }
}
