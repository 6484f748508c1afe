//! All queues, found by topic and number.

use super::{Queue, State};
use crate::progress::Progress;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The queues of a store. Lookups take a shard's lock for some tens of nanoseconds; no lock is held while a queue is
/// worked on.
pub(crate) struct Table {
    shards: Box<[RwLock<HashTable<Topic>>]>,
    hasher: RandomState,
    progress: Arc<Progress>,
}

struct Topic {
    name: Arc<str>,
    /// By number.
    queues: Vec<Arc<Queue>>,
}

const SHARDS: usize = 64;

impl Table {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::default(), progress }
    }

    pub(crate) fn find(&self, topic: &str, id: u32) -> Option<Arc<Queue>> {
        let (hash, shard) = self.shard(topic);
        let shard = shard.read();
        shard.find(hash, |t| &*t.name == topic)?.queue(id).cloned()
    }

    pub(crate) fn find_or_make(&self, topic: &str, id: u32) -> Arc<Queue> {
        self.find(topic, id).unwrap_or_else(|| self.make(topic, id, State::default()))
    }

    /// Adds a queue in a given state, unless there is one already.
    pub(crate) fn make(&self, topic: &str, id: u32, state: State) -> Arc<Queue> {
        let (hash, shard) = self.shard(topic);
        let mut shard = shard.write();
        let topic = shard
            .entry(hash, |t| &*t.name == topic, |t| self.hasher.hash_one(&*t.name))
            .or_insert_with(|| Topic { name: topic.into(), queues: Vec::new() })
            .into_mut();
        match topic.queues.binary_search_by_key(&id, |queue| queue.id()) {
            Ok(at) => topic.queues[at].clone(),
            Err(at) => {
                let queue = Queue::new(topic.name.clone(), id, self.progress.clone(), state);
                topic.queues.reserve_exact(1);
                topic.queues.insert(at, queue.clone());
                queue
            }
        }
    }

    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<Queue>> {
        let (hash, shard) = self.shard(topic);
        let shard = shard.read();
        shard.find(hash, |t| &*t.name == topic).map(|t| t.queues.clone()).unwrap_or_default()
    }

    /// Forgets a topic and returns its queues.
    pub(crate) fn remove_topic(&self, topic: &str) -> Vec<Arc<Queue>> {
        let (hash, shard) = self.shard(topic);
        match shard.write().find_entry(hash, |t| &*t.name == topic) {
            Ok(entry) => entry.remove().0.queues,
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn clear(&self) {
        self.shards.iter().for_each(|shard| shard.write().clear());
    }

    /// Every queue, a shard at a time: `visit` may take its time without stopping lookups elsewhere.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Queue>)) {
        for shard in &self.shards {
            let queues: Vec<_> = shard.read().iter().flat_map(|topic| topic.queues.iter().cloned()).collect();
            queues.iter().for_each(&mut visit);
        }
    }

    fn shard(&self, topic: &str) -> (u64, &RwLock<HashTable<Topic>>) {
        let hash = self.hasher.hash_one(topic);
        (hash, &self.shards[(hash >> 32) as usize % SHARDS])
    }
}

impl Topic {
    fn queue(&self, id: u32) -> Option<&Arc<Queue>> {
        // Most topics have all their queues, in which case the number is the place.
        match self.queues.get(id as usize) {
            Some(queue) if queue.id() == id => Some(queue),
            _ => self.queues.binary_search_by_key(&id, |queue| queue.id()).ok().map(|at| &self.queues[at]),
        }
    }
}
