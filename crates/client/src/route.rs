//! Which brokers have which queues of a topic.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use protocol::body::{BrokerData, MessageQueue, TopicRoute};
use protocol::perm;

/// Broker id of a master.
pub(crate) const MASTER: i64 = 0;

/// A topic's queues, in Java's order: by broker name, then by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Queues that take messages.
    pub writeable: Vec<MessageQueue>,
    /// Queues that give messages.
    pub readable: Vec<MessageQueue>,
    /// Brokers that have them.
    pub brokers: Vec<BrokerData>,
}

impl Route {
    /// The queues of `topic` according to `data`, which may be the route of the topic it will be made after.
    pub(crate) fn new(topic: &str, data: TopicRoute, queues_max: i32) -> Route {
        let mut route = Route { brokers: data.broker_datas, ..Route::default() };
        for queues in &data.queue_datas {
            let Some(broker) = route.broker(&queues.broker_name) else { continue };
            let queue =
                |queue_id| MessageQueue { broker_name: queues.broker_name.clone(), queue_id, topic: topic.to_owned() };
            // Only a master takes messages; any replica gives them.
            if perm::is_writeable(queues.perm) && broker.broker_addrs.contains_key(&MASTER) {
                route.writeable.extend((0..queues.write_queue_nums.min(queues_max)).map(queue));
            }
            if perm::is_readable(queues.perm) {
                route.readable.extend((0..queues.read_queue_nums.min(queues_max)).map(queue));
            }
        }
        route.writeable.sort();
        route.readable.sort();
        if let Some(order) = data.order_topic_conf.as_deref().filter(|order| !order.is_empty()) {
            route.writeable = ordered_queues(topic, order, queues_max);
        }
        route
    }

    fn broker(&self, name: &str) -> Option<&BrokerData> {
        self.brokers.iter().find(|broker| broker.broker_name == name)
    }

    /// Address of a broker: the one with this id, else the master, else any.
    pub fn address(&self, broker_name: &str, id: i64) -> Option<&str> {
        let addrs = &self.broker(broker_name)?.broker_addrs;
        addrs.get(&id).or_else(|| addrs.values().next()).map(String::as_str)
    }

    /// Address of the master of a broker name.
    pub fn master(&self, broker_name: &str) -> Option<&str> {
        self.broker(broker_name)?.broker_addrs.get(&MASTER).map(String::as_str)
    }
}

/// The queues of an ordered topic, `broker:count` separated by semicolons: they stay where they are when a broker is
/// down, so that keys do not move. Source: `MQClientInstance.topicRouteData2TopicPublishInfo`.
fn ordered_queues(topic: &str, order: &str, queues_max: i32) -> Vec<MessageQueue> {
    let counts = order.split(';').filter_map(|part| part.split_once(':'));
    let counts = counts.filter_map(|(broker, count)| Some((broker, count.parse::<i32>().ok()?)));
    let queue =
        |broker: &str, queue_id| MessageQueue { broker_name: broker.to_owned(), queue_id, topic: topic.to_owned() };
    counts.flat_map(|(broker, count)| (0..count.min(queues_max)).map(move |queue_id| queue(broker, queue_id))).collect()
}

/// The routes of the topics in use.
#[derive(Debug, Default)]
pub(crate) struct Routes(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone)]
struct Known {
    route: Arc<Route>,
    since: Instant,
}

impl Routes {
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Route>> {
        self.0.lock().get(topic).map(|known| known.route.clone())
    }

    /// The route, if it was fetched after `since`.
    pub(crate) fn newer(&self, topic: &str, since: Instant) -> Option<Arc<Route>> {
        self.0.lock().get(topic).filter(|known| known.since >= since).map(|known| known.route.clone())
    }

    pub(crate) fn set(&self, topic: &str, route: Arc<Route>) {
        self.0.lock().insert(topic.to_owned(), Known { route, since: Instant::now() });
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// Addresses of all brokers in use; without replicas if `masters_only`.
    pub(crate) fn brokers(&self, masters_only: bool) -> Vec<String> {
        let routes: Vec<_> = self.0.lock().values().map(|known| known.route.clone()).collect();
        let addresses = routes.iter().flat_map(|route| &route.brokers).flat_map(|broker| &broker.broker_addrs);
        let wanted = addresses.filter(|(id, _)| !masters_only || **id == MASTER);
        let mut wanted: Vec<String> = wanted.map(|(_, address)| address.clone()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

#[cfg(test)]
mod tests {
    use protocol::body::QueueData;

    use super::*;

    fn route(perm: i32, master: bool, queues_max: i32) -> Route {
        let addrs = if master { [(0, "m:1".into()), (1, "s:1".into())].into() } else { [(1, "s:1".into())].into() };
        let broker = BrokerData { broker_addrs: addrs, broker_name: "b".into(), ..BrokerData::default() };
        let queues = QueueData {
            broker_name: "b".into(),
            perm,
            read_queue_nums: 8,
            write_queue_nums: 8,
            ..QueueData::default()
        };
        let strayed = QueueData { broker_name: "gone".into(), ..queues.clone() };
        let data =
            TopicRoute { broker_datas: vec![broker], queue_datas: vec![strayed, queues], ..TopicRoute::default() };
        Route::new("T", data, queues_max)
    }

    #[track_caller]
    fn check(route: &Route, writeable: usize, readable: usize) {
        assert_eq!((route.writeable.len(), route.readable.len()), (writeable, readable));
    }

    #[test]
    fn permission_and_master_decide_which_queues_count() {
        check(&route(6, true, i32::MAX), 8, 8);
        check(&route(4, true, i32::MAX), 0, 8);
        check(&route(2, true, i32::MAX), 8, 0);
        check(&route(6, false, i32::MAX), 0, 8);
        check(&route(6, true, 4), 4, 4);
    }

    #[test]
    fn ordered_topics_keep_queues_of_brokers_that_are_down() {
        let data = TopicRoute { order_topic_conf: Some("a:1;odd;b:2".into()), ..TopicRoute::default() };
        let queues = Route::new("T", data, i32::MAX).writeable;
        let shown: Vec<_> = queues.iter().map(|queue| (queue.broker_name.as_str(), queue.queue_id)).collect();
        assert_eq!(shown, [("a", 0), ("b", 0), ("b", 1)]);
    }

    #[test]
    fn a_missing_replica_falls_back_to_another() {
        assert_eq!(route(6, true, 8).address("b", 1), Some("s:1"));
        assert_eq!(route(6, true, 8).address("b", 7), Some("m:1"));
        assert_eq!(route(6, false, 8).address("b", 0), Some("s:1"));
        assert_eq!(route(6, false, 8).master("b"), None);
        assert_eq!(route(6, true, 8).address("c", 0), None);
    }
}
