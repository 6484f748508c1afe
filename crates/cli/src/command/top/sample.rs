//! One look at everything, by requests that every RocketMQ broker answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use client::{Admin, Broker, Error};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use protocol::name;

use crate::command::broker::{Examined, examine};
use crate::figures::Figures;
use crate::survey::{self, AT_ONCE, Group};

/// Topics, and groups, that one look asks for: each costs a request at each of its brokers.
pub(super) const ASKED_MAX: usize = 500;

/// How everything was at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) taken: Instant,
    pub(super) brokers: Vec<(Broker, Option<Figures>)>,
    pub(super) topics: BTreeMap<String, TopicSum>,
    pub(super) groups: BTreeMap<String, GroupSum>,
    /// Topics and groups that there are, beyond those that were asked for.
    pub(super) found: (usize, usize),
}

/// A topic over all its queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TopicSum {
    pub(super) queues: usize,
    /// Offsets behind the newest messages, added up: grows with each message.
    pub(super) ends: i64,
    pub(super) kept: i64,
}

/// A group over everything it consumes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GroupSum {
    pub(super) members: usize,
    /// Its offsets, added up: grows with each message it is done with.
    pub(super) consumed: i64,
    pub(super) lag: i64,
    /// See [`behind_ms`].
    pub(super) behind_ms: Option<i64>,
}

/// Looks at all brokers, and at topics and groups with `filter` in their name.
///
/// # Errors
/// When no name server answers. A broker that does not answer is shown as such, and what only it knows is missing.
pub(super) async fn take(admin: &Admin, filter: &str) -> Result<Sample, Error> {
    let brokers = examine(admin, admin.brokers().await?).await;
    let taken = Instant::now();
    let answers = |(broker, figures): &&Examined| broker.is_master() && figures.is_ok();
    let masters: Vec<Broker> = brokers.iter().filter(answers).map(|(broker, _)| broker.clone()).collect();
    let wanted = |name: &String| name.contains(filter);
    let mut topics = admin.topics().await?;
    topics.retain(|topic| wanted(topic) && !survey::is_internal(topic, &masters));
    let mut groups = group_names(admin, &masters).await;
    groups.retain(wanted);
    let found = (topics.len(), groups.len());
    let sums =
        stream::iter(topics.into_iter().take(ASKED_MAX)).map(|topic: String| topic_sum(admin, topic)).buffered(AT_ONCE);
    let topics = sums.filter_map(async |sum| sum).collect().await;
    let sums = stream::iter(groups.into_iter().take(ASKED_MAX)).map(|group: String| group_sum(admin, &masters, group));
    let groups = sums.buffered(AT_ONCE).try_collect().await?;
    let brokers = brokers.into_iter().map(|(broker, figures)| (broker, figures.ok())).collect();
    Ok(Sample { taken, brokers, topics, groups, found })
}

async fn group_names(admin: &Admin, masters: &[Broker]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for broker in masters {
        names.extend(admin.group_configs(&broker.address).await.unwrap_or_default().into_keys());
    }
    names.retain(|group| !name::is_system_group(group));
    names
}

/// `None` where no broker tells.
async fn topic_sum(admin: &Admin, topic: String) -> Option<(String, TopicSum)> {
    let queues = admin.topic_stats(&topic).await.ok()?.offsets;
    let mut sum = TopicSum { queues: queues.len(), ..TopicSum::default() };
    for queue in queues.values() {
        sum.ends += queue.max_offset;
        sum.kept += queue.max_offset - queue.min_offset;
    }
    Some((topic, sum))
}

async fn group_sum(admin: &Admin, masters: &[Broker], name: String) -> Result<(String, GroupSum), Error> {
    let group = survey::group(admin, masters, &name, None).await?;
    let sum = GroupSum {
        members: group.members.len(),
        consumed: group.offsets.values().map(|offsets| offsets.consumer_offset).sum(),
        lag: group.lag(),
        behind_ms: behind_ms(&group, Timestamp::now().as_millisecond()),
    };
    Ok((name, sum))
}

/// How long ago the message was stored that a group consumed last, in the queue where that is longest and more waits.
///
/// This is what brokers tell; the first message that waits may be younger. `None` where nothing was consumed yet.
fn behind_ms(group: &Group, now_ms: i64) -> Option<i64> {
    let lagging = group.offsets.values().filter(|offsets| survey::lag(offsets) > 0);
    let consumed = lagging.map(|offsets| offsets.last_timestamp).filter(|ms| *ms > 0);
    consumed.map(|ms| (now_ms - ms).max(0)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::body::{MessageQueue, OffsetWrapper};

    #[test]
    fn only_queues_with_messages_waiting_are_behind() {
        let mut group = Group::default();
        let offsets = [(10, 10, 1_000), (10, 4, 7_000), (10, 9, 8_000), (5, 0, 0)];
        for (queue_id, (broker_offset, consumer_offset, last_timestamp)) in offsets.into_iter().enumerate() {
            let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: queue_id as i32 };
            let wrapper = OffsetWrapper { broker_offset, consumer_offset, last_timestamp, ..OffsetWrapper::default() };
            group.offsets.insert(queue, wrapper);
        }
        assert_eq!(behind_ms(&group, 9_500), Some(2_500));
        assert_eq!(behind_ms(&Group::default(), 9_500), None);
    }
}
