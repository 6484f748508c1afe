//! How long requests take, from the first look at them to the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Exposition, Requests, Times};
use parking_lot::RwLock;
use protocol::code::{self, Code};
use protocol::request::{self as r, Request};

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

/// The times of all requests since the start.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// The hot path finds its own without a lock: SEND_MESSAGE_V2 that went well.
    sends: Times,
    others: RwLock<BTreeMap<Kind, Arc<Times>>>,
}

const SEND: Kind = Kind { request: r::SendMessageV2::CODE, response: code::SUCCESS, polling: false, oneway: false };

impl Latencies {
    pub(crate) fn add(&self, kind: Kind, took: Duration) {
        self.add_many(kind, 1, took);
    }

    fn add_many(&self, mut kind: Kind, count: u64, took: Duration) {
        if kind == SEND {
            return self.sends.add_many(count, took);
        }
        if let Some(times) = self.others.read().get(&kind) {
            return times.add_many(count, took);
        }
        if r::table().binary_search_by_key(&kind.request, |(code, _)| *code).is_err() {
            kind.request = -1;
        }
        self.others.write().entry(kind).or_default().add_many(count, took);
    }

    fn all(&self) -> Vec<(Kind, (metrics::Latencies, f64))> {
        let others = self.others.read();
        let mut all: Vec<_> = others.iter().map(|(kind, times)| (*kind, times.all())).collect();
        all.push((SEND, self.sends.all()));
        all.retain(|(_, (counts, _))| counts.iter().any(|count| *count > 0));
        all
    }

    /// Shows everything.
    pub(crate) fn show(&self, out: &mut Exposition<'_>) {
        let named = self.all().into_iter().map(|(kind, times)| {
            let response = kind.response.name().unwrap_or("OTHER").to_lowercase();
            (kind, request_name(kind.request), response, times)
        });
        let named: Vec<_> = named.collect();
        let all = named.iter().map(|(kind, request, response, times)| Requests {
            protocol: "remoting",
            request,
            response,
            polling: kind.polling,
            oneway: kind.oneway,
            times: *times,
        });
        metrics::requests(out, &all.collect::<Vec<_>>());
    }
}

/// Adds times, those that follow each other and are the same as one: requests that were read together are often
/// answered together.
pub(crate) struct Run<'l> {
    latencies: &'l Latencies,
    same: Option<(Kind, Duration)>,
    count: u64,
}

impl<'l> Run<'l> {
    pub(crate) fn new(latencies: &'l Latencies) -> Run<'l> {
        Run { latencies, same: None, count: 0 }
    }

    pub(crate) fn add(&mut self, kind: Kind, took: Duration) {
        if self.same != Some((kind, took)) {
            self.finish();
            self.same = Some((kind, took));
        }
        self.count += 1;
    }

    fn finish(&mut self) {
        let count = std::mem::take(&mut self.count);
        if let Some((kind, took)) = self.same.take() {
            self.latencies.add_many(kind, count, took);
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.finish();
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
fn request_name(request: i32) -> String {
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
        assert_eq!((all[0].0.request, all[0].1.0[4]), (-1, 100));
        assert_eq!(all[1].1, ([2, 0, 0, 0, 0, 0, 0, 0, 0, 1], 9_001.4));
        assert_eq!([request_name(310), request_name(-1)], ["send_message_v2", "unknown"]);
    }
}
