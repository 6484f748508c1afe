//! How long requests take, from the first look at them to the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use protocol::code::{self, Code};
use protocol::request::{self as r, Request};

/// Upper bounds of the times that are told apart, in milliseconds; longer ones are the last.
/// Source: `RemotingMetricsManager`, `rocketmq_rpc_latency`.
pub(crate) const BOUNDS_MS: [u64; 9] = [1, 3, 5, 7, 10, 100, 1000, 2000, 3000];

/// Counts of the times up to each bound and above the one before, and of longer ones.
pub(crate) type Counts = [u64; BOUNDS_MS.len() + 1];

/// What is counted apart. There are as many as there are requests, each with the few codes it is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// Code of the request; -1 for all that this broker does not know, so that nobody can make more of them.
    pub(crate) request: i32,
    pub(crate) response: Code,
    /// It may have waited for messages.
    pub(crate) polling: bool,
    pub(crate) oneway: bool,
}

#[derive(Debug, Default)]
struct Times {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
}

impl Times {
    fn add(&self, took: Duration) {
        let ms = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.counts[ms].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

/// The times of all requests since the start.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// The hot path finds its own without a lock: SEND_MESSAGE_V2 that went well.
    sends: Times,
    others: RwLock<BTreeMap<Kind, Arc<Times>>>,
}

const SEND: Kind = Kind { request: r::SendMessageV2::CODE, response: code::SUCCESS, polling: false, oneway: false };

impl Latencies {
    pub(crate) fn add(&self, mut kind: Kind, took: Duration) {
        if kind == SEND {
            return self.sends.add(took);
        }
        if let Some(times) = self.others.read().get(&kind) {
            return times.add(took);
        }
        if r::table().binary_search_by_key(&kind.request, |(code, _)| *code).is_err() {
            kind.request = -1;
        }
        self.others.write().entry(kind).or_default().add(took);
    }

    /// Everything, with sums in milliseconds.
    pub(crate) fn all(&self) -> Vec<(Kind, Counts, f64)> {
        let shown = |kind: Kind, times: &Times| {
            let counts = std::array::from_fn(|at| times.counts[at].load(Ordering::Relaxed));
            (kind, counts, times.micros.load(Ordering::Relaxed) as f64 / 1000.0)
        };
        let others = self.others.read();
        let mut all: Vec<_> = others.iter().map(|(kind, times)| shown(*kind, times)).collect();
        all.push(shown(SEND, &self.sends));
        all.retain(|(_, counts, _)| counts.iter().any(|count| *count > 0));
        all
    }
}

/// Whether a request may wait for messages. Source: `RemotingMetricsConstant.LABEL_IS_LONG_POLLING`, which the processors of
/// pulls, pops and notifications set when they suspend one.
pub(crate) fn may_poll(request: i32) -> bool {
    matches!(
        request,
        r::PullMessage::CODE
            | r::LitePullMessage::CODE
            | r::PopMessage::CODE
            | r::PopLiteMessage::CODE
            | r::Notification::CODE
    )
}

/// Name of a request as metrics have it.
pub(crate) fn request_name(request: i32) -> String {
    let table = r::table();
    let found = table.binary_search_by_key(&request, |(code, _)| *code);
    found.map_or_else(|_| "unknown".into(), |at| table[at].1.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_apart_and_unknown_requests_are_one_kind() {
        let latencies = Latencies::default();
        latencies.add(SEND, Duration::from_micros(400));
        latencies.add(SEND, Duration::from_millis(1));
        latencies.add(SEND, Duration::from_secs(9));
        for request in 60_000..60_100 {
            latencies.add(Kind { request, ..SEND }, Duration::from_millis(8));
        }
        let all = latencies.all();
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!((all[0].0.request, all[0].1[4]), (-1, 100));
        assert_eq!((all[1].1, all[1].2), ([2, 0, 0, 0, 0, 0, 0, 0, 0, 1], 9_001.4));
        assert_eq!([request_name(310), request_name(-1)], ["send_message_v2", "unknown"]);
    }
}
