//! Sending.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// Stores one message, or a batch when `batch` is set; long field names.
    10 SEND_MESSAGE SendMessage(SendMessageHeader<'a>) -> SendMessageReply<'a>;
    /// The same with one-letter field names.
    310 SEND_MESSAGE_V2 SendMessageV2(SendMessageV2Header<'a>) -> SendMessageReply<'a>;
    /// The same; the code says batch but only the field counts.
    320 SEND_BATCH_MESSAGE SendBatchMessage(SendMessageV2Header<'a>) -> SendMessageReply<'a>;
    /// Answers a request message: handed to the client that asked, and stored; long field names.
    324 SEND_REPLY_MESSAGE SendReply(SendMessageHeader<'a>) -> SendMessageReply<'a>;
    /// The same with one-letter field names.
    325 SEND_REPLY_MESSAGE_V2 SendReplyV2(SendMessageV2Header<'a>) -> SendMessageReply<'a>;
    /// A consumer gives a message back for a later try.
    36 CONSUMER_SEND_MSG_BACK ConsumerSendBack(ConsumerSendBackHeader<'a>) -> NoFields;
    /// Commits or rolls back a half message. Clients send it oneway.
    37 END_TRANSACTION EndTransaction(EndTransactionHeader<'a>) -> NoFields;
    /// Asks again about a transaction that was given up.
    323 RESUME_CHECK_HALF_MESSAGE ResumeCheckHalfMessage(ResumeCheckHalfMessageHeader<'a>) -> NoFields;
    /// Cancels a message that waits for its time.
    370 RECALL_MESSAGE RecallMessage(RecallMessageHeader<'a>) -> RecallMessageReply<'a>;
}

header! {
    /// `SendMessageRequestHeader`.
    #[derive(Default)]
    pub struct SendMessageHeader<'a> {
        /// Producer group.
        pub producer_group: Option<&'a str> = "producerGroup",
        /// Target.
        pub topic: &'a str = "topic",
        /// Template for a topic that does not exist yet.
        pub default_topic: Option<&'a str> = "defaultTopic",
        /// Queues that such a topic gets at most.
        pub default_topic_queue_nums: Option<i32> = "defaultTopicQueueNums",
        /// Queue; negative lets the broker choose.
        pub queue_id: i32 = "queueId",
        /// See [`crate::sysflag`].
        pub sys_flag: Option<i32> = "sysFlag",
        /// Client's clock, milliseconds since 1970.
        pub born_timestamp: Option<i64> = "bornTimestamp",
        /// User's flag.
        pub flag: Option<i32> = "flag",
        /// See [`crate::properties`].
        pub properties: Option<&'a str> = "properties",
        /// Times the message was consumed before.
        pub reconsume_times: Option<i32> = "reconsumeTimes",
        /// Whether the topic belongs to a unit.
        pub unit_mode: bool = "unitMode",
        /// Bound on `reconsume_times`.
        pub max_reconsume_times: Option<i32> = "maxReconsumeTimes",
        /// The body holds several messages.
        pub batch: bool = "batch",
        /// Broker the client means.
        pub broker_name: Option<&'a str> = "bname",
    }
}

header! {
    /// `SendMessageRequestHeaderV2`.
    #[derive(Default)]
    pub struct SendMessageV2Header<'a> {
        /// Producer group.
        pub producer_group: Option<&'a str> = "a",
        /// Target.
        pub topic: &'a str = "b",
        /// Template for a topic that does not exist yet.
        pub default_topic: Option<&'a str> = "c",
        /// Queues that such a topic gets at most.
        pub default_topic_queue_nums: Option<i32> = "d",
        /// Queue; negative lets the broker choose.
        pub queue_id: i32 = "e",
        /// See [`crate::sysflag`].
        pub sys_flag: Option<i32> = "f",
        /// Client's clock, milliseconds since 1970.
        pub born_timestamp: Option<i64> = "g",
        /// User's flag.
        pub flag: Option<i32> = "h",
        /// See [`crate::properties`].
        pub properties: Option<&'a str> = "i",
        /// Times the message was consumed before.
        pub reconsume_times: Option<i32> = "j",
        /// Whether the topic belongs to a unit.
        pub unit_mode: bool = "k",
        /// Bound on `reconsume_times`.
        pub max_reconsume_times: Option<i32> = "l",
        /// The body holds several messages.
        pub batch: bool = "m",
        /// Broker the client means.
        pub broker_name: Option<&'a str> = "n",
    }
}

impl<'a> From<SendMessageV2Header<'a>> for SendMessageHeader<'a> {
    fn from(v2: SendMessageV2Header<'a>) -> Self {
        SendMessageHeader {
            producer_group: v2.producer_group,
            topic: v2.topic,
            default_topic: v2.default_topic,
            default_topic_queue_nums: v2.default_topic_queue_nums,
            queue_id: v2.queue_id,
            sys_flag: v2.sys_flag,
            born_timestamp: v2.born_timestamp,
            flag: v2.flag,
            properties: v2.properties,
            reconsume_times: v2.reconsume_times,
            unit_mode: v2.unit_mode,
            max_reconsume_times: v2.max_reconsume_times,
            batch: v2.batch,
            broker_name: v2.broker_name,
        }
    }
}

header! {
    /// `SendMessageResponseHeader`.
    pub struct SendMessageReply<'a> {
        /// Offset message id; of a batch all of them, separated by commas.
        pub msg_id: &'a str = "msgId",
        /// Queue the message went to.
        pub queue_id: i32 = "queueId",
        /// Its place there; of a batch the first.
        pub queue_offset: i64 = "queueOffset",
        /// Unique key of the message.
        pub transaction_id: Option<&'a str> = "transactionId",
        /// Region of the broker.
        pub msg_region: Option<&'a str> = "MSG_REGION",
        /// Whether the client may trace.
        pub trace_on: Option<&'a str> = "TRACE_ON",
        /// What recalls a message that waits for its time; see [`crate::recall`].
        pub recall_handle: Option<&'a str> = "recallHandle",
    }
}

header! {
    /// `EndTransactionRequestHeader`.
    pub struct EndTransactionHeader<'a> {
        /// Topic of the message; old clients leave it out.
        pub topic: Option<&'a str> = "topic",
        /// Group of the producer.
        pub producer_group: &'a str = "producerGroup",
        /// Queue offset of the half message.
        pub tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Log offset of the half message.
        pub commit_log_offset: i64 = "commitLogOffset",
        /// [`crate::sysflag::TRANSACTION_COMMIT`], [`crate::sysflag::TRANSACTION_ROLLBACK`], or anything else for
        /// "not known yet".
        pub commit_or_rollback: i32 = "commitOrRollback",
        /// The broker had asked.
        pub from_transaction_check: bool = "fromTransactionCheck",
        /// Unique key of the message.
        pub msg_id: &'a str = "msgId",
        /// The same.
        pub transaction_id: Option<&'a str> = "transactionId",
    }
}

header! {
    /// `ResumeCheckHalfMessageRequestHeader`.
    pub struct ResumeCheckHalfMessageHeader<'a> {
        /// Topic that the message lies in.
        pub topic: Option<&'a str> = "topic",
        /// Offset id of the message.
        pub msg_id: Option<&'a str> = "msgId",
    }
}

header! {
    /// `RecallMessageRequestHeader`.
    pub struct RecallMessageHeader<'a> {
        /// Group of the producer.
        pub producer_group: Option<&'a str> = "producerGroup",
        /// Topic of the message.
        pub topic: &'a str = "topic",
        /// From the answer to the send; see [`crate::recall`].
        pub recall_handle: &'a str = "recallHandle",
    }
}

header! {
    /// `RecallMessageResponseHeader`.
    pub struct RecallMessageReply<'a> {
        /// Unique key of the message.
        pub msg_id: &'a str = "msgId",
    }
}

header! {
    /// `ConsumerSendMsgBackRequestHeader`.
    pub struct ConsumerSendBackHeader<'a> {
        /// Commit log offset of the message.
        pub offset: i64 = "offset",
        /// Consumer group.
        pub group: &'a str = "group",
        /// Delay before the next try; 0 lets the broker choose, negative means dead letter.
        pub delay_level: i32 = "delayLevel",
        /// Client's id of the message.
        pub origin_msg_id: Option<&'a str> = "originMsgId",
        /// Topic of the message.
        pub origin_topic: Option<&'a str> = "originTopic",
        /// Whether the topic belongs to a unit.
        pub unit_mode: bool = "unitMode",
        /// Tries before the message becomes a dead letter.
        pub max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }
}
