//! The life of a client: heartbeat, group members, queue locks.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// A client is alive and says what it produces and consumes.
    34 HEART_BEAT HeartBeat(NoFields) -> HeartBeatReply<'a>;
    /// A client leaves groups.
    35 UNREGISTER_CLIENT UnregisterClient(UnregisterClientHeader<'a>) -> NoFields;
    /// Client ids of a consumer group.
    38 GET_CONSUMER_LIST_BY_GROUP GetConsumerList(ConsumerGroupHeader<'a>) -> NoFields;
    /// Locks queues for ordered consumption.
    41 LOCK_BATCH_MQ LockBatch(NoFields) -> NoFields;
    /// Unlocks them.
    42 UNLOCK_BATCH_MQ UnlockBatch(NoFields) -> NoFields;
    /// Checks a filter expression before a consumer starts.
    46 CHECK_CLIENT_CONFIG CheckClientConfig(NoFields) -> NoFields;
}

header! {
    /// Answer to a heartbeat.
    pub struct HeartBeatReply<'a> {
        /// The broker understands heartbeats without subscriptions.
        pub supports_v2: Option<&'a str> = "IS_SUPPORT_HEART_BEAT_V2",
        /// The broker wants the subscriptions again.
        pub subscription_changed: Option<&'a str> = "IS_SUB_CHANGE",
    }
}

header! {
    /// `UnregisterClientRequestHeader`.
    pub struct UnregisterClientHeader<'a> {
        /// Client; the spelling of the field differs from the other headers.
        pub client_id: &'a str = "clientID",
        /// Producer group to leave.
        pub producer_group: Option<&'a str> = "producerGroup",
        /// Consumer group to leave.
        pub consumer_group: Option<&'a str> = "consumerGroup",
    }
}

header! {
    /// A consumer group.
    pub struct ConsumerGroupHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
    }
}
