//! Counters: totals since the start, and rates over the last minute, hour and day.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use store::Appended;

use crate::Topic;

/// A total that only rises.
#[derive(Debug, Default)]
struct Total(AtomicU64);

impl Total {
    fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Messages and their bytes, at a time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: i64,
    messages: u64,
    bytes: u64,
}

/// Samples at least so far apart, and so many of them. Source: `StatsItem`: one each 10 seconds for the minute, one
/// each 10 minutes for the hour, one each hour for the day.
const PERIODS: [(i64, usize); 3] = [(0, 7), (600_000, 7), (3_600_000, 25)];
/// Samples of the broker as a whole, which also has a rate over ten minutes.
const BROKER_SAMPLES: usize = 61;

/// Samples of one meter: of the last minute, the last hour, the last day.
#[derive(Debug, Default)]
struct History(Mutex<[VecDeque<Sample>; 3]>);

impl History {
    /// `before_ms` is the time of the sample that was taken before the meter existed, when it was 0.
    fn sample(&self, sample: Sample, before_ms: i64, most: usize) {
        let mut rings = self.0.lock();
        for (ring, (apart_ms, kept)) in rings.iter_mut().zip(PERIODS) {
            let kept = if apart_ms == 0 { kept.max(most) } else { kept };
            if ring.is_empty() {
                ring.push_back(Sample { at_ms: before_ms, messages: 0, bytes: 0 });
            }
            if ring.back().is_some_and(|last| sample.at_ms - last.at_ms < apart_ms) {
                continue;
            }
            if ring.len() >= kept {
                ring.pop_front();
            }
            ring.push_back(sample);
        }
    }

    /// Events a second between the newest sample and the one at least `window_ms` older, or the oldest.
    fn rate(&self, window_ms: i64) -> f64 {
        let rings = self.0.lock();
        let Some(newest) = rings[0].back() else { return 0.0 };
        let old = rings[0].iter().rev().find(|old| newest.at_ms - old.at_ms >= window_ms).or(rings[0].front());
        old.map_or(0.0, |old| Window::between(old, newest, |sample| sample.messages).per_second)
    }

    fn windows(&self, of: impl Fn(&Sample) -> u64) -> [Window; 3] {
        let rings = self.0.lock();
        [0, 1, 2].map(|at| match (rings[at].front(), rings[at].back()) {
            (Some(first), Some(last)) => {
                let first = if at == 0 { rings[0].iter().rev().nth(6).unwrap_or(first) } else { first };
                Window::between(first, last, &of)
            }
            _ => Window::default(),
        })
    }
}

/// What happened in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    /// How much.
    pub sum: u64,
    /// How much a second.
    pub per_second: f64,
}

impl Window {
    fn between(first: &Sample, last: &Sample, of: impl Fn(&Sample) -> u64) -> Window {
        let sum = of(last) - of(first);
        let elapsed_ms = last.at_ms - first.at_ms;
        Window { sum, per_second: if elapsed_ms > 0 { sum as f64 * 1000.0 / elapsed_ms as f64 } else { 0.0 } }
    }
}

/// Upper bounds of the sizes that are told apart, in bytes; larger ones are the last. Source: `BrokerMetricsManager`.
pub const SIZE_BOUNDS: [u64; 6] = [1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];

/// The same of how long transactions took until their commit, in seconds. Source: `BrokerMetricsManager`.
pub const COMMIT_BOUNDS_S: [u64; 6] = [5, 60, 600, 3600, 43_200, 86_400];

/// The same of how long messages are to wait for their time, in seconds. Source: `DefaultStoreMetricsManager`.
pub const DELAY_BOUNDS_S: [u64; 6] = [60, 600, 3600, 43_200, 86_400, 259_200];

/// How many figures were up to each of some bounds and above the one before, and how many were larger.
pub type Spread = [u64; SIZE_BOUNDS.len() + 1];

/// What was counted under one name.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    messages: Total,
    bytes: Total,
    /// Of sizes, or of the seconds that are counted in the place of bytes.
    spread: [Total; SIZE_BOUNDS.len() + 1],
    history: History,
}

impl Meter {
    fn add(&self, messages: usize, bytes: usize) {
        self.messages.add(messages);
        self.bytes.add(bytes);
    }

    /// Of a batch only the mean is known, as in Java.
    fn spread(&self, bounds: &[u64; 6], messages: usize, sum: usize) {
        let mean = (sum / messages.max(1)) as u64;
        self.spread[bounds.partition_point(|bound| *bound < mean)].add(messages);
    }

    fn count(&self) -> Count {
        Count { messages: self.messages.get(), bytes: self.bytes.get() }
    }

    fn sample(&self, at_ms: i64, before_ms: i64, most: usize) {
        let Count { messages, bytes } = self.count();
        self.history.sample(Sample { at_ms, messages, bytes }, before_ms, most);
    }
}

/// Messages and their bytes since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Events a second over the last 10, 60 and 600 seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates(pub [f64; 3]);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Messages stored, by topic.
    Put,
    /// Messages delivered, by topic and group.
    Get,
    /// Messages given back, by topic and group.
    GivenBack,
    /// Messages that became dead letters, by topic and group.
    Dead,
    /// Transactions that were committed, by topic; for bytes, the seconds they took.
    Committed,
    /// Transactions that were rolled back, by topic.
    RolledBack,
    /// Messages stored to wait for a time of their own, by topic; for bytes, the seconds they are to wait.
    Timed,
    /// Those of them that were delivered, by topic.
    Fired,
}

type Meters = papaya::HashMap<String, Arc<Meter>, RandomState>;

/// What the broker has done.
#[derive(Debug, Default)]
pub struct Stats {
    put: Meter,
    get: Meter,
    /// By topic, or by `topic@group`, in the order of [`Counted`].
    by_name: [Meters; 8],
    sampled_ms: AtomicI64,
}

impl Stats {
    /// Bytes are those of the records, as in Java.
    pub(crate) fn stored(&self, topic: &Topic, messages: usize, appended: &Appended) {
        let bytes = (appended.end.0 - appended.log_offset.0) as usize;
        self.put(topic.puts(self), messages, bytes);
    }

    fn put(&self, topic: &Meter, messages: usize, bytes: usize) {
        self.put.add(messages, bytes);
        topic.add(messages, bytes);
        topic.spread(&SIZE_BOUNDS, messages, bytes);
    }

    /// The meter of what is stored in a topic.
    pub(crate) fn puts_of(&self, topic: &str) -> Arc<Meter> {
        self.by_name[Counted::Put as usize].pin().get_or_insert_with(topic.to_owned(), Arc::default).clone()
    }

    pub(crate) fn delivered(&self, topic: &str, group: &str, messages: usize, bytes: usize) {
        self.get.add(messages, bytes);
        self.count(Counted::Get, &[topic, group].join("@"), messages, bytes);
    }

    pub(crate) fn given_back(&self, group: &str, topic: &str, bytes: usize) {
        self.count(Counted::GivenBack, &[topic, group].join("@"), 1, bytes);
    }

    pub(crate) fn dead(&self, group: &str, topic: &str, bytes: usize) {
        self.count(Counted::Dead, &[topic, group].join("@"), 1, bytes);
    }

    /// A transaction was committed after so many seconds.
    pub(crate) fn committed(&self, topic: &str, seconds: usize) {
        self.took(Counted::Committed, &COMMIT_BOUNDS_S, topic, seconds);
    }

    pub(crate) fn rolled_back(&self, topic: &str) {
        self.count(Counted::RolledBack, topic, 1, 0);
    }

    /// A message is to wait for so many seconds.
    pub(crate) fn timed(&self, topic: &str, seconds: usize) {
        self.took(Counted::Timed, &DELAY_BOUNDS_S, topic, seconds);
    }

    pub(crate) fn fired(&self, topic: &str) {
        self.count(Counted::Fired, topic, 1, 0);
    }

    fn took(&self, what: Counted, bounds: &[u64; 6], topic: &str, seconds: usize) {
        self.meter(what, topic, |meter| {
            meter.add(1, seconds);
            meter.spread(bounds, 1, seconds);
        });
    }

    fn count(&self, what: Counted, key: &str, messages: usize, bytes: usize) {
        self.meter(what, key, |meter| meter.add(messages, bytes));
    }

    fn meter(&self, what: Counted, key: &str, add: impl FnOnce(&Meter)) {
        let meters = self.by_name[what as usize].pin();
        match meters.get(key) {
            Some(meter) => add(meter),
            None => add(meters.get_or_insert_with(key.to_owned(), Arc::default)),
        }
    }

    /// Takes a sample of every total; called about every ten seconds.
    pub(crate) fn sample(&self, now_ms: i64) {
        let before_ms = match self.sampled_ms.swap(now_ms, Ordering::Relaxed) {
            0 => now_ms,
            before_ms => before_ms,
        };
        self.put.sample(now_ms, before_ms, BROKER_SAMPLES);
        self.get.sample(now_ms, before_ms, BROKER_SAMPLES);
        for meters in &self.by_name {
            for meter in meters.pin().values() {
                meter.sample(now_ms, before_ms, 0);
            }
        }
    }

    /// Messages stored, and delivered.
    pub fn totals(&self) -> [Count; 2] {
        [self.put.count(), self.get.count()]
    }

    /// Messages stored a second.
    pub fn put_rates(&self) -> Rates {
        rates(&self.put)
    }

    /// Messages delivered a second.
    pub fn get_rates(&self) -> Rates {
        rates(&self.get)
    }

    /// Messages stored, and delivered, in the last minute, hour and day.
    pub fn broker_windows(&self) -> [[Window; 3]; 2] {
        [&self.put, &self.get].map(|meter| meter.history.windows(|sample| sample.messages))
    }

    /// The last minute, hour and day of a topic, or of a `topic@group`: messages, or bytes. `None` when nothing was
    /// counted under this name.
    pub fn windows(&self, what: Counted, name: &str, bytes: bool) -> Option<[Window; 3]> {
        let of = |sample: &Sample| if bytes { sample.bytes } else { sample.messages };
        Some(self.by_name[what as usize].pin().get(name)?.history.windows(of))
    }

    /// Shows every name under which something was counted, and how much since the start.
    pub fn each(&self, what: Counted, mut show: impl FnMut(&str, Count)) {
        self.by_name[what as usize].pin().iter().for_each(|(name, meter)| show(name, meter.count()));
    }

    /// Shows for every topic how what was counted spreads since the start, and its sum: the bytes of [`Counted::Put`]
    /// over [`SIZE_BOUNDS`], the seconds of [`Counted::Committed`] and [`Counted::Timed`] over theirs.
    pub fn each_spread(&self, what: Counted, mut show: impl FnMut(&str, Spread, u64)) {
        for (name, meter) in &self.by_name[what as usize].pin() {
            show(name, std::array::from_fn(|at| meter.spread[at].get()), meter.bytes.get());
        }
    }

    /// Messages stored a second in a topic, over the last minute.
    pub fn topic_put_rate(&self, topic: &str) -> f64 {
        self.rate(Counted::Put, topic)
    }

    /// Messages delivered a second from a topic to a group, over the last minute.
    pub fn group_get_rate(&self, topic: &str, group: &str) -> f64 {
        self.rate(Counted::Get, &[topic, group].join("@"))
    }

    fn rate(&self, what: Counted, name: &str) -> f64 {
        self.by_name[what as usize].pin().get(name).map_or(0.0, |meter| meter.history.rate(60_000))
    }

    /// Forgets a deleted topic, with what its groups did.
    pub(crate) fn forget_topic(&self, topic: &str) {
        let is_its = |name: &str| name.split('@').next() == Some(topic);
        self.by_name.iter().for_each(|meters| meters.pin().retain(|name, _| !is_its(name)));
    }

    /// Forgets a deleted group.
    pub(crate) fn forget_group(&self, group: &str) {
        let is_its = |name: &str| name.split_once('@').is_some_and(|(_, of)| of == group);
        self.by_name.iter().for_each(|meters| meters.pin().retain(|name, _| !is_its(name)));
    }
}

fn rates(meter: &Meter) -> Rates {
    Rates([10_000, 60_000, 600_000].map(|window| meter.history.rate(window)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_a_minute_an_hour_and_a_day_back() {
        let stats = Stats::default();
        stats.sample(1_000_000);
        let mut now_ms = 1_000_000;
        // One message a second for two days; the first falls between two samples.
        for _ in 0..2 * 86_400 / 10 {
            now_ms += 10_000;
            stats.put(&stats.puts_of("T"), 10, 1000);
            stats.sample(now_ms);
        }
        let [minute, hour, day] = stats.windows(Counted::Put, "T", false).unwrap();
        assert_eq!((minute.sum, hour.sum, day.sum), (60, 3600, 86_400));
        assert!([minute, hour, day].iter().all(|window| (window.per_second - 1.0).abs() < 1e-9));
        assert_eq!(stats.windows(Counted::Put, "T", true).unwrap()[0].sum, 6000);
        assert_eq!(stats.windows(Counted::Put, "other", false), None);
        assert_eq!(stats.put_rates().0, [1.0, 1.0, 1.0]);
    }

    #[test]
    fn sizes_are_told_apart() {
        let stats = Stats::default();
        for (messages, bytes) in [(1, 1), (1, 1024), (1, 1025), (10, 5000), (1, 5 << 20)] {
            stats.put(&stats.puts_of("T"), messages, bytes);
        }
        let mut shown = Vec::new();
        stats.each_spread(Counted::Put, |name, sizes, bytes| shown.push((name.to_owned(), sizes, bytes)));
        let bytes = 1 + 1024 + 1025 + 5000 + (5 << 20);
        assert_eq!(shown, [("T".to_owned(), [12, 1, 0, 0, 0, 0, 1], bytes)]);
    }

    #[test]
    fn times_are_told_apart_and_forgotten_with_their_topic() {
        let stats = Stats::default();
        for seconds in [1, 5, 6, 100_000] {
            stats.committed("T", seconds);
        }
        stats.timed("U", 259_200);
        let shown = |what| {
            let mut shown = Vec::new();
            stats.each_spread(what, |name, spread, seconds| shown.push((name.to_owned(), spread, seconds)));
            shown
        };
        assert_eq!(shown(Counted::Committed), [("T".to_owned(), [2, 1, 0, 0, 0, 0, 1], 100_012)]);
        assert_eq!(shown(Counted::Timed), [("U".to_owned(), [0, 0, 0, 0, 0, 1, 0], 259_200)]);
        stats.forget_topic("T");
        assert_eq!(shown(Counted::Committed), []);
    }

    #[test]
    fn what_came_before_the_first_sample_counts() {
        let stats = Stats::default();
        stats.sample(10_000);
        stats.delivered("T", "G", 5, 50);
        stats.sample(20_000);
        let [minute, ..] = stats.windows(Counted::Get, "T@G", false).unwrap();
        assert_eq!(minute, Window { sum: 5, per_second: 0.5 });
        stats.forget_group("G");
        assert_eq!(stats.windows(Counted::Get, "T@G", false), None);
    }
}
