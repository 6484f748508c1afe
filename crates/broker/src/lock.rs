//! Queues locked for ordered consumption.
//!
//! In memory only: clients renew every 20 seconds, and after a restart they lock again. Source: `RebalanceLockManager`.

use std::collections::HashMap;

use parking_lot::Mutex;
use protocol::body::MessageQueue;

/// A lock that was not renewed for this long is free. Source: `REBALANCE_LOCK_MAX_LIVE_TIME`.
const LIVE_MS: i64 = 60_000;

#[derive(Debug)]
struct Lock {
    client: String,
    renewed_ms: i64,
}

impl Lock {
    fn is_expired(&self, now_ms: i64) -> bool {
        now_ms - self.renewed_ms > LIVE_MS
    }
}

/// Who holds which queue, by group.
#[derive(Debug, Default)]
pub struct QueueLocks(Mutex<HashMap<String, HashMap<MessageQueue, Lock>>>);

impl QueueLocks {
    /// Locks what is free, or renews what the client holds already. Returns the queues that it holds now.
    pub fn lock(&self, group: &str, client: &str, queues: Vec<MessageQueue>, now_ms: i64) -> Vec<MessageQueue> {
        let mut groups = self.0.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        let mut granted = Vec::new();
        for queue in queues {
            let free = locks.get(&queue).is_none_or(|lock| lock.client == client || lock.is_expired(now_ms));
            if free {
                locks.insert(queue.clone(), Lock { client: client.to_owned(), renewed_ms: now_ms });
                granted.push(queue);
            }
        }
        granted
    }

    /// Frees what the client holds.
    pub fn unlock(&self, group: &str, client: &str, queues: &[MessageQueue]) {
        let mut groups = self.0.lock();
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| lock.client == client) {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether any queue of the group is locked: the group consumes in order.
    pub(crate) fn is_ordered(&self, group: &str, now_ms: i64) -> bool {
        self.0.lock().get(group).is_some_and(|locks| locks.values().any(|lock| !lock.is_expired(now_ms)))
    }

    /// Forgets locks that nobody renews.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut groups = self.0.lock();
        groups.retain(|_, locks| {
            locks.retain(|_, lock| !lock.is_expired(now_ms));
            !locks.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue { broker_name: "b".into(), topic: "T".into(), queue_id: id }
    }

    #[test]
    fn a_lock_has_one_owner_until_it_is_freed_or_forgotten() {
        let locks = QueueLocks::default();
        assert_eq!(locks.lock("G", "a", vec![queue(0), queue(1)], 0), [queue(0), queue(1)]);
        assert_eq!(locks.lock("G", "b", vec![queue(0), queue(2)], 1), [queue(2)]);
        assert_eq!(locks.lock("H", "b", vec![queue(0)], 1), [queue(0)]);
        locks.unlock("G", "b", &[queue(0)]);
        assert!(locks.lock("G", "b", vec![queue(0)], 2).is_empty());
        locks.unlock("G", "a", &[queue(0)]);
        assert_eq!(locks.lock("G", "b", vec![queue(0)], 3), [queue(0)]);
        assert!(locks.lock("G", "b", vec![queue(1)], LIVE_MS).is_empty());
        assert!(locks.is_ordered("G", LIVE_MS));
        assert_eq!(locks.lock("G", "b", vec![queue(1)], LIVE_MS + 1), [queue(1)]);
        locks.sweep(3 * LIVE_MS);
        assert!(!locks.is_ordered("G", 0));
    }
}
