//! What is told at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use protocol::code::Code;
use serde::Serialize;

use crate::process::Memory;
use crate::record::Recorder;

/// The result of one measurement. Times are in milliseconds unless the name says otherwise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// What was measured: `send`, `pull` and so on.
    pub(crate) what: String,
    /// The load in words.
    pub(crate) load: String,
    /// Length of the measured interval.
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) messages: u64,
    pub(crate) messages_per_second: f64,
    /// Million bytes of bodies sent, or of records received, in a second.
    pub(crate) mb_per_second: f64,
    /// From the intended time of a request to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<Latency>,
    /// From the intended time of a send to the arrival at a consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_ms: Option<Latency>,
    /// Of an open loop: from the intended time of a request to when it left. A part of the latency, and the fault of
    /// this program's machine, unless the window was full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) late_ms: Option<Latency>,
    /// Answers without success, by code and name; `unanswered` and the like have no code.
    pub(crate) errors: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerUse>,
    pub(crate) load_program: Cpu,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p999: f64,
    #[serde(rename = "p99.99")]
    pub(crate) p9999: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cpu {
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_us_per_message: f64,
    pub(crate) messages_per_cpu_second: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ServerUse {
    #[serde(flatten)]
    pub(crate) cpu: Cpu,
    pub(crate) resident_bytes: u64,
    /// Since the server began.
    pub(crate) resident_peak_bytes: u64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: ms(histogram.max()),
            mean: histogram.mean() / 1e6,
        })
    }
}

impl Cpu {
    pub(crate) fn of(seconds: f64, messages: u64) -> Cpu {
        let (messages, ratio) = (messages as f64, |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 });
        Cpu {
            cpu_seconds: seconds,
            cpu_us_per_message: ratio(seconds * 1e6, messages),
            messages_per_cpu_second: ratio(messages, seconds),
        }
    }
}

impl Report {
    /// `cpu` and `server` are what the load program and the server used in these seconds.
    pub(crate) fn new(
        (what, load): (&str, String),
        recorder: &Recorder,
        seconds: f64,
        cpu: f64,
        server: Option<(f64, Memory)>,
    ) -> Report {
        let messages = recorder.messages;
        let mut errors: BTreeMap<String, u64> =
            recorder.errors.iter().map(|(code, count)| (Code(*code).to_string(), *count)).collect();
        errors.extend(recorder.trouble.iter().map(|(what, count)| ((*what).to_owned(), *count)));
        Report {
            what: what.to_owned(),
            load,
            seconds,
            requests: recorder.requests,
            messages,
            messages_per_second: messages as f64 / seconds,
            mb_per_second: recorder.bytes as f64 / 1e6 / seconds,
            latency_ms: Latency::of(&recorder.latency),
            delivery_ms: Latency::of(&recorder.delivery),
            late_ms: Latency::of(&recorder.late),
            errors,
            server: server.map(|(cpu, memory)| ServerUse {
                cpu: Cpu::of(cpu, messages),
                resident_bytes: memory.resident,
                resident_peak_bytes: memory.peak,
            }),
            load_program: Cpu::of(cpu, messages),
        }
    }

    /// The table for people.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("bench {}: {:.1} s, {}\n", self.what, self.seconds, self.load);
        let mut row = |name: &str, text: String| {
            let _ = writeln!(out, "  {name:<13} {text}");
        };
        let mut rate = format!("{} msg/s", grouped(self.messages_per_second));
        if self.mb_per_second > 0.0 {
            let _ = write!(rate, "   {:.1} MB/s", self.mb_per_second);
        }
        if self.requests != self.messages && self.requests > 0 {
            let _ = write!(rate, "   {:.1} messages per request", self.messages as f64 / self.requests as f64);
        }
        row("throughput", rate);
        if let Some(latency) = &self.latency_ms {
            row("latency ms", latency.text());
        }
        if let Some(delivery) = &self.delivery_ms {
            row("delivery ms", delivery.text());
        }
        if let Some(late) = &self.late_ms {
            row("left late ms", late.text());
        }
        match self.errors.is_empty() {
            true => row("errors", "none".into()),
            false => {
                let all: Vec<String> =
                    self.errors.iter().map(|(what, count)| format!("{what}: {}", grouped(*count as f64))).collect();
                row("errors", all.join(", "));
            }
        }
        if let Some(server) = &self.server {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            row(
                "server",
                format!(
                    "{}, {:.0} MB resident, {:.0} MB at its peak",
                    server.cpu.text(),
                    mb(server.resident_bytes),
                    mb(server.resident_peak_bytes)
                ),
            );
        }
        row("load program", self.load_program.text());
        out
    }
}

impl Latency {
    fn text(&self) -> String {
        format!(
            "p50 {:.3}   p90 {:.3}   p99 {:.3}   p99.9 {:.3}   p99.99 {:.3}   max {:.3}",
            self.p50, self.p90, self.p99, self.p999, self.p9999, self.max
        )
    }
}

impl Cpu {
    fn text(&self) -> String {
        format!(
            "{:.2} us of CPU per message, {} messages per CPU second",
            self.cpu_us_per_message,
            grouped(self.messages_per_cpu_second)
        )
    }
}

/// A whole number with a comma between thousands.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.8, "1,234,568")] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn a_report_counts_only_its_interval() {
        let mut recorder = Recorder::new(1_000_000_000, 3_000_000_000);
        for second in 0..4 {
            let now = second * 1_000_000_000;
            recorder.answered(now, now + 2_000_000);
            recorder.messages(10, 1000, now);
        }
        recorder.refused(2);
        let report = Report::new(("send", String::new()), &recorder, 2.0, 0.000_2, None);
        assert_eq!((report.requests, report.messages, report.messages_per_second), (2, 20, 10.0));
        assert_eq!(report.errors, BTreeMap::from([("2 SYSTEM_BUSY".to_owned(), 1)]));
        assert!((report.latency_ms.unwrap().p50 - 2.0).abs() < 0.01);
        assert!((report.load_program.cpu_us_per_message - 10.0).abs() < 0.001);
        assert!(report.text().contains("10 msg/s"), "{}", report.text());
    }
}
