//! What a broker asks of a client on the client's own connection.

use super::{ConsumerGroupHeader, NoFields, requests};
use crate::header;

requests! {
    /// What became of the transaction whose half message is in the body? Oneway; the answer is END_TRANSACTION.
    39 CHECK_TRANSACTION_STATE CheckTransactionState(CheckTransactionStateHeader<'a>) -> NoFields;
    /// Members of the group changed: rebalance now. Oneway.
    40 NOTIFY_CONSUMER_IDS_CHANGED NotifyConsumerIdsChanged(ConsumerGroupHeader<'a>) -> NoFields;
    /// Go on from other offsets; they are in the body. Oneway.
    220 RESET_CONSUMER_CLIENT_OFFSET ResetConsumerClientOffset(ResetOffsetHeader<'a>) -> NoFields;
    /// Where does the client stand?
    221 GET_CONSUMER_STATUS_FROM_CLIENT GetConsumerStatusFromClient(GetConsumerStatusHeader<'a>) -> NoFields;
    /// What is the client doing? Relayed from an admin tool.
    307 GET_CONSUMER_RUNNING_INFO GetConsumerRunningInfo(GetConsumerRunningInfoHeader<'a>) -> NoFields;
    /// Consume this message now. Relayed from an admin tool.
    309 CONSUME_MESSAGE_DIRECTLY ConsumeMessageDirectly(ConsumeMessageDirectlyHeader<'a>) -> NoFields;
    /// The reply to a request message of this client.
    326 PUSH_REPLY_MESSAGE_TO_CLIENT PushReply(PushReplyHeader<'a>) -> NoFields;
}

header! {
    /// `ReplyMessageRequestHeader`.
    pub struct PushReplyHeader<'a> {
        /// Producer group of who replies.
        pub producer_group: &'a str = "producerGroup",
        /// Topic of the reply.
        pub topic: &'a str = "topic",
        /// As the sender filled it.
        pub default_topic: &'a str = "defaultTopic",
        /// As the sender filled it.
        pub default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// As the sender filled it.
        pub queue_id: i32 = "queueId",
        /// See [`crate::sysflag`].
        pub sys_flag: i32 = "sysFlag",
        /// Clock of who replies, milliseconds since 1970.
        pub born_timestamp: i64 = "bornTimestamp",
        /// User's flag.
        pub flag: i32 = "flag",
        /// See [`crate::properties`].
        pub properties: Option<&'a str> = "properties",
        /// Times the message was consumed before.
        pub reconsume_times: Option<i32> = "reconsumeTimes",
        /// Whether the topic belongs to a unit.
        pub unit_mode: bool = "unitMode",
        /// Address of who replies, `ip:port`.
        pub born_host: &'a str = "bornHost",
        /// Address of the broker, `ip:port`.
        pub store_host: &'a str = "storeHost",
        /// Clock of the broker.
        pub store_timestamp: i64 = "storeTimestamp",
    }
}

header! {
    /// `CheckTransactionStateRequestHeader`.
    pub struct CheckTransactionStateHeader<'a> {
        /// Topic of half messages.
        pub topic: Option<&'a str> = "topic",
        /// Queue offset of the half message.
        pub tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Log offset of the half message.
        pub commit_log_offset: i64 = "commitLogOffset",
        /// Unique key of the message.
        pub msg_id: Option<&'a str> = "msgId",
        /// The same.
        pub transaction_id: Option<&'a str> = "transactionId",
        /// Offset message id of the half message.
        pub offset_msg_id: Option<&'a str> = "offsetMsgId",
        /// Broker that asks.
        pub broker_name: Option<&'a str> = "bname",
    }
}

header! {
    /// `ResetOffsetRequestHeader`.
    pub struct ResetOffsetHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Consumer group.
        pub group: &'a str = "group",
        /// One queue only; negative or absent means all.
        pub queue_id: Option<i32> = "queueId",
        /// Offset to go to in that queue.
        pub offset: Option<i64> = "offset",
        /// Store time to go to; -1 means the end.
        pub timestamp: i64 = "timestamp",
        /// Also forward.
        pub is_force: bool = "isForce",
    }
}

header! {
    /// `GetConsumerStatusRequestHeader`.
    pub struct GetConsumerStatusHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Consumer group.
        pub group: &'a str = "group",
        /// One client only.
        pub client_addr: Option<&'a str> = "clientAddr",
    }
}

header! {
    /// `GetConsumerRunningInfoRequestHeader`.
    pub struct GetConsumerRunningInfoHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Client.
        pub client_id: &'a str = "clientId",
        /// With stacks of its threads.
        pub jstack_enable: bool = "jstackEnable",
    }
}

header! {
    /// `ConsumeMessageDirectlyResultRequestHeader`.
    pub struct ConsumeMessageDirectlyHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Client.
        pub client_id: Option<&'a str> = "clientId",
        /// Offset message id.
        pub msg_id: Option<&'a str> = "msgId",
        /// Broker of the message.
        pub broker_name: Option<&'a str> = "brokerName",
        /// Topic of the message.
        pub topic: Option<&'a str> = "topic",
    }
}
