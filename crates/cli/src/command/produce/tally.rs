//! Counts what was sent, shows it while it happens and sums it up.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::latency::Latencies;
use crate::output;

/// Errors printed one by one; more of them are only counted.
const ERRORS_SHOWN: u64 = 5;

pub(super) struct Tally {
    began: Instant,
    sent: u64,
    bytes: u64,
    failed: u64,
    latencies: Latencies,
    bar: ProgressBar,
}

impl Tally {
    /// `quiet` leaves the bar out, where lines are printed.
    pub(super) fn new(total: Option<u64>, quiet: bool) -> Tally {
        let bar = match total {
            _ if quiet => ProgressBar::hidden(),
            Some(total) => ProgressBar::new(total).with_style(style("{bar:30} {human_pos}/{human_len}  {rate}  {eta}")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {human_pos} sent  {rate}")),
        };
        let (sent, bytes, failed) = (0, 0, 0);
        Tally { began: Instant::now(), sent, bytes, failed, latencies: Latencies::default(), bar }
    }

    pub(super) fn sent(&mut self, bytes: usize, took: Duration) {
        self.sent += 1;
        self.bytes += bytes as u64;
        self.latencies.record(took);
        self.bar.inc(1);
    }

    pub(super) fn failed(&mut self, error: &str) {
        self.failed += 1;
        if self.failed <= ERRORS_SHOWN {
            self.bar.suspend(|| note(&format!("rocketmq: {error}")));
        }
    }

    pub(super) fn finish(&self, empty_lines: u64) {
        self.bar.finish_and_clear();
        if empty_lines > 0 {
            note(&format!(
                "{} empty lines passed over: a message has at least one byte",
                output::count(empty_lines as i64)
            ));
        }
        note(&self.summary(self.began.elapsed()));
    }

    fn summary(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(1e-6);
        let per_second = (self.sent as f64 / seconds).round() as i64;
        let mut text = format!(
            "sent {}, failed {} in {seconds:.2} s: {} messages/s, {}/s",
            output::count(self.sent as i64),
            output::count(self.failed as i64),
            output::count(per_second),
            output::bytes((self.bytes as f64 / seconds) as u64),
        );
        if let (Some(p50), Some(p99)) = (self.latencies.quantile(0.5), self.latencies.quantile(0.99)) {
            text += &format!(", p50 {}, p99 {}", milliseconds(p50), milliseconds(p99));
        }
        text
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is ours");
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // A bar without its rate is better than none.
        let _ = write!(out, "{}/s", output::count(state.per_sec() as i64));
    })
}

fn note(text: &str) {
    // Nobody is there to read that standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_counts_rates_and_latencies() {
        let mut tally = Tally::new(None, true);
        assert_eq!(tally.summary(Duration::from_secs(1)), "sent 0, failed 0 in 1.00 s: 0 messages/s, 0 B/s");
        for _ in 0..3000 {
            tally.sent(1024, Duration::from_millis(1));
        }
        tally.failed("no");
        let summary = tally.summary(Duration::from_secs(2));
        assert!(
            summary.starts_with("sent 3,000, failed 1 in 2.00 s: 1,500 messages/s, 1.5 MiB/s, p50 1."),
            "{summary}"
        );
    }
}
