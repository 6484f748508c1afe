//! What one thread saw.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest latency told apart, in nanoseconds.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// Counts and latencies of the measured interval.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    from: u64,
    to: u64,
    /// From the intended time of a request to its answer, nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// From the stamp of a message to its arrival, nanoseconds.
    pub(crate) delivery: Histogram<u64>,
    /// From the intended time of a request of an open loop to when it left, nanoseconds: what this program or a full
    /// window adds to the latency.
    pub(crate) late: Histogram<u64>,
    /// Answers.
    pub(crate) requests: u64,
    /// Messages sent and confirmed, or received.
    pub(crate) messages: u64,
    /// Bytes of bodies sent, or of records received.
    pub(crate) bytes: u64,
    /// Answers that are not a success, by code.
    pub(crate) errors: BTreeMap<i32, u64>,
    /// Other trouble, by its name.
    pub(crate) trouble: BTreeMap<&'static str, u64>,
    /// The same of the whole run, for the live line.
    pub(crate) messages_ever: u64,
    pub(crate) bytes_ever: u64,
    pub(crate) errors_ever: u64,
}

impl Recorder {
    /// What happens in `from..to` counts.
    pub(crate) fn new(from: u64, to: u64) -> Self {
        // The lowest value told apart is 1 us and three digits are kept, which is more than a wake-up is steady.
        let histogram = Histogram::new_with_bounds(1000, LATENCY_MAX_NS, 3).expect("the bounds are right");
        Recorder {
            from,
            to,
            latency: histogram.clone(),
            delivery: histogram.clone(),
            late: histogram,
            requests: 0,
            messages: 0,
            bytes: 0,
            errors: BTreeMap::new(),
            trouble: BTreeMap::new(),
            messages_ever: 0,
            bytes_ever: 0,
            errors_ever: 0,
        }
    }

    /// A request of an open loop leaves.
    pub(crate) fn left(&mut self, intended: u64, now: u64) {
        if self.counts(intended) {
            self.late.saturating_record(now.saturating_sub(intended));
        }
    }

    /// An answer. It counts for throughput by when it came, for latency by when its request was meant to leave.
    pub(crate) fn answered(&mut self, intended: u64, now: u64) {
        if self.counts(now) {
            self.requests += 1;
        }
        if self.counts(intended) {
            self.latency.saturating_record(now.saturating_sub(intended));
        }
    }

    /// A request that never was answered: its latency is at least the time until now.
    pub(crate) fn unanswered(&mut self, intended: u64, now: u64) {
        if self.counts(intended) {
            self.latency.saturating_record(now.saturating_sub(intended));
            self.trouble("unanswered");
        }
    }

    /// Messages confirmed or received.
    pub(crate) fn messages(&mut self, count: u64, bytes: u64, now: u64) {
        self.messages_ever += count;
        self.bytes_ever += bytes;
        if self.counts(now) {
            self.messages += count;
            self.bytes += bytes;
        }
    }

    /// A message arrived that was stamped at `stamped`.
    pub(crate) fn delivered(&mut self, stamped: u64, now: u64) {
        if self.counts(stamped) {
            self.delivery.saturating_record(now.saturating_sub(stamped));
        }
    }

    /// An answer with this code.
    pub(crate) fn refused(&mut self, code: i32) {
        self.errors_ever += 1;
        *self.errors.entry(code).or_default() += 1;
    }

    /// Something that has no code.
    pub(crate) fn trouble(&mut self, what: &'static str) {
        self.errors_ever += 1;
        *self.trouble.entry(what).or_default() += 1;
    }

    /// Ends the measured interval now: the work was counted and is done.
    pub(crate) fn cut(&mut self, now: u64) {
        self.to = self.to.min(now);
    }

    pub(crate) fn to(&self) -> u64 {
        self.to
    }

    pub(crate) fn add(&mut self, other: &Recorder) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.latency.add(&other.latency).expect("the bounds are the same");
        self.delivery.add(&other.delivery).expect("the bounds are the same");
        self.late.add(&other.late).expect("the bounds are the same");
        self.requests += other.requests;
        self.messages += other.messages;
        self.bytes += other.bytes;
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        for (what, count) in &other.trouble {
            *self.trouble.entry(what).or_default() += count;
        }
    }

    fn counts(&self, at: u64) -> bool {
        (self.from..self.to).contains(&at)
    }
}
