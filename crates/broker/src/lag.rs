//! How far all groups are behind, for metrics.

use crate::Broker;

/// How far a group is behind in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// Topic, the group's retry topic included.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// Messages it has not committed yet.
    pub messages: u64,
    /// Queues with such messages, and the offset of the first of them.
    pub behind: Vec<(i32, i64)>,
}

impl Broker {
    /// How far each group is behind in each topic in which it ever committed an offset; the same figures as
    /// [`Broker::consume_stats`] has. It walks all offsets and may take some milliseconds.
    pub fn lags(&self) -> Vec<Lag> {
        let mut lags = Vec::new();
        self.offsets.each(|topic, group, committed| {
            let Some(config) = self.topics.get(topic) else { return };
            let mut lag = Lag { topic: topic.to_owned(), group: group.to_owned(), messages: 0, behind: Vec::new() };
            for queue in 0..config.config().read_queue_nums {
                let (min, max) = self.queue_range(topic, queue);
                let next = committed.get(&queue).copied().unwrap_or(min);
                if next < max {
                    lag.messages += (max - next) as u64;
                    // What retention deleted is behind as well, but has no time any more.
                    lag.behind.push((queue, next.max(min)));
                }
            }
            lags.push(lag);
        });
        lags
    }
}
