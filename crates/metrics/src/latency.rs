//! How long requests take, from the first look at them to the answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::exposition::Exposition;

/// Upper bounds of the times that are told apart, in milliseconds; longer ones are the last.
/// Source: `RemotingMetricsManager`, `rocketmq_rpc_latency`.
const BOUNDS_MS: [u64; 9] = [1, 3, 5, 7, 10, 100, 1000, 2000, 3000];

/// Counts of the times up to each bound and above the one before, and of longer ones.
pub type Latencies = [u64; BOUNDS_MS.len() + 1];

/// The times of one kind of request.
#[derive(Debug, Default)]
pub struct Times {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

impl Times {
    /// One more.
    pub fn add(&self, took: Duration) {
        self.add_many(1, took);
    }

    /// So many more that took the same time.
    pub fn add_many(&self, count: u64, took: Duration) {
        let at = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.counts[at].fetch_add(count, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64 * count, Ordering::Relaxed);
    }

    /// All since the start, and their sum in milliseconds.
    pub fn all(&self) -> (Latencies, f64) {
        let counts = std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed));
        (counts, self.micros.load(Ordering::Relaxed) as f64 / 1000.0)
    }
}

/// A kind of request as metrics name it, and how long those took.
pub struct Requests<'r> {
    /// The wire, in words.
    pub protocol: &'r str,
    /// What was asked.
    pub request: &'r str,
    /// Code of the answers.
    pub response: &'r str,
    /// They may have waited for messages.
    pub polling: bool,
    /// Nobody wants an answer.
    pub oneway: bool,
    /// As [`Times::all`] has them.
    pub times: (Latencies, f64),
}

/// Shows requests under RocketMQ's name for them.
pub fn requests(out: &mut Exposition<'_>, all: &[Requests<'_>]) {
    let all = all.iter().map(|kind| {
        let labels = vec![
            ("protocol_type", kind.protocol),
            ("request_code", kind.request),
            ("response_code", kind.response),
            ("is_long_polling", if kind.polling { "true" } else { "false" }),
            ("result", if kind.oneway { "oneway" } else { "success" }),
        ];
        (labels, kind.times.0, kind.times.1)
    });
    let help = "Time from a request to its answer, in milliseconds.";
    out.histogram(("rocketmq_rpc_latency", "milliseconds"), help, &BOUNDS_MS, &all.collect::<Vec<_>>());
}
