//! A topic: which brokers have its queues, and what it takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::MESSAGE_TYPE;
use bytes::Bytes;
use protocol::body::{TopicConfig, TopicRoute};
use protocol::code;
use protocol::limits::QUEUES_MAX;
use protocol::request::{GetRoute, GetRouteHeader, GetTopicConfig, TopicHeader};

use super::{Cluster, Error};
use crate::backend::Share;
use crate::status::Refusal;

/// Broker id of a master.
pub(super) const MASTER: i64 = 0;

/// A topic as the name servers and one of its brokers tell it.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    pub(crate) name: String,
    /// The attribute `message.type`.
    pub(crate) kind: Option<String>,
    /// By broker name.
    parts: BTreeMap<Arc<str>, Part>,
    /// Queues that take messages, in Java's order: by broker, then by number.
    pub(crate) writable: Vec<(Arc<str>, i32)>,
    /// How many brokers have them.
    pub(super) writers: usize,
    /// Brokers whose master gives messages.
    pub(crate) readable: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Part {
    ids: Vec<i64>,
    perm: i32,
    read_queues: i32,
    write_queues: i32,
}

impl Topic {
    fn new(name: &str, route: TopicRoute, kind: Option<String>) -> Topic {
        let mut topic = Topic { name: name.to_owned(), kind, ..Topic::default() };
        for queues in route.queue_datas {
            let Some(broker) = route.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name) else {
                continue;
            };
            let part = Part {
                ids: broker.broker_addrs.keys().copied().collect(),
                perm: queues.perm,
                // A route can claim any number; brokers allow fewer.
                read_queues: queues.read_queue_nums.clamp(0, QUEUES_MAX),
                write_queues: queues.write_queue_nums.clamp(0, QUEUES_MAX),
            };
            topic.parts.insert(queues.broker_name.into(), part);
        }
        for (broker, part) in topic.parts.iter().filter(|(_, part)| part.ids.contains(&MASTER)) {
            let share = part.share(broker);
            if share.is_writable() {
                topic.writers += 1;
                topic.writable.extend((0..part.write_queues).map(|queue| (broker.clone(), queue)));
            }
            if share.is_readable() {
                topic.readable.push(broker.clone());
            }
        }
        topic
    }

    pub(crate) fn shares(&self) -> Vec<Share<'_>> {
        self.parts.iter().map(|(broker, part)| part.share(broker)).collect()
    }

    /// Names of the masters that have queues of it.
    pub(super) fn masters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.iter().filter(|(_, part)| part.ids.contains(&MASTER)).map(|(broker, _)| broker)
    }
}

impl Part {
    fn share<'t>(&'t self, broker: &'t str) -> Share<'t> {
        let Part { ids, perm, read_queues, write_queues } = self;
        Share { broker, ids, perm: *perm, read_queues: *read_queues, write_queues: *write_queues }
    }
}

impl Cluster {
    pub(crate) async fn topic(&self, name: &str) -> Result<Arc<Topic>, Refusal> {
        Ok(self.find_topic(name).await?)
    }

    pub(super) async fn find_topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        self.topics.get(name, Error::is_silence, async || self.ask_for_topic(name).await).await
    }

    async fn ask_for_topic(&self, name: &str) -> Result<Topic, Error> {
        let header = GetRouteHeader { topic: name, accept_standard_json_only: true };
        let answer = self.ask::<GetRoute>(&header).await?;
        if answer.code() == code::TOPIC_NOT_EXIST {
            return Err(Error::UnknownTopic(name.to_owned()));
        }
        let route: TopicRoute = answer.success()?.json::<GetRoute, _>()?;
        let kind = self.ask_for_kind(name, &route).await?;
        Ok(Topic::new(name, route, kind))
    }

    /// The brokers of a topic are told the same about it: the first that answers is believed.
    async fn ask_for_kind(&self, topic: &str, route: &TopicRoute) -> Result<Option<String>, Error> {
        let mut failed = Error::UnknownTopic(topic.to_owned());
        let mut brokers: Vec<_> = route.queue_datas.iter().map(|queues| &*queues.broker_name).collect();
        brokers.sort_by_key(|broker| !self.brokers.is_up(broker));
        for broker in brokers {
            match self.call::<GetTopicConfig>(broker, &TopicHeader { topic }, Bytes::new()).await {
                Ok(answer) if answer.code() == code::SUCCESS => {
                    let mut config: TopicConfig = answer.json::<GetTopicConfig, _>()?;
                    return Ok(config.attributes.remove(MESSAGE_TYPE));
                }
                Ok(answer) => failed = answer.refusal(),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use protocol::body::{BrokerData, QueueData};

    use super::*;

    fn queues(broker: &str, perm: i32, count: i32) -> QueueData {
        let broker_name = broker.to_owned();
        QueueData { broker_name, perm, read_queue_nums: count, write_queue_nums: count, ..QueueData::default() }
    }

    fn broker(name: &str, ids: &[i64]) -> BrokerData {
        let broker_addrs = ids.iter().map(|id| (*id, format!("{name}:{id}"))).collect();
        BrokerData { broker_name: name.to_owned(), broker_addrs, ..BrokerData::default() }
    }

    #[test]
    fn queues_are_in_the_order_of_brokers_and_only_masters_count() {
        let route = TopicRoute {
            broker_datas: vec![broker("b", &[0, 1]), broker("a", &[0]), broker("c", &[1]), broker("d", &[0])],
            queue_datas: vec![
                queues("b", 6, 2),
                queues("a", 2, 1),
                queues("c", 6, 1),
                queues("gone", 6, 9),
                queues("d", 4, 1),
            ],
            ..TopicRoute::default()
        };
        let topic = Topic::new("T", route, None);
        let writable: Vec<_> = topic.writable.iter().map(|(broker, queue)| (&**broker, *queue)).collect();
        assert_eq!(writable, [("a", 0), ("b", 0), ("b", 1)]);
        assert_eq!(topic.readable.iter().map(|broker| &**broker).collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(topic.shares()[1], Share { broker: "b", ids: &[0, 1], perm: 6, read_queues: 2, write_queues: 2 });
        assert_eq!((topic.shares().len(), topic.writers), (4, 2));
    }
}
