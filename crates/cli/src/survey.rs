//! What several commands want to know about topics and groups, gathered from all brokers.

use std::collections::{BTreeMap, BTreeSet};

use client::{Admin, Broker, Error};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use protocol::body::{Connection, ConsumerConnection, MessageQueue, OffsetWrapper, TopicConfig};
use protocol::name::{self, DLQ_PREFIX, RETRY_PREFIX};

/// Questions asked at the same time.
pub(crate) const AT_ONCE: usize = 16;

/// One consumer group over all brokers.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Members by client id.
    pub(crate) members: BTreeMap<String, Connection>,
    /// What its members say they are; the same at all brokers.
    pub(crate) connection: Option<ConsumerConnection>,
    /// A broker that knows the members.
    pub(crate) broker: Option<String>,
    pub(crate) offsets: BTreeMap<MessageQueue, OffsetWrapper>,
}

impl Group {
    /// Messages that are stored and not consumed.
    pub(crate) fn lag(&self) -> i64 {
        self.offsets.values().map(lag).sum()
    }

    /// Topics it consumes or has consumed, its own retry topic aside.
    pub(crate) fn topics(&self) -> BTreeSet<&str> {
        let consumed = self.offsets.keys().map(|queue| queue.topic.as_str());
        let subscribed = self.connection.iter().flat_map(|connection| connection.subscription_table.keys());
        consumed.chain(subscribed.map(String::as_str)).filter(|topic| !topic.starts_with(RETRY_PREFIX)).collect()
    }
}

/// Messages of one queue that are stored and not consumed.
pub(crate) fn lag(offsets: &OffsetWrapper) -> i64 {
    (offsets.broker_offset - offsets.consumer_offset).max(0)
}

/// Asks all masters about a group, and about one topic of it if given.
pub(crate) async fn group(admin: &Admin, masters: &[Broker], name: &str, topic: Option<&str>) -> Result<Group, Error> {
    let mut group = Group { name: name.to_owned(), ..Group::default() };
    for broker in masters {
        if let Some(connection) = admin.consumer_connection(&broker.address, name).await? {
            let members = connection.connection_set.iter();
            group.members.extend(members.map(|member| (member.client_id.clone(), member.clone())));
            group.connection = Some(connection);
            group.broker = Some(broker.address.clone());
        }
        match admin.consume_stats(&broker.address, name, topic).await {
            Ok(stats) => group.offsets.extend(stats.offsets),
            // A broker where the group never was.
            Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(group)
}

/// All groups, by name.
pub(crate) async fn groups(admin: &Admin, masters: &[Broker], all: bool) -> Result<Vec<Group>, Error> {
    let mut names = BTreeSet::new();
    for broker in masters {
        names.extend(admin.group_configs(&broker.address).await?.into_keys());
    }
    names.retain(|group| all || !name::is_system_group(group));
    let asked = stream::iter(&names).map(|name| group(admin, masters, name, None));
    asked.buffered(AT_ONCE).try_collect().await
}

/// A topic's settings, and the names of the masters that have it.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    pub(crate) brokers: Vec<String>,
    pub(crate) readable_queues: i32,
    pub(crate) writeable_queues: i32,
    pub(crate) perm: i32,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Topic {
    fn add(&mut self, broker: &Broker, config: TopicConfig) {
        self.brokers.push(broker.name.clone());
        self.readable_queues += config.read_queue_nums;
        self.writeable_queues += config.write_queue_nums;
        self.perm |= config.perm;
        self.attributes.extend(config.attributes);
    }
}

/// All topics: those the name servers know, with what the masters say about them.
pub(crate) async fn topics(admin: &Admin, masters: &[Broker]) -> Result<BTreeMap<String, Topic>, Error> {
    let names = admin.topics().await?;
    let mut topics: BTreeMap<String, Topic> = names.into_iter().map(|name| (name, Topic::default())).collect();
    for broker in masters {
        for (name, config) in admin.topic_configs(&broker.address).await? {
            topics.entry(name).or_default().add(broker, config);
        }
    }
    Ok(topics)
}

/// Whether people rarely care about a topic: the system made it, or a group's retries.
pub(crate) fn is_internal(topic: &str, masters: &[Broker]) -> bool {
    name::is_system_topic(topic)
        || [RETRY_PREFIX, DLQ_PREFIX, "RMQ_SYS_"].iter().any(|prefix| topic.starts_with(prefix))
        || masters.iter().any(|broker| {
            topic == broker.name
                || topic.strip_prefix(&broker.cluster).is_some_and(|rest| rest.is_empty() || rest == name::REPLY_SUFFIX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_never_negative() {
        let offsets =
            |broker_offset, consumer_offset| OffsetWrapper { broker_offset, consumer_offset, ..Default::default() };
        assert_eq!(lag(&offsets(10, 4)), 6);
        assert_eq!(lag(&offsets(4, 10)), 0);
    }

    #[test]
    fn internal_topics_are_known_by_name() {
        let broker = Broker { cluster: "C".into(), name: "b".into(), id: 0, address: "a:1".into() };
        for internal in ["TBW102", "%RETRY%G", "%DLQ%G", "C", "b", "C_REPLY_TOPIC", "rmq_sys_x", "RMQ_SYS_X"] {
            assert!(is_internal(internal, std::slice::from_ref(&broker)), "{internal}");
        }
        for ordinary in ["orders", "Cx", "bb"] {
            assert!(!is_internal(ordinary, std::slice::from_ref(&broker)), "{ordinary}");
        }
    }
}
