//! Counters: totals since the start, and rates over the last minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

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

/// Samples of one total, a few seconds apart, over the longest window.
#[derive(Debug, Default)]
struct History(Mutex<Vec<(i64, u64)>>);

/// Source: `StoreStatsService` keeps 10 minutes; a sample each 10 s is exact enough for a rate.
const SAMPLES_MAX: usize = 61;

impl History {
    fn sample(&self, now_ms: i64, total: u64) {
        let mut samples = self.0.lock();
        if samples.len() == SAMPLES_MAX {
            samples.remove(0);
        }
        samples.push((now_ms, total));
    }

    /// Events a second between the newest sample and the one at least `window_ms` older, or the oldest.
    fn rate(&self, window_ms: i64) -> f64 {
        let samples = self.0.lock();
        let Some((now, total)) = samples.last().copied() else { return 0.0 };
        let old = samples.iter().rev().find(|(at, _)| now - at >= window_ms).or(samples.first());
        match old {
            Some((at, before)) if now > *at => (total - before) as f64 * 1000.0 / (now - at) as f64,
            _ => 0.0,
        }
    }
}

#[derive(Debug, Default)]
struct Meter {
    total: Total,
    history: History,
}

/// Events a second over the last 10, 60 and 600 seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates(pub [f64; 3]);

type Meters = papaya::HashMap<String, Arc<Meter>, RandomState>;

/// What the broker has done.
#[derive(Debug, Default)]
pub struct Stats {
    put: Meter,
    put_bytes: Total,
    get: Meter,
    get_bytes: Total,
    put_by_topic: Meters,
    get_by_group: Meters,
    back_by_group: Meters,
}

impl Stats {
    pub(crate) fn stored(&self, topic: &str, messages: usize, bytes: usize) {
        self.put.total.add(messages);
        self.put_bytes.add(bytes);
        count(&self.put_by_topic, topic, messages);
    }

    pub(crate) fn delivered(&self, topic: &str, group: &str, messages: usize, bytes: usize) {
        self.get.total.add(messages);
        self.get_bytes.add(bytes);
        count(&self.get_by_group, &[topic, group].join("@"), messages);
    }

    pub(crate) fn given_back(&self, group: &str, topic: &str) {
        count(&self.back_by_group, &[topic, group].join("@"), 1);
    }

    /// Takes a sample of every total; called about every ten seconds.
    pub(crate) fn sample(&self, now_ms: i64) {
        self.put.history.sample(now_ms, self.put.total.get());
        self.get.history.sample(now_ms, self.get.total.get());
        for meters in [&self.put_by_topic, &self.get_by_group, &self.back_by_group] {
            for meter in meters.pin().values() {
                meter.history.sample(now_ms, meter.total.get());
            }
        }
    }

    /// Messages stored and delivered, and their bytes: put, put bytes, get, get bytes.
    pub fn totals(&self) -> [u64; 4] {
        [self.put.total.get(), self.put_bytes.get(), self.get.total.get(), self.get_bytes.get()]
    }

    /// Messages stored a second.
    pub fn put_rates(&self) -> Rates {
        rates(&self.put)
    }

    /// Messages delivered a second.
    pub fn get_rates(&self) -> Rates {
        rates(&self.get)
    }

    /// Messages stored a second in a topic, over the last minute.
    pub fn topic_put_rate(&self, topic: &str) -> f64 {
        self.put_by_topic.pin().get(topic).map_or(0.0, |meter| meter.history.rate(60_000))
    }

    /// Messages delivered a second from a topic to a group, over the last minute.
    pub fn group_get_rate(&self, topic: &str, group: &str) -> f64 {
        self.get_by_group.pin().get(&[topic, group].join("@")).map_or(0.0, |meter| meter.history.rate(60_000))
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.put_by_topic.pin().remove(topic);
    }
}

fn rates(meter: &Meter) -> Rates {
    Rates([10_000, 60_000, 600_000].map(|window| meter.history.rate(window)))
}

fn count(meters: &Meters, key: &str, messages: usize) {
    let meters = meters.pin();
    match meters.get(key) {
        Some(meter) => meter.total.add(messages),
        None => meters.get_or_insert_with(key.to_owned(), Arc::default).total.add(messages),
    }
}
