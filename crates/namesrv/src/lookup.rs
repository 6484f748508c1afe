//! Answers from the tables. Nothing here waits for a change in progress.

use std::net::IpAddr;

use protocol::body::{BrokerData, ClusterInfo, QueueData, TopicList, TopicRoute};
use protocol::{perm, sysflag};

use crate::routes::{Group, Queues, Routes};

/// Topics that brokers of a group keep among themselves. Source: `TopicValidator.SYNC_BROKER_MEMBER_GROUP_PREFIX`.
const MEMBER_GROUP_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

impl Routes {
    /// Brokers and queues of a topic, for someone who reached us at `reached_at`. `None` when no broker has it.
    pub(crate) fn route(&self, topic: &str, reached_at: IpAddr) -> Option<TopicRoute> {
        let all = self.topics.pin().get(topic)?.clone();
        let brokers = self.brokers.load();
        let mut route = TopicRoute::default();
        for queues in all.iter() {
            // A broker that has just left is in no table any more, while its topics are still being dropped.
            if let Some(group) = brokers.get(&queues.broker) {
                route.broker_datas.push(group.data(reached_at));
                route.queue_datas.push(queues.data());
            }
        }
        if route.broker_datas.is_empty() { None } else { Some(route) }
    }

    /// All brokers and clusters.
    pub(crate) fn cluster_info(&self, reached_at: IpAddr) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for group in self.brokers.load().values() {
            info.broker_addr_table.insert(group.name.to_string(), group.data(reached_at));
            info.cluster_addr_table.entry(group.cluster.to_string()).or_default().push(group.name.to_string());
        }
        info
    }

    /// The brokers of one name; without addresses when there is none.
    pub(crate) fn member_group(&self, cluster: &str, broker_name: &str, reached_at: IpAddr) -> BrokerData {
        let known = self.brokers.load().get(broker_name).map(|group| group.data(reached_at));
        let unknown = || BrokerData { broker_name: broker_name.into(), ..BrokerData::default() };
        BrokerData { cluster: cluster.into(), ..known.unwrap_or_else(unknown) }
    }

    /// Names of clusters and brokers, which are topics too, and the address of some broker.
    pub(crate) fn system_topics(&self, reached_at: IpAddr) -> TopicList {
        let info = self.cluster_info(reached_at);
        let names = info.cluster_addr_table.into_iter();
        let topic_list = names.flat_map(|(cluster, brokers)| std::iter::once(cluster).chain(brokers)).collect();
        let broker_addr = info.broker_addr_table.values().find_map(|broker| broker.broker_addrs.values().next());
        TopicList { broker_addr: broker_addr.cloned(), topic_list }
    }

    /// Names of all topics, in order.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.topics_where(|_| true)
    }

    /// Names of the topics that some broker of a cluster has, in order.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> Vec<String> {
        let brokers = self.brokers.load();
        let in_cluster = |queues: &Queues| brokers.get(&queues.broker).is_some_and(|group| *group.cluster == *cluster);
        self.topics_where(|all| all.iter().any(in_cluster))
    }

    /// Names of the topics of units.
    pub(crate) fn unit_topics(&self) -> Vec<String> {
        self.topics_where(|all| sys_flag(all) & sysflag::TOPIC_UNIT != 0)
    }

    /// Names of the topics that units subscribe to; `outside` leaves only those that are of no unit themselves.
    pub(crate) fn unit_sub_topics(&self, outside: bool) -> Vec<String> {
        self.topics_where(|all| {
            let flag = sys_flag(all);
            flag & sysflag::TOPIC_UNIT_SUB != 0 && !(outside && flag & sysflag::TOPIC_UNIT != 0)
        })
    }

    fn topics_where(&self, wanted: impl Fn(&[Queues]) -> bool) -> Vec<String> {
        let topics = self.topics.pin();
        let mut names: Vec<String> =
            topics.iter().filter(|(_, all)| wanted(all)).map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        names
    }
}

/// Flag of a topic, which Java too reads from one broker only.
fn sys_flag(all: &[Queues]) -> i32 {
    all.first().map_or(0, |queues| queues.sys_flag)
}

impl Group {
    fn data(&self, reached_at: IpAddr) -> BrokerData {
        BrokerData {
            broker_addrs: self.members.iter().map(|(id, at)| (*id, at.text(reached_at))).collect(),
            broker_name: self.name.to_string(),
            cluster: self.cluster.to_string(),
            enable_acting_master: self.acting_master,
            zone_name: self.zone.clone(),
        }
    }
}

impl Queues {
    fn data(&self) -> QueueData {
        QueueData {
            broker_name: self.broker.to_string(),
            perm: self.perm,
            read_queue_nums: self.read,
            topic_sys_flag: self.sys_flag,
            write_queue_nums: self.write,
        }
    }
}

/// Shows the replica with the smallest id as the master, where the master is lost, replicas may act for it and the
/// topic can only be read. Source: `RouteInfoManager.pickupTopicRouteData`.
pub(crate) fn show_acting_masters(topic: &str, route: &mut TopicRoute) {
    if topic.starts_with(MEMBER_GROUP_PREFIX) {
        return;
    }
    for broker in &mut route.broker_datas {
        let queues = route.queue_datas.iter().find(|queues| queues.broker_name == broker.broker_name);
        let read_only = queues.is_some_and(|queues| !perm::is_writeable(queues.perm));
        if broker.enable_acting_master
            && read_only
            && !broker.broker_addrs.contains_key(&0)
            && let Some((_, address)) = broker.broker_addrs.pop_first()
        {
            broker.broker_addrs.insert(0, address);
        }
    }
}

/// Keeps the brokers of a zone and those without a master. Source: `ZoneRouteRPCHook`.
pub(crate) fn keep_zone(zone: &str, route: &mut TopicRoute) {
    route.broker_datas.retain(|broker| {
        let same_zone = broker.zone_name.as_deref().is_some_and(|of| of.eq_ignore_ascii_case(zone));
        same_zone || !broker.broker_addrs.contains_key(&0)
    });
    let kept = &route.broker_datas;
    route.queue_datas.retain(|queues| kept.iter().any(|broker| broker.broker_name == queues.broker_name));
}
