//! Looking messages up, and facts about queues.

use bytes::Bytes;
use protocol::body::{ConsumeStats, MessageQueue, OffsetWrapper, TopicOffset, TopicStats};
use store::{Boundary, IndexKey, LogOffset, QueueOffset};

use crate::limits::QUERY_MESSAGES_MAX;
use crate::offset::QueryOffset;
use crate::{Broker, Error};

/// What to look for.
#[derive(Debug, Clone)]
pub struct MessageQuery<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Key and what kind of key it is.
    pub key: IndexKey<'a>,
    /// Most messages wanted.
    pub max: usize,
    /// Store time not before this.
    pub begin_ms: i64,
    /// Store time not after this.
    pub end_ms: i64,
}

impl Broker {
    /// Messages by key, newest first.
    pub async fn query(&self, query: &MessageQuery<'_>) -> Result<Vec<Bytes>, Error> {
        let max = query.max.min(QUERY_MESSAGES_MAX);
        Ok(self.store.query(query.topic, query.key, max, query.begin_ms, query.end_ms).await?)
    }

    /// One message by its commit log offset.
    pub async fn view(&self, offset: i64) -> Result<Bytes, Error> {
        let missing = || Error::NotFound(format!("can not find message by the offset, {offset}"));
        let at = u64::try_from(offset).map_err(|_| missing())?;
        self.store.record_at(LogOffset(at)).await?.ok_or_else(missing)
    }

    /// First and behind-last offset of a queue; both 0 for a queue that was never written.
    pub fn queue_range(&self, topic: &str, queue_id: i32) -> (i64, i64) {
        let queue = u32::try_from(queue_id).ok().and_then(|id| self.store.find_queue(topic, id));
        queue.map_or((0, 0), |queue| (queue.min_offset().0 as i64, queue.max_offset().0 as i64))
    }

    /// Offset of the message stored at or next to a time.
    pub async fn offset_by_time(&self, topic: &str, queue_id: i32, ms: i64, boundary: Boundary) -> Result<i64, Error> {
        let queue = u32::try_from(queue_id).ok().and_then(|id| self.store.find_queue(topic, id));
        match queue {
            Some(queue) => Ok(self.store.offset_by_time(&queue, ms, boundary).await?.0 as i64),
            None => Ok(0),
        }
    }

    /// Store time of the message at an offset.
    pub async fn store_time(&self, topic: &str, queue_id: i32, offset: i64) -> Result<Option<i64>, Error> {
        let queue = u32::try_from(queue_id).ok().and_then(|id| self.store.find_queue(topic, id));
        match (queue, u64::try_from(offset)) {
            (Some(queue), Ok(offset)) => Ok(self.store.store_time(&queue, QueueOffset(offset)).await?),
            _ => Ok(None),
        }
    }

    /// Where a group stands, by RocketMQ's rules for a group that never committed.
    ///
    /// Such a group starts at 0 while the first message is still young enough to be in memory, and where a queue is
    /// empty; otherwise the client decides. Source: `ConsumerManageProcessor.queryConsumerOffset`. Java 5 leaves an
    /// empty queue to the client, too, which then asks for the end: a message that arrives meanwhile is skipped.
    pub async fn query_offset(&self, topic: &str, group: &str, queue_id: i32) -> Result<QueryOffset, Error> {
        if let Some(offset) = self.offsets.get(topic, group, queue_id) {
            return Ok(QueryOffset::At(offset));
        }
        let Some(queue) = u32::try_from(queue_id).ok().and_then(|id| self.store.find_queue(topic, id)) else {
            let topic = self.topics.get(topic);
            let exists = topic.is_some_and(|topic| (0..topic.config().read_queue_nums).contains(&queue_id));
            return Ok(if exists { QueryOffset::StartAt(0) } else { QueryOffset::Unknown });
        };
        let end = queue.max_offset().0 as i64;
        if queue.min_offset().0 as i64 == end {
            return Ok(QueryOffset::StartAt(end));
        }
        Ok(if self.is_first_young(&queue).await? { QueryOffset::StartAt(0) } else { QueryOffset::Unknown })
    }

    /// Offsets of all queues of a topic.
    pub async fn topic_stats(&self, topic: &str) -> Result<TopicStats, Error> {
        let config = self.topics.require(topic)?;
        let mut stats = TopicStats { tps: self.stats.topic_put_rate(topic), ..TopicStats::default() };
        for queue_id in 0..config.config().read_queue_nums.max(config.config().write_queue_nums) {
            let (min, max) = self.queue_range(topic, queue_id);
            let last = if max > min { self.store_time(topic, queue_id, max - 1).await? } else { None };
            let offsets = TopicOffset { last_update_timestamp: last.unwrap_or(0), max_offset: max, min_offset: min };
            stats.offsets.insert(self.message_queue(topic, queue_id), offsets);
        }
        Ok(stats)
    }

    /// How far a group is in some topics; in all its topics when none are named.
    ///
    /// Source: `AdminBrokerProcessor.getConsumeStats`.
    pub async fn consume_stats(&self, group: &str, topics: &[&str]) -> Result<ConsumeStats, Error> {
        let mut stats = ConsumeStats::default();
        let all = if topics.is_empty() { self.topics_of_group(group) } else { Vec::new() };
        for topic in topics.iter().copied().chain(all.iter().map(String::as_str)) {
            let Some(config) = self.topics.get(topic) else { continue };
            let committed = self.offsets.of_topic(topic, group);
            for queue_id in 0..config.config().read_queue_nums {
                let (min, max) = self.queue_range(topic, queue_id);
                // A group that never committed is shown at the beginning of what is left.
                let consumed = committed.get(&queue_id).copied().unwrap_or(min);
                let last = self.store_time(topic, queue_id, consumed - 1).await?;
                let offsets = OffsetWrapper {
                    broker_offset: max,
                    consumer_offset: consumed,
                    last_timestamp: last.unwrap_or(0),
                    pull_offset: consumed,
                };
                stats.offsets.insert(self.message_queue(topic, queue_id), offsets);
            }
            stats.tps += self.stats.group_get_rate(topic, group);
        }
        Ok(stats)
    }

    /// Topics a group subscribes to or has offsets in.
    pub fn topics_of_group(&self, group: &str) -> Vec<String> {
        union(self.sessions.topics_of_group(group), self.offsets.topics_of(group))
    }

    /// Groups that subscribe to a topic or have offsets in it.
    pub fn groups_of_topic(&self, topic: &str) -> Vec<String> {
        union(self.sessions.groups_of_topic(topic), self.offsets.groups_of(topic))
    }

    /// A queue of this broker as the protocol names it.
    pub fn message_queue(&self, topic: &str, queue_id: i32) -> MessageQueue {
        MessageQueue { broker_name: self.config().broker_name.clone(), queue_id, topic: topic.to_owned() }
    }
}

fn union(mut a: Vec<String>, b: Vec<String>) -> Vec<String> {
    a.extend(b);
    a.sort_unstable();
    a.dedup();
    a
}
