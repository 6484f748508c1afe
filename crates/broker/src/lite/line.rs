//! What of each lite topic was handed out to each group.
//!
//! Source: RocketMQ 5.5.0, `MemoryConsumerOrderInfoManager`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::registry::LiteQueue;
use crate::Broker;
use crate::pop::Batch;

/// A group and the queue of a lite topic.
pub(super) type Place = (Arc<str>, LiteQueue);

#[derive(Default)]
struct Line {
    batch: Batch,
    /// Somebody reads the queue for the group.
    busy: bool,
    /// Somebody else wanted to meanwhile.
    again: bool,
}

/// All lines that have something in flight, or are being read.
#[derive(Default)]
pub(super) struct Lines {
    lines: Mutex<HashMap<Place, Line, RandomState>>,
    /// When the messages of a line that nobody acks are visible again.
    ends: Mutex<BTreeSet<(i64, Place)>>,
    earlier: Notify,
}

/// The right to read a lite topic for a group, until it is dropped.
pub(super) struct Reading<'a> {
    broker: &'a Broker,
    place: Place,
}

impl Lines {
    /// Begins to read; `None` while somebody else does, who then makes sure that this one looks again.
    pub(super) fn read(broker: &Broker, place: Place) -> Option<Reading<'_>> {
        let mut lines = broker.lite.lines.lines.lock();
        let line = lines.entry(place.clone()).or_default();
        if std::mem::replace(&mut line.busy, true) {
            line.again = true;
            return None;
        }
        Some(Reading { broker, place })
    }

    /// Works on the batch of a line, if something of it was handed out.
    pub(super) fn change<T>(&self, place: &Place, change: impl FnOnce(&mut Batch) -> T) -> Option<T> {
        let mut lines = self.lines.lock();
        lines.get_mut(place).filter(|line| !line.batch.is_empty()).map(|line| change(&mut line.batch))
    }

    /// Remembers to look at a line again at a time.
    pub(super) fn look_at(&self, ms: i64, place: Place) {
        let mut ends = self.ends.lock();
        let first = ends.first().is_none_or(|(first_ms, _)| ms < *first_ms);
        ends.insert((ms, place));
        if first {
            self.earlier.notify_one();
        }
    }

    /// Lines to be looked at now, and when the next is.
    pub(super) fn due(&self, now_ms: i64) -> (Vec<Place>, Option<i64>) {
        let mut ends = self.ends.lock();
        let mut due = Vec::new();
        while let Some((ms, _)) = ends.first() {
            if *ms > now_ms {
                return (due, Some(*ms));
            }
            due.extend(ends.pop_first().map(|(_, place)| place));
        }
        (due, None)
    }

    /// Returns when an earlier time was noted than all before.
    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// Forgets what was handed out: the group begins at its offset again.
    pub(super) fn clear(&self, place: &Place) {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get_mut(place) {
            line.batch = Batch::default();
            if !line.busy {
                lines.remove(place);
            }
        }
    }

    /// Forgets lines whose place is not wanted any more.
    pub(super) fn retain(&self, wanted: impl Fn(&Place) -> bool) {
        self.lines.lock().retain(|place, line| line.busy || wanted(place));
        self.ends.lock().retain(|(_, place)| wanted(place));
    }

    pub(super) fn len(&self) -> usize {
        self.lines.lock().len()
    }
}

impl Reading<'_> {
    /// Works on the batch.
    pub(super) fn batch<T>(&self, work: impl FnOnce(&mut Batch) -> T) -> T {
        let mut lines = self.broker.lite.lines.lines.lock();
        work(&mut lines.get_mut(&self.place).expect("a line stays while it is read").batch)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let again = {
            let mut lines = self.broker.lite.lines.lines.lock();
            let line = lines.get_mut(&self.place).expect("a line stays while it is read");
            line.busy = false;
            let again = std::mem::take(&mut line.again);
            if line.batch.is_empty() {
                lines.remove(&self.place);
            }
            again
        };
        if again {
            self.broker.lite_offer(&self.place);
        }
    }
}
