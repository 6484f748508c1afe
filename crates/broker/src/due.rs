//! The due table: what is to be looked at again, and when.
//!
//! It maps (time, kind, place) to a few bytes. Timers, half messages and popped messages are kinds of one mechanism: an entry says *at
//! this time look at that record again*, and the module that owns the kind knows what to do then.
//!
//! **The log is the truth.** An entry comes from a record of the log (the timer message, the half message, or a
//! [`crate::state::Change::Due`]) and goes with one (a cancel marker, an op record, or again a change). Whoever changes
//! the table does so together with the append of that record, inside one [`Due::change`]; a snapshot excludes all of
//! those, so it is the table as the log made it up to one exact place, and the log from there on makes the rest.
//! (Popped messages are many and short-lived: their record follows within a fraction of a second, so that those acked
//! by then need none, and a snapshot begins by writing it. See [`crate::pop`].)
//!
//! **Memory.** An entry is 32 bytes in a B-tree, which at its worst fill (entries that arrive in the order of their
//! times) makes 75; a kind that is looked up by place pays 20 to 40 for that. Deleting is deleting: nothing is left to
//! walk over. The test `an_entry_takes_less_than_100_bytes` measures that.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use serde::{Deserialize, Serialize};
use store::Clock;
use tokio::sync::Notify;

pub(crate) use file::{Loaded, Snapshot};

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A message that waits for its time. Place: log offset of its record. Owner and second detail: hash of its topic
    /// and unique key. First detail: bytes of the record.
    Timed = 0,
    /// A half message that nobody has decided. Place: its queue offset. First detail: how often it was checked.
    /// Looked up by place, because a decision does not know when the next check is.
    Check = 1,
    /// A popped message that nobody acked. Place: queue and queue offset. Owner: who popped which topic. Details: see
    /// [`crate::pop`].
    Invisible = 2,
}

const KINDS: [Kind; 3] = [Kind::Timed, Kind::Check, Kind::Invisible];

/// Where an entry stands in its kind's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    /// When it is due, milliseconds since 1970.
    pub(crate) due_ms: i64,
    /// What it is about; entries of one millisecond come in this order.
    pub(crate) place: u64,
    /// Tells entries of one place apart, if the kind has such.
    pub(crate) owner: u32,
}

/// A few bytes for whoever owns the kind.
pub(crate) type Detail = [u32; 2];

/// Entries taken away, put in and moved, as a record of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DueChange {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<(Kind, Key)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) added: Vec<(Kind, Key, Detail)>,
    /// Entries that, unless they were removed meanwhile, are at another time now. Only of kinds that are looked up by
    /// place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) moved: Vec<(Kind, Key, Detail)>,
}

/// Entries of one kind.
#[derive(Default)]
struct Tree {
    by_time: BTreeMap<Key, Detail>,
    /// Time by place, for kinds that are looked up that way. Places are our own numbers: nobody can choose them so
    /// that they collide.
    by_place: Option<HashMap<u64, i64, FixedState>>,
    /// Who waits for this kind sleeps until then; an earlier entry must wake him.
    sleeping_until: Option<i64>,
}

impl Tree {
    fn insert(&mut self, key: Key, detail: Detail) {
        if let Some(by_place) = &mut self.by_place
            && let Some(due_ms) = by_place.insert(key.place, key.due_ms)
            && due_ms != key.due_ms
        {
            self.by_time.remove(&Key { due_ms, ..key });
        }
        self.by_time.insert(key, detail);
    }

    fn remove(&mut self, key: &Key) -> Option<Detail> {
        let detail = self.by_time.remove(key)?;
        if let Some(by_place) = &mut self.by_place {
            by_place.remove(&key.place);
        }
        Some(detail)
    }

    fn at(&self, place: u64) -> Option<Key> {
        let due_ms = *self.by_place.as_ref()?.get(&place)?;
        Some(Key { due_ms, place, owner: 0 })
    }
}

/// The table. See the module's page.
pub(crate) struct Due {
    trees: Mutex<[Tree; 3]>,
    woken: [Notify; 3],
    /// Held shared by changes and the appends that belong to them, exclusively by a snapshot.
    gate: RwLock<()>,
    changes: AtomicU64,
}

/// The right to change the table. Its holder appends what the change stands for before he lets go, and never waits.
pub(crate) struct Changing<'a> {
    due: &'a Due,
    _gate: RwLockReadGuard<'a, ()>,
}

/// Longest sleep, because the clock of the machine may be set while we sleep.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Entries looked at under one lock.
const STRETCH: usize = 4096;

fn trees() -> [Tree; 3] {
    [Tree::default(), Tree { by_place: Some(HashMap::default()), ..Tree::default() }, Tree::default()]
}

impl Default for Due {
    fn default() -> Due {
        Due {
            trees: Mutex::new(trees()),
            woken: Default::default(),
            gate: RwLock::default(),
            changes: AtomicU64::new(0),
        }
    }
}

impl Due {
    /// How many entries of a kind there are.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.trees.lock()[kind as usize].by_time.len()
    }

    /// Begins a change. Not to be nested.
    pub(crate) fn change(&self) -> Changing<'_> {
        Changing { due: self, _gate: self.gate.read() }
    }

    /// The first entries that are due at `now_ms`, at most `max`. They stay: who deals with one takes it out.
    pub(crate) fn due(&self, kind: Kind, now_ms: i64, max: usize) -> Vec<(Key, Detail)> {
        let trees = self.trees.lock();
        let due = trees[kind as usize].by_time.iter().take_while(|(key, _)| key.due_ms <= now_ms).take(max);
        due.map(|(key, detail)| (*key, *detail)).collect()
    }

    /// When the first entry of a kind is due.
    pub(crate) fn first(&self, kind: Kind) -> Option<i64> {
        self.trees.lock()[kind as usize].by_time.first_key_value().map(|(key, _)| key.due_ms)
    }

    /// How many entries of a kind each owner has.
    pub(crate) fn by_owner(&self, kind: Kind) -> HashMap<u32, u64> {
        let mut counts = HashMap::new();
        self.walk(kind, (Bound::Unbounded, Bound::Unbounded), |key, _| {
            *counts.entry(key.owner).or_default() += 1;
            ControlFlow::<()>::Continue(())
        });
        counts
    }

    /// Shows when each entry of a kind is due that is so before `until_ms`.
    pub(crate) fn each_until(&self, kind: Kind, until_ms: i64, mut show: impl FnMut(i64)) {
        let end = Bound::Excluded(Key { due_ms: until_ms, place: 0, owner: 0 });
        self.walk(kind, (Bound::Unbounded, end), |key, _| {
            show(key.due_ms);
            ControlFlow::<()>::Continue(())
        });
    }

    /// The first entry of one millisecond that satisfies `wanted`.
    pub(crate) fn find(&self, kind: Kind, due_ms: i64, wanted: impl Fn(&Key, &Detail) -> bool) -> Option<Key> {
        let first = Bound::Included(Key { due_ms, place: 0, owner: 0 });
        let last = Bound::Included(Key { due_ms, place: u64::MAX, owner: u32::MAX });
        self.walk(kind, (first, last), |key, detail| {
            if wanted(key, detail) { ControlFlow::Break(*key) } else { ControlFlow::Continue(()) }
        })
    }

    /// Shows entries in their order until one breaks it off, a stretch at a time so that nobody waits for long; what changes
    /// meanwhile may be shown or not.
    fn walk<B>(
        &self,
        kind: Kind,
        (mut from, end): (Bound<Key>, Bound<Key>),
        mut show: impl FnMut(&Key, &Detail) -> ControlFlow<B>,
    ) -> Option<B> {
        loop {
            let trees = self.trees.lock();
            let mut last = None;
            for (key, detail) in trees[kind as usize].by_time.range((from, end)).take(STRETCH) {
                if let ControlFlow::Break(found) = show(key, detail) {
                    return Some(found);
                }
                last = Some(*key);
            }
            from = Bound::Excluded(last?);
        }
    }

    /// Entries whose place lies before `place`, behind `after`, at most `max`; the second value is where to go on.
    /// Looks at a stretch only, so the answer may be empty before the end.
    pub(crate) fn before(
        &self,
        kind: Kind,
        place: u64,
        after: Option<Key>,
        max: usize,
    ) -> (Vec<(Key, Detail)>, Option<Key>) {
        let trees = self.trees.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        let mut last = None;
        for (key, detail) in trees[kind as usize].by_time.range((from, Bound::Unbounded)).take(STRETCH) {
            last = Some(*key);
            if key.place < place {
                found.push((*key, *detail));
                if found.len() == max {
                    break;
                }
            }
        }
        (found, last)
    }

    /// Returns when the first entry of a kind is due. One task waits for a kind. May be dropped at any time.
    pub(crate) async fn wait(&self, kind: Kind, clock: &dyn Clock) {
        loop {
            let first = {
                let mut trees = self.trees.lock();
                let tree = &mut trees[kind as usize];
                let first = tree.by_time.first_key_value().map(|(key, _)| key.due_ms);
                tree.sleeping_until = Some(first.unwrap_or(i64::MAX));
                first
            };
            // A wake-up between the look and this line is kept by `Notify`.
            let woken = self.woken[kind as usize].notified();
            match first.map(|due_ms| due_ms.saturating_sub(clock.now_ms())) {
                Some(..=0) => return,
                Some(left) => {
                    let _ = tokio::time::timeout(Duration::from_millis(left as u64).min(SLEEP_MAX), woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// Changes the details of those entries that are there, and returns them. Inside of a change.
    pub(crate) fn update(
        &self,
        kind: Kind,
        keys: impl Iterator<Item = Key>,
        change: impl Fn(&mut Detail),
    ) -> Vec<(Key, Detail)> {
        let tree = &mut self.trees.lock()[kind as usize];
        let there = keys.filter_map(|key| {
            let detail = tree.by_time.get_mut(&key)?;
            change(detail);
            Some((key, *detail))
        });
        there.collect()
    }

    /// Applies a change that the log holds. Only while the table is being made.
    pub(crate) fn replay(&self, change: DueChange) {
        let changing = self.change();
        for (kind, key) in change.removed {
            changing.remove(kind, &key);
        }
        for (kind, key, detail) in change.added {
            changing.insert(kind, key, detail);
        }
        for (kind, key, detail) in change.moved {
            if changing.remove_at(kind, key.place).is_some() {
                changing.insert(kind, key, detail);
            }
        }
    }

    /// Keeps the entries that satisfy `keep`. Only while the table is being made.
    pub(crate) fn retain(&self, kind: Kind, keep: impl Fn(&Key) -> bool) {
        let changing = self.change();
        let gone: Vec<Key> =
            self.trees.lock()[kind as usize].by_time.keys().filter(|key| !keep(key)).copied().collect();
        for key in &gone {
            changing.remove(kind, key);
        }
    }

    /// Changes since the table was made.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

impl Changing<'_> {
    /// Puts an entry in; in place of the one at its place, if the kind is looked up by place.
    pub(crate) fn insert(&self, kind: Kind, key: Key, detail: Detail) {
        self.due.changes.fetch_add(1, Ordering::Relaxed);
        let wake = {
            let tree = &mut self.due.trees.lock()[kind as usize];
            tree.insert(key, detail);
            tree.sleeping_until.take_if(|until| key.due_ms < *until).is_some()
        };
        if wake {
            self.due.woken[kind as usize].notify_one();
        }
    }

    /// Puts several entries in at once.
    pub(crate) fn insert_all(&self, kind: Kind, entries: impl ExactSizeIterator<Item = (Key, Detail)>) {
        self.due.changes.fetch_add(entries.len() as u64, Ordering::Relaxed);
        let wake = {
            let tree = &mut self.due.trees.lock()[kind as usize];
            let first = entries.map(|(key, detail)| {
                tree.insert(key, detail);
                key.due_ms
            });
            let first = first.min();
            tree.sleeping_until.take_if(|until| first.is_some_and(|first| first < *until)).is_some()
        };
        if wake {
            self.due.woken[kind as usize].notify_one();
        }
    }

    /// Takes an entry out. Of several who try, one gets it.
    pub(crate) fn remove(&self, kind: Kind, key: &Key) -> Option<Detail> {
        let detail = self.due.trees.lock()[kind as usize].remove(key)?;
        self.due.changes.fetch_add(1, Ordering::Relaxed);
        Some(detail)
    }

    /// The same by place.
    pub(crate) fn remove_at(&self, kind: Kind, place: u64) -> Option<(Key, Detail)> {
        let tree = &mut self.due.trees.lock()[kind as usize];
        let key = tree.at(place)?;
        let detail = tree.remove(&key)?;
        self.due.changes.fetch_add(1, Ordering::Relaxed);
        Some((key, detail))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicI64;

    use super::*;

    fn key(due_ms: i64, place: u64) -> Key {
        Key { due_ms, place, owner: 0 }
    }

    fn places(due: &Due, kind: Kind, now_ms: i64) -> Vec<u64> {
        due.due(kind, now_ms, 100).iter().map(|(key, _)| key.place).collect()
    }

    #[test]
    fn entries_come_in_the_order_of_time_and_place() {
        let due = Due::default();
        let change = due.change();
        for (due_ms, place) in [(5, 1), (3, 9), (3, 2), (7, 0)] {
            change.insert(Kind::Timed, key(due_ms, place), [0; 2]);
        }
        assert!(places(&due, Kind::Timed, 2).is_empty());
        assert_eq!(places(&due, Kind::Timed, 6), [2, 9, 1]);
        assert!(change.remove(Kind::Timed, &key(3, 2)).is_some());
        assert!(change.remove(Kind::Timed, &key(3, 2)).is_none());
        assert_eq!(places(&due, Kind::Timed, 6), [9, 1]);
        assert_eq!(due.first(Kind::Timed), Some(3));
        assert_eq!(due.find(Kind::Timed, 3, |key, _| key.place == 9), Some(key(3, 9)));
        assert_eq!(due.find(Kind::Timed, 3, |key, _| key.place == 1), None);
    }

    #[test]
    fn a_place_has_one_entry_where_it_is_looked_up() {
        let due = Due::default();
        let change = due.change();
        change.insert(Kind::Check, key(5, 1), [0; 2]);
        change.insert(Kind::Check, key(9, 1), [1, 0]);
        assert_eq!(due.len(Kind::Check), 1);
        assert!(places(&due, Kind::Check, 5).is_empty());
        assert_eq!(change.remove_at(Kind::Check, 1), Some((key(9, 1), [1, 0])));
        assert_eq!(change.remove_at(Kind::Check, 1), None);
    }

    /// Resident bytes of this process.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
    }

    /// Run it alone, optimised or not: `cargo test -p broker --lib bytes -- --ignored --nocapture --test-threads 1`.
    #[test]
    #[ignore = "measures the memory of the process"]
    fn an_entry_takes_less_than_100_bytes() {
        const ENTRIES: u64 = 300_000;
        // Memory that was freed would be counted as there.
        let mut kept = Vec::new();
        for (kind, spread) in [(Kind::Timed, 1), (Kind::Timed, 7_919), (Kind::Check, 1), (Kind::Check, 7_919)] {
            let due = Due::default();
            let before = resident();
            let change = due.change();
            (0..ENTRIES).for_each(|i| change.insert(kind, key((i * spread % ENTRIES) as i64, i), [0; 2]));
            let each = (resident() - before) as u64 / ENTRIES;
            drop(change);
            println!("{kind:?}, times {spread} apart: {each} bytes");
            assert!(each <= if kind == Kind::Timed { 100 } else { 130 });
            kept.push(due);
        }
        let begun = std::time::Instant::now();
        println!("{ENTRIES} entries copied for the file in {:?}", {
            kept[0].encode_for_tests();
            begun.elapsed()
        });
    }

    #[test]
    fn walking_by_place_visits_all() {
        let due = Due::default();
        let change = due.change();
        (0..10_000).for_each(|i| change.insert(Kind::Timed, key(i, 10_000 - i as u64), [0; 2]));
        let (mut seen, mut after) = (0, None);
        loop {
            let (found, last) = due.before(Kind::Timed, 5_001, after, 100);
            seen += found.len();
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        assert_eq!(seen, 5_000);
    }

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_an_earlier_entry() {
        let due = Arc::new(Due::default());
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        due.change().insert(Kind::Timed, key(i64::MAX, 1), [0; 2]);
        let waiter = tokio::spawn({
            let (due, clock) = (due.clone(), clock.clone());
            async move { due.wait(Kind::Timed, &*clock).await }
        });
        tokio::task::yield_now().await;
        due.change().insert(Kind::Timed, key(-1, 2), [0; 2]);
        waiter.await.unwrap();
    }
}
