//! What admin tools ask of a broker.

use super::GetConsumerStatusHeader;
use super::{ConsumerGroupHeader, NoFields, ResetOffsetHeader, TopicHeader, requests};
use crate::header;

requests! {
    /// Makes a topic or changes it.
    17 UPDATE_AND_CREATE_TOPIC CreateTopic(CreateTopicHeader<'a>) -> NoFields;
    /// The same for several.
    18 UPDATE_AND_CREATE_TOPIC_LIST CreateTopicList(NoFields) -> NoFields;
    /// Deletes a topic.
    215 DELETE_TOPIC_IN_BROKER DeleteTopic(TopicHeader<'a>) -> NoFields;
    /// Settings of all topics.
    21 GET_ALL_TOPIC_CONFIG GetAllTopicConfig(TopicPageHeader<'a>) -> TotalTopicsReply;
    /// Settings of one topic.
    351 GET_TOPIC_CONFIG GetTopicConfig(TopicHeader<'a>) -> NoFields;
    /// Changes settings of the broker.
    25 UPDATE_BROKER_CONFIG UpdateBrokerConfig(NoFields) -> NoFields;
    /// Settings of the broker.
    26 GET_BROKER_CONFIG GetBrokerConfig(NoFields) -> BrokerConfigReply<'a>;
    /// Figures of the running broker.
    28 GET_BROKER_RUNTIME_INFO GetBrokerRuntimeInfo(NoFields) -> NoFields;
    /// What happened in the last minute, hour and day.
    315 VIEW_BROKER_STATS_DATA ViewBrokerStats(ViewBrokerStatsHeader<'a>) -> NoFields;
    /// Offsets of all groups.
    43 GET_ALL_CONSUMER_OFFSET GetAllConsumerOffset(NoFields) -> NoFields;
    /// Offsets of the delay levels.
    45 GET_ALL_DELAY_OFFSET GetAllDelayOffset(NoFields) -> NoFields;
    /// Makes a consumer group or changes it.
    200 UPDATE_AND_CREATE_SUBSCRIPTIONGROUP CreateGroup(NoFields) -> NoFields;
    /// The same for several.
    225 UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST CreateGroupList(NoFields) -> NoFields;
    /// Settings of all groups.
    201 GET_ALL_SUBSCRIPTIONGROUP_CONFIG GetAllGroupConfig(GroupPageHeader<'a>) -> TotalGroupsReply;
    /// Settings of one group.
    352 GET_SUBSCRIPTIONGROUP_CONFIG GetGroupConfig(GroupHeader<'a>) -> NoFields;
    /// Deletes a group.
    207 DELETE_SUBSCRIPTIONGROUP DeleteGroup(DeleteGroupHeader<'a>) -> NoFields;
    /// Offsets of all queues of a topic.
    202 GET_TOPIC_STATS_INFO GetTopicStats(TopicHeader<'a>) -> NoFields;
    /// How far a group is.
    208 GET_CONSUME_STATS GetConsumeStats(GetConsumeStatsHeader<'a>) -> NoFields;
    /// How far all groups are.
    317 GET_BROKER_CONSUME_STATS GetBrokerConsumeStats(BrokerConsumeStatsHeader) -> NoFields;
    /// Connections of a consumer group.
    203 GET_CONSUMER_CONNECTION_LIST GetConsumerConnections(ConsumerGroupHeader<'a>) -> NoFields;
    /// Connections of a producer group.
    204 GET_PRODUCER_CONNECTION_LIST GetProducerConnections(ProducerGroupHeader<'a>) -> NoFields;
    /// Connections of all producers.
    328 GET_ALL_PRODUCER_INFO GetAllProducers(NoFields) -> NoFields;
    /// Moves a group to another place.
    222 INVOKE_BROKER_TO_RESET_OFFSET ResetOffset(ResetOffsetHeader<'a>) -> NoFields;
    /// Where the clients of a group stand.
    223 INVOKE_BROKER_TO_GET_CONSUMER_STATUS GetConsumerStatus(GetConsumerStatusHeader<'a>) -> NoFields;
    /// Groups that consume a topic.
    300 QUERY_TOPIC_CONSUME_BY_WHO QueryTopicConsumers(TopicHeader<'a>) -> NoFields;
    /// Topics a group consumes.
    343 QUERY_TOPICS_BY_CONSUMER QueryTopicsByConsumer(GroupHeader<'a>) -> NoFields;
    /// Subscription of a group to a topic.
    345 QUERY_SUBSCRIPTION_BY_CONSUMER QuerySubscription(GroupTopicHeader<'a>) -> NoFields;
    /// Times between which a group's backlog lies.
    303 QUERY_CONSUME_TIME_SPAN QueryConsumeTimeSpan(GroupTopicHeader<'a>) -> NoFields;
    /// Topics of the system.
    305 GET_SYSTEM_TOPIC_LIST_FROM_BROKER GetSystemTopics(NoFields) -> NoFields;
    /// Removes what retention left in consume queues.
    306 CLEAN_EXPIRED_CONSUMEQUEUE CleanExpiredConsumeQueue(NoFields) -> NoFields;
    /// Removes consume queues without a topic.
    316 CLEAN_UNUSED_TOPIC CleanUnusedTopic(NoFields) -> NoFields;
    /// Applies retention now.
    329 DELETE_EXPIRED_COMMITLOG DeleteExpiredCommitLog(NoFields) -> NoFields;
    /// Copies offsets of one group to another.
    314 CLONE_GROUP_OFFSET CloneGroupOffset(CloneGroupOffsetHeader<'a>) -> NoFields;
    /// State of the copies of the log.
    907 GET_BROKER_HA_STATUS GetBrokerHaStatus(NoFields) -> NoFields;
    /// Entries of a consume queue.
    321 QUERY_CONSUME_QUEUE QueryConsumeQueue(QueryConsumeQueueHeader<'a>) -> NoFields;
}

header! {
    /// `CreateTopicRequestHeader`.
    pub struct CreateTopicHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queues for readers.
        pub read_queue_nums: i32 = "readQueueNums",
        /// Queues for writers.
        pub write_queue_nums: i32 = "writeQueueNums",
        /// See [`crate::perm`].
        pub perm: i32 = "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        pub topic_filter_type: Option<&'a str> = "topicFilterType",
        /// See [`crate::sysflag`].
        pub topic_sys_flag: Option<i32> = "topicSysFlag",
        /// An ordered topic.
        pub order: bool = "order",
        /// Changes of attributes: `+key=value,-key`.
        pub attributes: Option<&'a str> = "attributes",
    }
}

header! {
    /// `GetAllTopicConfigRequestHeader`: without any field the whole table is wanted, otherwise a page. Since 5.4.0.
    pub struct TopicPageHeader<'a> {
        /// Entries before the page, in the order of names.
        pub topic_seq: Option<i32> = "topicSeq",
        /// Version of the table that the pages before came from, as JSON.
        pub data_version: Option<&'a str> = "dataVersion",
        /// Most entries of the page.
        pub max_topic_num: Option<i32> = "maxTopicNum",
    }
}

header! {
    /// `GetAllSubscriptionGroupRequestHeader`: the same for groups.
    pub struct GroupPageHeader<'a> {
        /// Entries before the page, in the order of names.
        pub group_seq: Option<i32> = "groupSeq",
        /// Version of the table that the pages before came from, as JSON.
        pub data_version: Option<&'a str> = "dataVersion",
        /// Most entries of the page.
        pub max_group_num: Option<i32> = "maxGroupNum",
    }
}

header! {
    /// `ViewBrokerStatsDataRequestHeader`.
    pub struct ViewBrokerStatsHeader<'a> {
        /// Table, such as `TOPIC_PUT_NUMS`.
        pub stats_name: &'a str = "statsName",
        /// Topic, or `topic@group`.
        pub stats_key: &'a str = "statsKey",
    }
}

header! {
    /// How many there are.
    pub struct TotalTopicsReply {
        /// Topics.
        pub total_topic_num: i32 = "totalTopicNum",
    }
}

header! {
    /// How many there are.
    pub struct TotalGroupsReply {
        /// Groups.
        pub total_group_num: i32 = "totalGroupNum",
    }
}

header! {
    /// `GetBrokerConfigResponseHeader`.
    pub struct BrokerConfigReply<'a> {
        /// A data version as JSON.
        pub version: &'a str = "version",
    }
}

header! {
    /// A group.
    pub struct GroupHeader<'a> {
        /// Consumer group.
        pub group: &'a str = "group",
    }
}

header! {
    /// A producer group.
    pub struct ProducerGroupHeader<'a> {
        /// Producer group.
        pub producer_group: &'a str = "producerGroup",
    }
}

header! {
    /// A group and a topic, the topic at times left out.
    pub struct GroupTopicHeader<'a> {
        /// Consumer group.
        pub group: &'a str = "group",
        /// Topic.
        pub topic: &'a str = "topic",
    }
}

header! {
    /// `DeleteSubscriptionGroupRequestHeader`.
    pub struct DeleteGroupHeader<'a> {
        /// Consumer group.
        pub group_name: &'a str = "groupName",
        /// Forget its offsets too.
        pub clean_offset: bool = "cleanOffset",
    }
}

header! {
    /// `GetConsumeStatsRequestHeader`.
    pub struct GetConsumeStatsHeader<'a> {
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// One topic only.
        pub topic: Option<&'a str> = "topic",
        /// Several topics, separated by semicolons.
        pub topic_list: Option<&'a str> = "topicList",
    }
}

header! {
    /// `GetConsumeStatsInBrokerHeader`.
    pub struct BrokerConsumeStatsHeader {
        /// Ordered topics only.
        pub is_order: bool = "isOrder",
    }
}

header! {
    /// `CloneGroupOffsetRequestHeader`.
    pub struct CloneGroupOffsetHeader<'a> {
        /// From.
        pub src_group: &'a str = "srcGroup",
        /// To.
        pub dest_group: &'a str = "destGroup",
        /// One topic only.
        pub topic: Option<&'a str> = "topic",
    }
}

header! {
    /// `QueryConsumeQueueRequestHeader`.
    pub struct QueryConsumeQueueHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Queue.
        pub queue_id: i32 = "queueId",
        /// First entry.
        pub index: i64 = "index",
        /// Most entries.
        pub count: i32 = "count",
        /// Group whose filter is applied.
        pub consumer_group: Option<&'a str> = "consumerGroup",
    }
}
