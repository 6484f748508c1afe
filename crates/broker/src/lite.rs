//! Lite topics: any number of small queues below one parent topic, made by the first message and deleted when they are
//! old. A message is stored once, under its parent, and stands in the queue of its lite topic as well.
//!
//! Consumers subscribe to single lite topics, or a group to all of a parent, and pop: messages of one lite topic come
//! in order, the next ones when the last are acked. What was handed out is kept in memory only, as in Java; a restart
//! delivers it again.
//!
//! Source: RocketMQ 5.5.0, `PopLiteMessageProcessor`, `LiteSubscriptionCtlProcessor`, `LiteLifecycleManager`.

mod info;
mod life;
mod line;
mod pop;
mod registry;
mod subscribe;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use protocol::name::{LITE_PREFIX, parse_lite_queue};
use protocol::record::NewRecord;
use protocol::{name, properties};
use store::{Appended, Queue, Store};

pub use pop::{PopLite, PopLiteRequest};
pub use subscribe::{LiteAction, LiteStart, LiteSubscription, Unsubscribed};

use crate::{Broker, Error};
use line::Lines;
use registry::{LiteQueue, Registry, following};

/// Lite topics of a parent, and when the newest message of each was stored; 0 where nobody has looked yet.
type LiteTopics = BTreeMap<LiteQueue, i64>;

/// Everything about lite topics that is not in the log.
#[derive(Default)]
pub(crate) struct Lite {
    registry: Registry,
    lines: Lines,
    by_parent: Mutex<HashMap<Arc<str>, LiteTopics, RandomState>>,
}

impl Lite {
    /// Finds the lite topics that there are.
    pub(crate) fn load(store: &Store) -> Lite {
        let lite = Lite::default();
        store.for_each_queue(|queue| {
            if queue.topic().starts_with(LITE_PREFIX) {
                lite.note(queue.topic(), 0);
            }
        });
        lite
    }

    /// Notes that a lite topic exists, and when its newest message was stored.
    fn note(&self, name: &LiteQueue, stored_ms: i64) {
        let Some((parent, _)) = parse_lite_queue(name) else { return };
        let mut by_parent = self.by_parent.lock();
        let topics = match by_parent.get_mut(parent) {
            Some(topics) => topics,
            None => by_parent.entry(parent.into()).or_default(),
        };
        match topics.get_mut(name) {
            Some(newest_ms) => *newest_ms = stored_ms.max(*newest_ms),
            None => drop(topics.insert(name.clone(), stored_ms)),
        }
    }

    fn forget(&self, name: &LiteQueue) {
        let Some((parent, _)) = parse_lite_queue(name) else { return };
        let mut by_parent = self.by_parent.lock();
        if let Some(topics) = by_parent.get_mut(parent) {
            topics.remove(name);
            if topics.is_empty() {
                by_parent.remove(parent);
            }
        }
    }

    /// Lite topics of a parent.
    fn of_parent(&self, parent: &str) -> Vec<(LiteQueue, i64)> {
        let by_parent = self.by_parent.lock();
        let topics = by_parent.get(parent).into_iter().flatten();
        topics.map(|(name, stored_ms)| (name.clone(), *stored_ms)).collect()
    }

    /// The next lite topics of a parent, in the order of their names.
    fn names_behind(&self, parent: &str, behind: Option<&LiteQueue>, most: usize) -> Vec<LiteQueue> {
        let by_parent = self.by_parent.lock();
        let topics =
            by_parent.get(parent).into_iter().flat_map(|topics| topics.range::<LiteQueue, _>(following(behind)));
        topics.take(most).map(|(name, _)| name.clone()).collect()
    }

    fn count(&self, parent: &str) -> usize {
        self.by_parent.lock().get(parent).map_or(0, BTreeMap::len)
    }

    fn total(&self) -> usize {
        self.by_parent.lock().values().map(BTreeMap::len).sum()
    }
}

impl Broker {
    /// Appends a message to its queue, and to that of its lite topic if it has one.
    pub(crate) fn append_to(&self, queue: &Arc<Queue>, record: &NewRecord<'_>) -> Result<Appended, Error> {
        match properties::get(record.properties, properties::LITE_TOPIC) {
            Some(lite_topic) if !lite_topic.is_empty() => self.append_lite(queue, record, lite_topic),
            _ => Ok(self.store.append(queue, record)?),
        }
    }

    pub(crate) fn append_lite(
        &self,
        queue: &Arc<Queue>,
        record: &NewRecord<'_>,
        lite_topic: &str,
    ) -> Result<Appended, Error> {
        if lite_topic.contains(['$', ',']) {
            let reason = format!("the lite topic {lite_topic:?} must contain neither $ nor a comma");
            return Err(Error::MessageIllegal(reason));
        }
        let wanted = name::lite_queue(record.topic, lite_topic);
        loop {
            let lite = self.store.queue(&wanted, 0);
            match self.store.append_dispatched(queue, std::slice::from_ref(&lite), record) {
                // It was deleted since it was looked up, and begins anew.
                Err(store::Error::WrongQueue { topic, .. }) if *topic == *wanted => {}
                Err(error) => return Err(error.into()),
                Ok(appended) => {
                    self.lite.note(lite.topic(), appended.store_timestamp_ms);
                    self.lite.registry.arrived(record.topic, lite.topic());
                    return Ok(appended);
                }
            }
        }
    }
}
