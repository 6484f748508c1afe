//! POP: the broker shares messages out among the clients of a group.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// Takes messages, which nobody else sees for a while.
    200050 POP_MESSAGE PopMessage(PopMessageHeader<'a>) -> PopMessageReply<'a>;
    /// Says that a popped message was consumed.
    200051 ACK_MESSAGE AckMessage(AckMessageHeader<'a>) -> NoFields;
    /// The same for several; the body says which.
    200151 BATCH_ACK_MESSAGE BatchAckMessage(NoFields) -> NoFields;
    /// Shows messages without taking them.
    200052 PEEK_MESSAGE PeekMessage(PeekMessageHeader<'a>) -> PopMessageReply<'a>;
    /// Changes for how long a popped message is invisible.
    200053 CHANGE_MESSAGE_INVISIBLETIME ChangeInvisibleTime(ChangeInvisibleTimeHeader<'a>) -> ChangeInvisibleTimeReply;
    /// Waits until there is something to pop.
    200054 NOTIFICATION Notification(NotificationHeader<'a>) -> NotificationReply;
    /// How many pops wait.
    200055 POLLING_INFO PollingInfo(PollingInfoHeader<'a>) -> PollingInfoReply;
    /// Moves the records of a Java broker's store of pops into its other store.
    200056 POP_ROLLBACK PopRollback(NoFields) -> NoFields;
    /// Asks which queues a client is to consume, and how; see [`crate::body::QueryAssignmentBody`].
    400 QUERY_ASSIGNMENT QueryAssignment(NoFields) -> NoFields;
    /// Sets how a group gets the messages of a topic; see [`crate::body::SetMessageRequestModeBody`].
    401 SET_MESSAGE_REQUEST_MODE SetMessageRequestMode(NoFields) -> NoFields;
    /// All that was set so.
    402 GET_ALL_MESSAGE_REQUEST_MODE GetAllMessageRequestMode(NoFields) -> NoFields;
}

header! {
    /// `PopMessageRequestHeader`.
    pub struct PopMessageHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue, -1 for all.
        pub queue_id: i32 = "queueId",
        /// Most messages wanted.
        pub max_msg_nums: i32 = "maxMsgNums",
        /// For how long nobody else sees them, in milliseconds.
        pub invisible_time: i64 = "invisibleTime",
        /// Longest wait in milliseconds.
        pub poll_time: i64 = "pollTime",
        /// When the client asked, in milliseconds since 1970.
        pub born_time: Option<i64> = "bornTime",
        /// Where a new group begins: 0 at the first message, 1 at the last.
        pub init_mode: i32 = "initMode",
        /// `TAG` or `SQL92`.
        pub exp_type: Option<&'a str> = "expType",
        /// Filter expression.
        pub exp: Option<&'a str> = "exp",
        /// In order.
        pub order: bool = "order",
        /// Tells a repeated ordered pop from another.
        pub attempt_id: Option<&'a str> = "attemptId",
    }
}

header! {
    /// `PopMessageResponseHeader`.
    pub struct PopMessageReply<'a> {
        /// When the messages were taken, in milliseconds since 1970.
        pub pop_time: i64 = "popTime",
        /// For how long nobody else sees them.
        pub invisible_time: i64 = "invisibleTime",
        /// Part of the receipts.
        pub revive_qid: i32 = "reviveQid",
        /// About how many messages are left.
        pub rest_num: i64 = "restNum",
        /// First offset by queue.
        pub start_offset_info: Option<&'a str> = "startOffsetInfo",
        /// Offsets by queue.
        pub msg_offset_info: Option<&'a str> = "msgOffsetInfo",
        /// Of an ordered pop: how often messages were handed out before.
        pub order_count_info: Option<&'a str> = "orderCountInfo",
    }
}

header! {
    /// `AckMessageRequestHeader`.
    pub struct AckMessageHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic that the message lies in.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// See [`crate::receipt`].
        pub extra_info: &'a str = "extraInfo",
        /// Place of the message in the queue.
        pub offset: i64 = "offset",
        /// Lite topic of the message; the topic is its parent then.
        pub lite_topic: Option<&'a str> = "liteTopic",
    }
}

header! {
    /// `PeekMessageRequestHeader`.
    pub struct PeekMessageHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue, -1 for all.
        pub queue_id: i32 = "queueId",
        /// Most messages wanted.
        pub max_msg_nums: i32 = "maxMsgNums",
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
    }
}

header! {
    /// `ChangeInvisibleTimeRequestHeader`.
    pub struct ChangeInvisibleTimeHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic that the message lies in.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// See [`crate::receipt`].
        pub extra_info: &'a str = "extraInfo",
        /// Place of the message in the queue.
        pub offset: i64 = "offset",
        /// For how long from now on, in milliseconds.
        pub invisible_time: i64 = "invisibleTime",
        /// Lite topic of the message; the topic is its parent then.
        pub lite_topic: Option<&'a str> = "liteTopic",
        /// The delivery does not count.
        pub suspend: bool = "suspend",
    }
}

header! {
    /// `ChangeInvisibleTimeResponseHeader`.
    pub struct ChangeInvisibleTimeReply {
        /// Part of the new receipt.
        pub pop_time: i64 = "popTime",
        /// Part of the new receipt.
        pub invisible_time: i64 = "invisibleTime",
        /// Part of the new receipt.
        pub revive_qid: i32 = "reviveQid",
    }
}

header! {
    /// `NotificationRequestHeader`.
    pub struct NotificationHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue, -1 for all.
        pub queue_id: i32 = "queueId",
        /// Longest wait in milliseconds.
        pub poll_time: i64 = "pollTime",
        /// When the client asked, in milliseconds since 1970.
        pub born_time: Option<i64> = "bornTime",
        /// In order.
        pub order: bool = "order",
        /// Tells a repeated ordered pop from another.
        pub attempt_id: Option<&'a str> = "attemptId",
        /// `TAG` or `SQL92`.
        pub exp_type: Option<&'a str> = "expType",
        /// Filter expression.
        pub exp: Option<&'a str> = "exp",
    }
}

header! {
    /// `NotificationResponseHeader`.
    pub struct NotificationReply {
        /// There is something to pop.
        pub has_msg: bool = "hasMsg",
        /// Too many wait.
        pub polling_full: bool = "pollingFull",
    }
}

header! {
    /// `PollingInfoRequestHeader`.
    pub struct PollingInfoHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue, -1 for those that wait for all.
        pub queue_id: i32 = "queueId",
    }
}

header! {
    /// `PollingInfoResponseHeader`.
    pub struct PollingInfoReply {
        /// How many wait.
        pub polling_num: i32 = "pollingNum",
    }
}
