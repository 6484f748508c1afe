//! Pulling.

use super::requests;
use crate::header;

requests! {
    /// Reads messages of one queue from an offset on, waiting for some if asked to.
    11 PULL_MESSAGE PullMessage(PullMessageHeader<'a>) -> PullMessageReply;
    /// The same for consumers that keep their own offsets.
    361 LITE_PULL_MESSAGE LitePullMessage(PullMessageHeader<'a>) -> PullMessageReply;
}

header! {
    /// `PullMessageRequestHeader`.
    pub struct PullMessageHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// First offset wanted.
        pub queue_offset: i64 = "queueOffset",
        /// Most messages wanted.
        pub max_msg_nums: i32 = "maxMsgNums",
        /// See [`crate::sysflag`].
        pub sys_flag: i32 = "sysFlag",
        /// Offset to remember for the group, if the flag says so.
        pub commit_offset: Option<i64> = "commitOffset",
        /// Longest wait in milliseconds.
        pub suspend_timeout_millis: Option<i64> = "suspendTimeoutMillis",
        /// Filter expression, if the flag says so.
        pub subscription: Option<&'a str> = "subscription",
        /// Version of the subscription.
        pub sub_version: Option<i64> = "subVersion",
        /// `TAG` or `SQL92`.
        pub expression_type: Option<&'a str> = "expressionType",
        /// Lite topic of the topic.
        pub lite_topic: Option<&'a str> = "liteTopic",
    }
}

header! {
    /// `PullMessageResponseHeader`.
    pub struct PullMessageReply {
        /// Broker id to pull from next; 0 is the master.
        pub suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// Offset to go on from.
        pub next_begin_offset: i64 = "nextBeginOffset",
        /// First offset of the queue.
        pub min_offset: i64 = "minOffset",
        /// Offset behind the last.
        pub max_offset: i64 = "maxOffset",
        /// Flag of the topic.
        pub topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Flag of the group.
        pub group_sys_flag: Option<i32> = "groupSysFlag",
        /// Which rule forbade the pull, with NO_PERMISSION.
        pub forbidden_type: Option<i32> = "forbiddenType",
    }
}
