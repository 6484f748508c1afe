//! Pops that wait for a message.
//!
//! A waiting pop is one entry in a list of its topic, group and queue; it hangs on no queue of the store itself, or every
//! message would wake all who wait for a topic. Instead each queue on which anybody waits is watched by one small task,
//! which wakes the eldest of each group. Whoever is woken and finds more than it takes wakes the next.
//!
//! Source: `PopLongPollingService`, for the limits and who is woken.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use store::{Queue, QueueOffset};
use tokio::sync::oneshot;

use crate::Broker;

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum For {
    /// Messages.
    Pop,
    /// To hear that there are some.
    Notice,
}

/// Who waits, by what for, queue, and turn.
type Group = BTreeMap<(For, i32), BTreeMap<u64, oneshot::Sender<()>>>;

#[derive(Default)]
struct Topic {
    groups: HashMap<String, Group>,
    /// Queues of the topic that a task watches.
    watched: HashSet<u32>,
    /// Retry topics of it that a task watches.
    watched_retries: HashSet<String>,
}

#[derive(Default)]
struct Inner {
    topics: HashMap<String, Topic>,
    total: usize,
    turn: u64,
}

/// All who wait.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Inner>);

/// Bounds. Source: `popPollingSize`, `maxPopPollingSize`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) of_queue: usize,
    pub(super) of_all: usize,
}

/// Place of one that waits; leaving it is dropping it.
pub(super) struct Parked<'a> {
    waiting: &'a Waiting,
    topic: &'a str,
    group: &'a str,
    what: For,
    queue_id: i32,
    turn: u64,
    woken: oneshot::Receiver<()>,
    /// Woken, and nobody has looked yet.
    owed: bool,
}

impl Waiting {
    /// Takes a place; `None` when too many wait.
    pub(super) fn park<'a>(
        &'a self,
        topic: &'a str,
        group: &'a str,
        what: For,
        queue_id: i32,
        bounds: Bounds,
    ) -> Option<Parked<'a>> {
        let mut inner = self.0.lock();
        if inner.total >= bounds.of_all {
            return None;
        }
        inner.turn += 1;
        let turn = inner.turn;
        let place = entry(&mut entry(&mut inner.topics, topic).groups, group).entry((what, queue_id)).or_default();
        if place.len() >= bounds.of_queue {
            return None;
        }
        let (wake, woken) = oneshot::channel();
        place.insert(turn, wake);
        inner.total += 1;
        Some(Parked { waiting: self, topic, group, what, queue_id, turn, woken, owed: false })
    }

    /// How many pops wait at one place.
    pub(super) fn len(&self, topic: &str, group: &str, queue_id: i32) -> usize {
        let inner = self.0.lock();
        let group = inner.topics.get(topic).and_then(|topic| topic.groups.get(group));
        group.and_then(|group| group.get(&(For::Pop, queue_id))).map_or(0, BTreeMap::len)
    }

    /// Wakes one of a group that may take from this queue, of each kind and place.
    pub(super) fn wake(&self, topic: &str, group: &str, queue_id: i32) {
        let mut inner = self.0.lock();
        let Inner { topics, total, .. } = &mut *inner;
        if let Some(places) = topics.get_mut(topic).and_then(|topic| topic.groups.get_mut(group)) {
            *total -= wake_one_each(places, |id| id == -1 || id == queue_id);
        }
    }

    /// A queue has grown: wakes one of each group. Returns whether it is to be watched further.
    fn arrived(&self, topic: &str, queue_id: u32) -> bool {
        let mut inner = self.0.lock();
        let Inner { topics, total, .. } = &mut *inner;
        let Some(waits) = topics.get_mut(topic) else { return false };
        let before = *total;
        for places in waits.groups.values_mut() {
            *total -= wake_one_each(places, |id| id == -1 || i64::from(id) == i64::from(queue_id));
        }
        // Those who were woken come back, most likely.
        let watched = *total != before || !waits.groups.values().all(BTreeMap::is_empty);
        if !watched {
            waits.watched.remove(&queue_id);
            inner.tidy(topic, None);
        }
        watched
    }

    /// The same of a retry topic, whose messages are for one group.
    fn retry_arrived(&self, topic: &str, group: &str, retry_topic: &str) -> bool {
        let mut inner = self.0.lock();
        let Inner { topics, total, .. } = &mut *inner;
        let Some(waits) = topics.get_mut(topic) else { return false };
        let woken = waits.groups.get_mut(group).map_or(0, |places| wake_one_each(places, |_| true));
        *total -= woken;
        if woken == 0 {
            waits.watched_retries.remove(retry_topic);
            inner.tidy(topic, Some(group));
        }
        woken > 0
    }

    /// Wakes all of a group who may take from this queue: what they wait for has changed.
    pub(super) fn wake_all(&self, topic: &str, group: &str, queue_id: i32) {
        let mut inner = self.0.lock();
        let Inner { topics, total, .. } = &mut *inner;
        let Some(places) = topics.get_mut(topic).and_then(|topic| topic.groups.get_mut(group)) else { return };
        for ((_, id), place) in places.iter_mut() {
            if *id == -1 || *id == queue_id {
                *total -= place.len();
                // Dropping the sender wakes, too.
                place.clear();
            }
        }
        places.retain(|_, place| !place.is_empty());
    }

    /// Wakes all who wait for a topic, which was deleted.
    pub(super) fn forget(&self, topic: &str) {
        let mut inner = self.0.lock();
        let Some(waits) = inner.topics.remove(topic) else { return };
        inner.total -= waits.groups.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum::<usize>();
    }

    /// Whether anybody of a group waits for a topic.
    pub(super) fn any(&self, topic: &str, group: &str) -> bool {
        let inner = self.0.lock();
        let places = inner.topics.get(topic).and_then(|topic| topic.groups.get(group));
        places.is_some_and(|places| places.values().any(|place| !place.is_empty()))
    }

    /// Queues of a topic that are not watched yet, of those below `queues`; they count as watched from now on.
    fn unwatched(&self, topic: &str, queues: std::ops::Range<u32>) -> Vec<u32> {
        let mut inner = self.0.lock();
        let watched = &mut entry(&mut inner.topics, topic).watched;
        if watched.len() >= queues.end as usize {
            return Vec::new();
        }
        queues.filter(|queue_id| watched.insert(*queue_id)).collect()
    }
}

/// Wakes the eldest at each place, the youngest of those who wait for a notice. Source: `PopLongPollingService`.
/// Returns how many.
fn wake_one_each(places: &mut Group, wanted: impl Fn(i32) -> bool) -> usize {
    let mut woken = 0;
    for ((what, queue_id), place) in places.iter_mut() {
        if !wanted(*queue_id) {
            continue;
        }
        loop {
            let next = if *what == For::Pop { place.pop_first() } else { place.pop_last() };
            let Some((_, wake)) = next else { break };
            woken += 1;
            // One that is leaving passes the message on.
            if wake.send(()).is_ok() {
                break;
            }
        }
    }
    places.retain(|_, place| !place.is_empty());
    woken
}

fn entry<'m, T: Default>(map: &'m mut HashMap<String, T>, name: &str) -> &'m mut T {
    // Most of the time it is there, and no name has to be copied.
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.get_mut(name).expect("it was put in above")
}

impl Inner {
    fn tidy(&mut self, topic: &str, group: Option<&str>) {
        let Some(waits) = self.topics.get_mut(topic) else { return };
        match group {
            Some(group) if waits.groups.get(group).is_some_and(BTreeMap::is_empty) => {
                waits.groups.remove(group);
            }
            Some(_) => {}
            None => waits.groups.retain(|_, places| !places.is_empty()),
        }
        if waits.groups.is_empty() && waits.watched.is_empty() && waits.watched_retries.is_empty() {
            self.topics.remove(topic);
        }
    }
}

impl Parked<'_> {
    /// Returns when woken. May be dropped and called again.
    pub(super) async fn woken(&mut self) {
        let _ = (&mut self.woken).await;
        self.owed = true;
    }

    /// Who was woken looks for messages now, so that nobody else has to.
    pub(super) fn looks(mut self) {
        self.owed = false;
        let _ = self.woken.try_recv();
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut inner = self.waiting.0.lock();
        let Inner { topics, total, .. } = &mut *inner;
        let places = topics.get_mut(self.topic).and_then(|topic| topic.groups.get_mut(self.group));
        let Some(places) = places else { return };
        let place = places.get_mut(&(self.what, self.queue_id));
        if place.is_some_and(|place| place.remove(&self.turn).is_some()) {
            *total -= 1;
            places.retain(|_, place| !place.is_empty());
            inner.tidy(self.topic, Some(self.group));
        } else if self.owed || self.woken.try_recv().is_ok() {
            *total -= wake_one_each(places, |id| id == self.queue_id);
        }
    }
}

impl Broker {
    /// Has the queues watched from which somebody is about to wait. What arrived before is not told.
    pub(super) fn watch_for_pops(
        self: &Arc<Self>,
        topic: &crate::Topic,
        queue_id: i32,
        group: &str,
        retries: &[String],
    ) {
        let queues = topic.config().read_queue_nums.max(0).cast_unsigned();
        let wanted = match u32::try_from(queue_id) {
            Ok(id) => id..id.saturating_add(1).min(queues),
            Err(_) => 0..queues,
        };
        for id in self.pop.waiting.unwatched(topic.name(), wanted) {
            let Some(queue) = topic.queue(&self.store, id.cast_signed()).cloned() else { continue };
            let from = queue.max_offset();
            let arrived = |broker: &Broker, queue: &Queue| broker.pop.waiting.arrived(queue.topic(), queue.id());
            self.spawn_watch(queue, from, arrived);
        }
        for retry in retries {
            if let Some(queue) = self.topics.get(retry).and_then(|topic| topic.queue(&self.store, 0).cloned()) {
                let from = queue.max_offset();
                self.watch_retry(topic.name(), group, queue, from);
            }
        }
    }

    /// Has a retry topic watched from an offset on, for those of a group who wait for a topic.
    pub(super) fn watch_retry(self: &Arc<Self>, topic: &str, group: &str, queue: Arc<Queue>, from: QueueOffset) {
        let newly = {
            let mut inner = self.pop.waiting.0.lock();
            let watched = &mut entry(&mut inner.topics, topic).watched_retries;
            watched.insert(queue.topic().to_string())
        };
        if newly {
            let (topic, group) = (topic.to_owned(), group.to_owned());
            let arrived =
                move |broker: &Broker, queue: &Queue| broker.pop.waiting.retry_arrived(&topic, &group, queue.topic());
            self.spawn_watch(queue, from, arrived);
        }
    }

    fn spawn_watch(
        self: &Arc<Self>,
        queue: Arc<Queue>,
        mut seen: QueueOffset,
        arrived: impl Fn(&Broker, &Queue) -> bool + Send + 'static,
    ) {
        let broker = self.clone();
        let stopping = self.stopping.clone();
        self.tasks.spawn(stopping.run_until_cancelled_owned(async move {
            loop {
                queue.wait_beyond(seen).await;
                seen = queue.max_offset();
                // A queue that is removed never grows again.
                if !arrived(&broker, &queue) || queue.is_removed() {
                    return;
                }
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds { of_queue: 10, of_all: 100 };

    fn is_woken(parked: &mut Parked<'_>) -> bool {
        parked.owed |= parked.woken.try_recv().is_ok();
        parked.owed
    }

    #[test]
    fn an_arrival_wakes_the_eldest_of_each_place() {
        let waiting = Waiting::default();
        let park = |group, what, queue| waiting.park("T", group, what, queue, WIDE).unwrap();
        let mut all = [
            park("G", For::Pop, -1),
            park("G", For::Pop, -1),
            park("G", For::Pop, 1),
            park("G", For::Pop, 2),
            park("H", For::Pop, -1),
            park("G", For::Notice, -1),
            park("G", For::Notice, -1),
        ];
        assert!(waiting.arrived("T", 1));
        let woken: Vec<bool> = all.iter_mut().map(is_woken).collect();
        assert_eq!(woken, [true, false, true, false, true, false, true]);
        assert_eq!(waiting.len("T", "G", -1), 1);
        drop(all);
        assert_eq!(waiting.0.lock().total, 0);
        assert!(!waiting.arrived("T", 1));
        assert!(waiting.0.lock().topics.is_empty());
    }

    #[test]
    fn one_who_leaves_after_being_woken_passes_it_on() {
        let waiting = Waiting::default();
        let first = waiting.park("T", "G", For::Pop, -1, WIDE).unwrap();
        let mut second = waiting.park("T", "G", For::Pop, -1, WIDE).unwrap();
        let mut third = waiting.park("T", "G", For::Pop, -1, WIDE).unwrap();
        waiting.arrived("T", 0);
        drop(first);
        assert!(is_woken(&mut second));
        second.looks();
        assert!(!is_woken(&mut third));
    }

    #[test]
    fn there_is_a_bound_of_each_place_and_of_all() {
        let waiting = Waiting::default();
        let bounds = Bounds { of_queue: 2, of_all: 3 };
        let park = |queue| waiting.park("T", "G", For::Pop, queue, bounds);
        let (_a, b) = (park(0).unwrap(), park(0).unwrap());
        assert!(park(0).is_none());
        let _c = park(1).unwrap();
        assert!(park(2).is_none());
        drop(b);
        assert!(park(2).is_some());
    }
}
