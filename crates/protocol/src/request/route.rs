//! What a name server answers.

use super::{NoFields, requests};
use crate::header;

requests! {
    /// Brokers and queues of a topic.
    105 GET_ROUTEINFO_BY_TOPIC GetRoute(GetRouteHeader<'a>) -> NoFields;
    /// All brokers by cluster.
    106 GET_BROKER_CLUSTER_INFO GetClusterInfo(NoFields) -> NoFields;
    /// Stores a value.
    100 PUT_KV_CONFIG PutKvConfig(PutKvConfigHeader<'a>) -> NoFields;
    /// Reads a value.
    101 GET_KV_CONFIG GetKvConfig(KvKeyHeader<'a>) -> KvValueReply<'a>;
    /// Forgets a value.
    102 DELETE_KV_CONFIG DeleteKvConfig(KvKeyHeader<'a>) -> NoFields;
    /// All values of a namespace.
    219 GET_KVLIST_BY_NAMESPACE GetKvList(NamespaceHeader<'a>) -> NoFields;
    /// A broker says where it is and what it has.
    103 REGISTER_BROKER RegisterBroker(RegisterBrokerHeader<'a>) -> RegisterBrokerReply<'a>;
    /// A broker leaves.
    104 UNREGISTER_BROKER UnregisterBroker(BrokerHeader<'a>) -> NoFields;
    /// Does the name server know the broker's newest topics?
    322 QUERY_DATA_VERSION QueryDataVersion(BrokerHeader<'a>) -> QueryDataVersionReply;
    /// A broker is alive.
    904 BROKER_HEARTBEAT BrokerHeartbeat(BrokerHeartbeatHeader<'a>) -> NoFields;
    /// Brokers of one name.
    901 GET_BROKER_MEMBER_GROUP GetBrokerMemberGroup(GetBrokerMemberGroupHeader<'a>) -> NoFields;
    /// Takes the write permission from all topics of a broker.
    205 WIPE_WRITE_PERM_OF_BROKER WipeWritePerm(BrokerNameHeader<'a>) -> WipeWritePermReply;
    /// Gives it back.
    327 ADD_WRITE_PERM_OF_BROKER AddWritePerm(BrokerNameHeader<'a>) -> AddWritePermReply;
    /// Names of all topics.
    206 GET_ALL_TOPIC_LIST_FROM_NAMESERVER GetAllTopics(NoFields) -> NoFields;
    /// Forgets a topic.
    216 DELETE_TOPIC_IN_NAMESRV DeleteTopicInNamesrv(DeleteTopicInNamesrvHeader<'a>) -> NoFields;
    /// Adds a topic by hand.
    217 REGISTER_TOPIC_IN_NAMESRV RegisterTopic(TopicHeader<'a>) -> NoFields;
    /// Topics of a cluster.
    224 GET_TOPICS_BY_CLUSTER GetTopicsByCluster(ClusterHeader<'a>) -> NoFields;
    /// Names of clusters and brokers, which are topics too.
    304 GET_SYSTEM_TOPIC_LIST_FROM_NS GetSystemTopicsFromNamesrv(NoFields) -> NoFields;
    /// Topics of units.
    311 GET_UNIT_TOPIC_LIST GetUnitTopics(NoFields) -> NoFields;
    /// Topics subscribed to by units.
    312 GET_HAS_UNIT_SUB_TOPIC_LIST GetUnitSubTopics(NoFields) -> NoFields;
    /// Topics outside of units that units subscribe to.
    313 GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST GetUnitSubUnunitTopics(NoFields) -> NoFields;
    /// Changes settings.
    318 UPDATE_NAMESRV_CONFIG UpdateNamesrvConfig(NoFields) -> NoFields;
    /// Reads settings.
    319 GET_NAMESRV_CONFIG GetNamesrvConfig(NoFields) -> NoFields;
}

header! {
    /// `GetRouteInfoRequestHeader`.
    pub struct GetRouteHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// The caller reads standard JSON only, whatever its release.
        pub accept_standard_json_only: bool = "acceptStandardJsonOnly",
    }
}

header! {
    /// A topic.
    pub struct TopicHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
    }
}

header! {
    /// `PutKVConfigRequestHeader`.
    pub struct PutKvConfigHeader<'a> {
        /// Namespace.
        pub namespace: &'a str = "namespace",
        /// Key.
        pub key: &'a str = "key",
        /// Value.
        pub value: &'a str = "value",
    }
}

header! {
    /// A key in a namespace.
    pub struct KvKeyHeader<'a> {
        /// Namespace.
        pub namespace: &'a str = "namespace",
        /// Key.
        pub key: &'a str = "key",
    }
}

header! {
    /// A namespace.
    pub struct NamespaceHeader<'a> {
        /// Namespace.
        pub namespace: &'a str = "namespace",
    }
}

header! {
    /// A value.
    pub struct KvValueReply<'a> {
        /// Value.
        pub value: Option<&'a str> = "value",
    }
}

header! {
    /// `RegisterBrokerRequestHeader`.
    pub struct RegisterBrokerHeader<'a> {
        /// Broker name.
        pub broker_name: &'a str = "brokerName",
        /// Address clients reach.
        pub broker_addr: &'a str = "brokerAddr",
        /// Cluster.
        pub cluster_name: &'a str = "clusterName",
        /// Address replicas reach.
        pub ha_server_addr: Option<&'a str> = "haServerAddr",
        /// 0 is the master.
        pub broker_id: i64 = "brokerId",
        /// Silence after which the broker is forgotten.
        pub heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// A replica may answer for a lost master.
        pub enable_acting_master: Option<bool> = "enableActingMaster",
        /// The body is compressed.
        pub compressed: bool = "compressed",
        /// CRC-32 of the body without its top bit; 0 means do not check.
        pub body_crc32: Option<i32> = "bodyCrc32",
        /// Zone of the broker.
        pub zone_name: Option<&'a str> = "__ZONE_NAME",
    }
}

header! {
    /// `RegisterBrokerResponseHeader`.
    pub struct RegisterBrokerReply<'a> {
        /// Where the master's log can be copied from.
        pub ha_server_addr: Option<&'a str> = "haServerAddr",
        /// Address of the master.
        pub master_addr: Option<&'a str> = "masterAddr",
    }
}

header! {
    /// A broker.
    pub struct BrokerHeader<'a> {
        /// Broker name.
        pub broker_name: &'a str = "brokerName",
        /// Address clients reach.
        pub broker_addr: &'a str = "brokerAddr",
        /// Cluster.
        pub cluster_name: &'a str = "clusterName",
        /// 0 is the master.
        pub broker_id: i64 = "brokerId",
    }
}

header! {
    /// `QueryDataVersionResponseHeader`.
    pub struct QueryDataVersionReply {
        /// Whether the broker should register again.
        pub changed: bool = "changed",
    }
}

header! {
    /// `BrokerHeartbeatRequestHeader`.
    pub struct BrokerHeartbeatHeader<'a> {
        /// Cluster.
        pub cluster_name: &'a str = "clusterName",
        /// Address clients reach.
        pub broker_addr: &'a str = "brokerAddr",
        /// Broker name.
        pub broker_name: Option<&'a str> = "brokerName",
    }
}

header! {
    /// `GetBrokerMemberGroupRequestHeader`.
    pub struct GetBrokerMemberGroupHeader<'a> {
        /// Cluster.
        pub cluster_name: &'a str = "clusterName",
        /// Broker name.
        pub broker_name: &'a str = "brokerName",
    }
}

header! {
    /// A broker name.
    pub struct BrokerNameHeader<'a> {
        /// Broker name.
        pub broker_name: &'a str = "brokerName",
    }
}

header! {
    /// Topics changed.
    pub struct WipeWritePermReply {
        /// How many.
        pub wipe_topic_count: i32 = "wipeTopicCount",
    }
}

header! {
    /// Topics changed.
    pub struct AddWritePermReply {
        /// How many.
        pub add_topic_count: i32 = "addTopicCount",
    }
}

header! {
    /// `DeleteTopicFromNamesrvRequestHeader`.
    pub struct DeleteTopicInNamesrvHeader<'a> {
        /// Topic.
        pub topic: &'a str = "topic",
        /// Brokers of this cluster only.
        pub cluster_name: Option<&'a str> = "clusterName",
    }
}

header! {
    /// A cluster.
    pub struct ClusterHeader<'a> {
        /// Cluster.
        pub cluster: &'a str = "cluster",
    }
}
