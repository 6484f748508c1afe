//! Lite topics. Source: RocketMQ 5.5.0, `LiteSubscriptionCtlProcessor`, `PopLiteMessageProcessor`,
//! `LiteManagerProcessor`.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// Messages of the lite topics that a client subscribes to.
    200070 POP_LITE_MESSAGE PopLiteMessage(PopLiteMessageHeader<'a>) -> PopLiteMessageReply<'a>;
    /// Changes what clients subscribe to; the body says how.
    200071 LITE_SUBSCRIPTION_CTL LiteSubscriptionCtl(NoFields) -> NoFields;
    /// Another client of the group took a lite topic over. Oneway, from the broker.
    200073 NOTIFY_UNSUBSCRIBE_LITE NotifyUnsubscribeLite(NotifyUnsubscribeLiteHeader<'a>) -> NoFields;
    /// Lite topics of a broker, in figures.
    200074 GET_BROKER_LITE_INFO GetBrokerLiteInfo(NoFields) -> NoFields;
    /// A parent topic.
    200075 GET_PARENT_TOPIC_INFO GetParentTopicInfo(ParentTopicHeader<'a>) -> NoFields;
    /// A lite topic and who subscribes to it.
    200076 GET_LITE_TOPIC_INFO GetLiteTopicInfo(LiteTopicHeader<'a>) -> NoFields;
    /// What a client subscribes to.
    200077 GET_LITE_CLIENT_INFO GetLiteClientInfo(LiteClientHeader<'a>) -> NoFields;
    /// How far a group is.
    200078 GET_LITE_GROUP_INFO GetLiteGroupInfo(LiteGroupHeader<'a>) -> NoFields;
    /// Makes clients of a group look at everything they subscribe to.
    200079 TRIGGER_LITE_DISPATCH TriggerLiteDispatch(LiteDispatchHeader<'a>) -> NoFields;
}

header! {
    /// `PopLiteMessageRequestHeader`.
    pub struct PopLiteMessageHeader<'a> {
        /// Client, as it subscribed.
        pub client_id: &'a str = "clientId",
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Parent topic.
        pub topic: &'a str = "topic",
        /// Most messages wanted.
        pub max_msg_num: i32 = "maxMsgNum",
        /// Milliseconds for which nobody else sees them.
        pub invisible_time: i64 = "invisibleTime",
        /// Longest wait in milliseconds.
        pub poll_time: i64 = "pollTime",
        /// When the client asked, milliseconds since 1970.
        pub born_time: Option<i64> = "bornTime",
        /// Who asks again with the same word is given the same messages again.
        pub attempt_id: Option<&'a str> = "attemptId",
    }
}

header! {
    /// `PopLiteMessageResponseHeader`.
    pub struct PopLiteMessageReply<'a> {
        /// When the messages were taken, milliseconds since 1970.
        pub pop_time: i64 = "popTime",
        /// Milliseconds for which nobody else sees them.
        pub invisible_time: i64 = "invisibleTime",
        /// Always that of ordered pops.
        pub revive_qid: i32 = "reviveQid",
        /// How often each message was delivered before, separated by semicolons.
        pub order_count_info: Option<&'a str> = "orderCountInfo",
    }
}

header! {
    /// `NotifyUnsubscribeLiteRequestHeader`.
    pub struct NotifyUnsubscribeLiteHeader<'a> {
        /// Lite topic.
        pub lite_topic: &'a str = "liteTopic",
        /// Consumer group.
        pub consumer_group: &'a str = "consumerGroup",
        /// Client that lost it.
        pub client_id: &'a str = "clientId",
    }
}

header! {
    /// `GetParentTopicInfoRequestHeader`.
    pub struct ParentTopicHeader<'a> {
        /// Parent topic.
        pub topic: &'a str = "topic",
    }
}

header! {
    /// `GetLiteTopicInfoRequestHeader`.
    pub struct LiteTopicHeader<'a> {
        /// Parent topic.
        pub parent_topic: &'a str = "parentTopic",
        /// Lite topic.
        pub lite_topic: &'a str = "liteTopic",
    }
}

header! {
    /// `GetLiteClientInfoRequestHeader`.
    pub struct LiteClientHeader<'a> {
        /// Parent topic.
        pub parent_topic: &'a str = "parentTopic",
        /// Consumer group.
        pub group: &'a str = "group",
        /// Client.
        pub client_id: &'a str = "clientId",
        /// Most lite topics listed.
        pub max_count: Option<i32> = "maxCount",
    }
}

header! {
    /// `GetLiteGroupInfoRequestHeader`.
    pub struct LiteGroupHeader<'a> {
        /// Consumer group.
        pub group: &'a str = "group",
        /// One lite topic only.
        pub lite_topic: Option<&'a str> = "liteTopic",
        /// How many of those that lag most are listed.
        pub top_k: Option<i32> = "topK",
    }
}

header! {
    /// `TriggerLiteDispatchRequestHeader`.
    pub struct LiteDispatchHeader<'a> {
        /// Consumer group.
        pub group: &'a str = "group",
        /// One client only.
        pub client_id: Option<&'a str> = "clientId",
    }
}
