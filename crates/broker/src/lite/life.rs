//! The end of lite topics.
//!
//! Source: RocketMQ 5.5.0, `AbstractLiteLifecycleManager`.

use std::sync::Arc;
use std::time::Duration;

use protocol::name::parse_lite_queue;
use tracing::warn;

use super::registry::LiteQueue;
use crate::attribute::LITE_EXPIRATION;
use crate::limits::LITE_TTL_MIN_MS;
use crate::{Broker, Error};

/// Time between two looks; clients that stopped popping pass on what waits for them then.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);

/// Lite topics looked at in one go, so that a million of them hold nothing up.
const LOOKS: usize = 1000;

impl Broker {
    /// Deletes lite topics whose newest message is too old, and forgets clients that left without a word.
    pub(crate) async fn sweep_lite(self: &Arc<Self>) -> Result<usize, Error> {
        self.lite.registry.sweep(self.now_ms());
        let mut deleted = 0;
        for topic in self.topics.all() {
            let expiration = topic.config().attributes.get(LITE_EXPIRATION);
            let minutes: i64 = expiration.and_then(|minutes| minutes.parse().ok()).unwrap_or(-1);
            if minutes < 0 {
                continue;
            }
            let old_ms = self.now_ms() - (minutes * 60_000).max(LITE_TTL_MIN_MS);
            for (at, (name, stored_ms)) in self.lite.of_parent(topic.name()).into_iter().enumerate() {
                if at % LOOKS == LOOKS - 1 {
                    tokio::task::yield_now().await;
                }
                if stored_ms <= old_ms && self.newest_ms(&name, stored_ms).await? <= old_ms {
                    self.delete_lite_topic(&name)?;
                    deleted += 1;
                }
            }
        }
        Ok(deleted)
    }

    pub(crate) async fn run_lite_sweeps(self: Arc<Self>) {
        let stopping = self.stopping.clone();
        let rounds = async {
            loop {
                tokio::time::sleep(SWEEP_PERIOD).await;
                if let Err(error) = self.sweep_lite().await {
                    warn!(%error, "old lite topics not deleted, trying again");
                }
            }
        };
        stopping.run_until_cancelled(rounds).await;
    }

    /// When the newest message of a lite topic was stored. Looked up once after a start.
    async fn newest_ms(&self, name: &LiteQueue, known_ms: i64) -> Result<i64, Error> {
        if known_ms > 0 {
            return Ok(known_ms);
        }
        let (_, max) = self.queue_range(name, 0);
        let stored_ms = self.store_time(name, 0, max - 1).await?.unwrap_or(0);
        self.lite.note(name, stored_ms);
        Ok(stored_ms)
    }

    /// Deletes a lite topic: its queue, the offsets of groups in it, its subscriptions. Its records stay under the
    /// parent until they are old.
    pub(crate) fn delete_lite_topic(&self, name: &LiteQueue) -> Result<(), Error> {
        self.store.remove_topic(name)?;
        self.offsets.remove_topic(name)?;
        self.lite.forget(name);
        self.lite.registry.forget_name(name);
        self.lite.lines.retain(|(_, line)| line != name);
        Ok(())
    }

    /// Deletes all lite topics of a parent that is deleted.
    pub(crate) fn delete_lite_topics_of(&self, parent: &str) -> Result<(), Error> {
        for (name, _) in self.lite.of_parent(parent) {
            self.delete_lite_topic(&name)?;
        }
        Ok(())
    }

    /// Forgets what a group read of lite topics.
    pub(crate) fn forget_lite_group(&self, group: &str) {
        for client in self.lite.registry.clients_of(group) {
            self.lite.registry.forget(&client);
        }
        self.lite.lines.retain(|(line, name)| **line != *group || parse_lite_queue(name).is_none());
    }
}
