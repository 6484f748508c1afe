//! Routes and clusters as a name server tells them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, TopicConfig};
use crate::json::{self, Keyed};

/// Brokers of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// Addresses by broker id; 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Broker name.
    pub broker_name: String,
    /// Cluster.
    pub cluster: String,
    /// A replica may answer for a lost master.
    pub enable_acting_master: bool,
    /// Zone of the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// Queues of a topic at a broker name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// Broker name.
    pub broker_name: String,
    /// See [`crate::perm`].
    pub perm: i32,
    /// Queues for readers.
    pub read_queue_nums: i32,
    /// See [`crate::sysflag`].
    pub topic_sys_flag: i32,
    /// Queues for writers.
    pub write_queue_nums: i32,
}

/// The route of a topic. Source: `TopicRouteData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRoute {
    /// Brokers.
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers by address; nobody has any.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// Queues for ordered sending, `broker:count` separated by semicolons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Queues.
    pub queue_datas: Vec<QueueData>,
}

impl TopicRoute {
    /// The body for a caller: broker ids are quoted for those that can read it, bare numbers for the others.
    pub fn to_body(&self, standard_json: bool) -> Vec<u8> {
        if standard_json {
            return json::to_vec(self);
        }
        let brokers = self.broker_datas.iter().map(BrokerData::legacy_json).collect::<Vec<_>>().join(",");
        let order = self.order_topic_conf.as_ref().map(|order| format!("\"orderTopicConf\":{},", text(order)));
        format!(
            "{{\"brokerDatas\":[{brokers}],\"filterServerTable\":{},{}\"queueDatas\":{}}}",
            text(&self.filter_server_table),
            order.unwrap_or_default(),
            text(&self.queue_datas)
        )
        .into_bytes()
    }
}

impl BrokerData {
    fn legacy_json(&self) -> String {
        let zone = self.zone_name.as_ref().map(|zone| format!(",\"zoneName\":{}", text(zone)));
        format!(
            "{{\"brokerAddrs\":{},\"brokerName\":{},\"cluster\":{},\"enableActingMaster\":{}{}}}",
            self.legacy_addrs(),
            text(&self.broker_name),
            text(&self.cluster),
            self.enable_acting_master,
            zone.unwrap_or_default()
        )
    }

    fn legacy_addrs(&self) -> String {
        let mut addrs = Keyed::default();
        for (id, addr) in &self.broker_addrs {
            addrs.entry(id, addr);
        }
        addrs.finish()
    }

    /// Body of GET_BROKER_MEMBER_GROUP.
    pub fn member_group_body(&self) -> Vec<u8> {
        let (addrs, name, cluster) = (self.legacy_addrs(), text(&self.broker_name), text(&self.cluster));
        format!("{{\"brokerMemberGroup\":{{\"brokerAddrs\":{addrs},\"brokerName\":{name},\"cluster\":{cluster}}}}}")
            .into_bytes()
    }
}

/// All brokers and clusters. Source: `ClusterInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Brokers by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Broker names by cluster.
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

impl ClusterInfo {
    /// The body, broker ids always as bare numbers.
    pub fn to_body(&self) -> Vec<u8> {
        let mut brokers = Keyed::default();
        for (name, broker) in &self.broker_addr_table {
            brokers.raw_entry(name, &broker.legacy_json());
        }
        format!("{{\"brokerAddrTable\":{},\"clusterAddrTable\":{}}}", brokers.finish(), text(&self.cluster_addr_table))
            .into_bytes()
    }
}

/// Body of REGISTER_BROKER. Source: `RegisterBrokerBody`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Filter servers; nobody has any.
    pub filter_server_list: Vec<String>,
    /// Topics.
    pub topic_config_serialize_wrapper: RegisteredTopics,
}

/// Topics of a registering broker. Members about static topics are written empty, as Java does, and not read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisteredTopics {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Version of the static topics.
    #[serde(skip_deserializing)]
    pub mapping_data_version: DataVersion,
    /// Topics by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Static topics.
    #[serde(skip_deserializing)]
    pub topic_queue_mapping_detail_map: BTreeMap<String, ()>,
    /// Static topics.
    #[serde(skip_deserializing)]
    pub topic_queue_mapping_info_map: BTreeMap<String, ()>,
}

/// Values by key. Source: `KVTable`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    /// The table.
    pub table: BTreeMap<String, String>,
}

fn text(value: &impl Serialize) -> String {
    String::from_utf8(json::to_vec(value)).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> TopicRoute {
        TopicRoute {
            broker_datas: vec![BrokerData {
                broker_addrs: BTreeMap::from([(0, "127.0.0.1:10911".into()), (1, "127.0.0.1:20911".into())]),
                broker_name: "broker-a".into(),
                cluster: "DefaultCluster".into(),
                ..BrokerData::default()
            }],
            queue_datas: vec![QueueData {
                broker_name: "broker-a".into(),
                perm: 6,
                read_queue_nums: 8,
                write_queue_nums: 8,
                topic_sys_flag: 0,
            }],
            ..TopicRoute::default()
        }
    }

    #[test]
    fn old_clients_get_bare_numbers_and_new_ones_standard_json() {
        // Both texts as Java 5.3.4 writes them.
        assert_eq!(
            String::from_utf8(route().to_body(false)).unwrap(),
            r#"{"brokerDatas":[{"brokerAddrs":{0:"127.0.0.1:10911",1:"127.0.0.1:20911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}]}"#
        );
        for standard in [true, false] {
            assert_eq!(crate::json::parse::<TopicRoute>(&route().to_body(standard)).unwrap(), route());
        }
    }

    #[test]
    fn the_registration_of_java_is_read() {
        let body = br#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":5,"stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"$ref":"$.topicConfigSerializeWrapper.dataVersion"},"topicConfigTable":{"TopicTest":{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"TopicTest","topicSysFlag":0,"writeQueueNums":8}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}"#;
        let body: RegisterBrokerBody = crate::json::parse(body).unwrap();
        assert_eq!(body.topic_config_serialize_wrapper.data_version.counter, 5);
        assert_eq!(body.topic_config_serialize_wrapper.topic_config_table["TopicTest"].read_queue_nums, 8);
    }
}
