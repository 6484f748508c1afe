//! When requests are meant to leave.

/// An open loop: request `n` is meant to leave at `begin + n / rate`, whatever became of those before it.
///
/// Latency counts from that intended time. A server that stalls for a second thus pays for every request that the
/// second should have seen, and not only for the one that happened to be on its way (coordinated omission).
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    begin: u64,
    end: u64,
    interval_ns: f64,
    taken: u64,
}

impl Pace {
    /// `rate` in requests per second; nothing is due at or after `end`.
    pub(crate) fn new(begin: u64, end: u64, rate: f64) -> Self {
        Pace { begin, end, interval_ns: 1e9 / rate, taken: 0 }
    }

    /// When the next request is meant to leave, `None` when there is no other.
    pub(crate) fn next(&self) -> Option<u64> {
        let at = self.begin + (self.taken as f64 * self.interval_ns) as u64;
        (at < self.end).then_some(at)
    }

    /// The intended time of a request that is due, which counts as sent from now on.
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        let at = self.next().filter(|at| *at <= now)?;
        self.taken += 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Recorder;

    const MS: u64 = 1_000_000;

    /// A server that answers within `service` but does nothing from `stall.0` to `stall.1`; one request at a time.
    fn latencies(rate: f64, service: u64, stall: (u64, u64)) -> Recorder {
        let mut pace = Pace::new(0, 1000 * MS, rate);
        let mut recorder = Recorder::new(0, 1000 * MS);
        let mut now = 0;
        while let Some(next) = pace.next() {
            now = now.max(next);
            let intended = pace.take(now).expect("is due");
            if now >= stall.0 && now < stall.1 {
                now = stall.1;
            }
            now += service;
            recorder.answered(intended, now);
        }
        recorder
    }

    #[test]
    fn every_request_that_a_stall_delayed_counts_its_whole_wait() {
        let smooth = latencies(1000.0, MS / 10, (0, 0)).latency;
        assert!(smooth.max() <= MS / 10 + 1000, "{}", smooth.max());

        // Half of a second without answers at 1000/s: 500 requests were meant to leave in it, evenly, so that half of
        // all is late and the median of the late ones is near 250 ms. A closed loop would have seen a single one.
        let stalled = latencies(1000.0, MS / 100, (200 * MS, 700 * MS)).latency;
        let late = stalled.len() - stalled.count_between(0, MS);
        assert!((495..=515).contains(&late), "{late}");
        assert!((495 * MS..=505 * MS).contains(&stalled.max()), "{}", stalled.max());
        let p75 = stalled.value_at_quantile(0.75);
        assert!((240 * MS..=260 * MS).contains(&p75), "{p75}");
    }

    #[test]
    fn nothing_is_due_before_its_time_or_after_the_end() {
        let mut pace = Pace::new(5, 35, 1e8);
        assert_eq!(pace.take(4), None);
        assert_eq!((pace.take(16), pace.take(16), pace.take(16)), (Some(5), Some(15), None));
        assert_eq!((pace.take(99), pace.take(99), pace.next()), (Some(25), None, None));
    }
}
