//! A histogram of durations in constant memory.

use std::time::Duration;

/// Each power of two of microseconds is cut into this many buckets, so a quantile is off by 6 % at most.
const STEPS: usize = 16;
/// 2^36 microseconds are 19 hours.
const POWERS: usize = 36;

/// How often which duration was seen.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { buckets: vec![0; POWERS * STEPS], total: 0 }
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, duration: Duration) {
        self.buckets[bucket(duration.as_micros() as u64)] += 1;
        self.total += 1;
    }

    /// The duration that this share of all does not exceed; `None` before the first.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(upper_bound(at)))
    }
}

/// Durations below `STEPS` have a bucket each; above, the leading bit and the four behind it choose.
fn bucket(micros: u64) -> usize {
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let power = micros.ilog2() as usize;
    let step = (micros >> (power - 4)) as usize & (STEPS - 1);
    ((power - 3) * STEPS + step).min(POWERS * STEPS - 1)
}

fn upper_bound(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let (power, step) = (bucket / STEPS + 3, bucket % STEPS);
    (((STEPS + step + 1) as u64) << (power - 4)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close_from_above() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for micros in 1..=10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = latencies.quantile(share).unwrap().as_micros() as f64;
            assert!((exact..exact * 1.07).contains(&found), "{share}: {found}");
        }
    }

    #[test]
    fn every_duration_has_a_bucket_that_holds_it() {
        let mut last = 0;
        for micros in (0..100_000).chain([1 << 30, 1 << 35, u64::MAX]) {
            let at = bucket(micros);
            assert!(at >= last || micros == 0);
            last = at;
            assert!(micros >= 1 << 36 || upper_bound(at) >= micros, "{micros}");
        }
    }
}
