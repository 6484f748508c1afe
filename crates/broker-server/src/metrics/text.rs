//! The text that Prometheus reads.
//!
//! Source: Prometheus, "Exposition formats", text format 0.0.4.

use std::fmt::Write as _;

/// How a value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// Labels, what was counted in each range, and the sum of all values.
pub(super) type Distribution<'l, const N: usize> = (Vec<(&'l str, &'l str)>, [u64; N], f64);

/// A text being written.
pub(super) struct Exposition {
    text: String,
    /// Labels that every series has, written out.
    constant: String,
    /// Most series of one metric.
    most: usize,
}

impl Exposition {
    pub(super) fn new<'l>(constant: impl IntoIterator<Item = (&'l str, &'l str)>, most: usize) -> Exposition {
        let mut text = String::new();
        for (name, value) in constant {
            push_label(&mut text, name, value);
        }
        Exposition { text: String::with_capacity(64 * 1024), constant: text, most }
    }

    /// A metric whose series `write` adds. Series beyond the limit are added up in one of their own, marked as
    /// OpenTelemetry does it.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str, write: impl FnOnce(&mut Family<'_>)) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let mut family = Family { text: self, name, series: 0, rest: None };
        write(&mut family);
        if let Some(rest) = family.rest.take() {
            family.line(&[("otel_metric_overflow", "true")], rest);
        }
    }

    /// Distributions over ranges with these upper bounds. What is counted of each comes in the order of the ranges, the one
    /// without a bound last. Each line of a distribution is a series to the limit.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64],
        all: &[Distribution<'_, N>],
    ) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} histogram");
        let most = self.most / (N + 2);
        let mut rest: Option<([u64; N], f64)> = None;
        for (at, (labels, counts, sum)) in all.iter().enumerate() {
            if at < most {
                self.distribution(name, bounds, labels, counts, *sum);
            } else {
                let (kept, total) = rest.get_or_insert(([0; N], 0.0));
                kept.iter_mut().zip(counts).for_each(|(kept, count)| *kept += count);
                *total += sum;
            }
        }
        if let Some((counts, sum)) = rest {
            self.distribution(name, bounds, &[("otel_metric_overflow", "true")], &counts, sum);
        }
    }

    fn distribution(&mut self, name: &str, bounds: &[u64], labels: &[(&str, &str)], counts: &[u64], sum: f64) {
        let mut own = String::new();
        for (label, value) in labels {
            push_label(&mut own, label, value);
        }
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            let _ = write!(self.text, "{name}_bucket{{{}{own}le=\"", self.constant);
            let _ = match bounds.get(at) {
                Some(bound) => write!(self.text, "{bound}.0"),
                None => write!(self.text, "+Inf"),
            };
            let _ = writeln!(self.text, "\",}} {total}");
        }
        let _ = writeln!(self.text, "{name}_sum{{{}{own}}} {sum}", self.constant);
        let _ = writeln!(self.text, "{name}_count{{{}{own}}} {total}", self.constant);
    }

    /// A metric of one series without labels of its own.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help, |family| family.add(&[], value));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The series of one metric.
pub(super) struct Family<'e> {
    text: &'e mut Exposition,
    name: &'e str,
    series: usize,
    rest: Option<f64>,
}

impl Family<'_> {
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        if self.series >= self.text.most {
            *self.rest.get_or_insert(0.0) += value;
            return;
        }
        self.series += 1;
        self.line(labels, value);
    }

    fn line(&mut self, labels: &[(&str, &str)], value: f64) {
        let text = &mut self.text.text;
        text.push_str(self.name);
        text.push('{');
        text.push_str(&self.text.constant);
        for (name, value) in labels {
            push_label(text, name, value);
        }
        // The comma behind the last label is allowed.
        let _ = writeln!(text, "}} {value}");
    }
}

fn push_label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push_str("\",");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::new([("node_id", "a\"b\\c\nd")], 10);
        text.single("up", Kind::Gauge, "Whether it is up.", 1.0);
        text.family("sent_total", Kind::Counter, "Sent.", |family| {
            family.add(&[("topic", "T")], 3_000_000_000_000.0);
            family.add(&[("topic", "U")], 0.5);
        });
        let expected = r#"# HELP up Whether it is up.
# TYPE up gauge
up{node_id="a\"b\\c\nd",} 1
# HELP sent_total Sent.
# TYPE sent_total counter
sent_total{node_id="a\"b\\c\nd",topic="T",} 3000000000000
sent_total{node_id="a\"b\\c\nd",topic="U",} 0.5
"#;
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn distributions_are_added_up_from_below() {
        let mut text = Exposition::new([("n", "b")], 5);
        let all = [
            (vec![("t", "a")], [1, 2, 3], 9.5),
            (vec![("t", "b")], [1, 0, 0], 1.0),
            (vec![("t", "c")], [0, 0, 1], 2.0),
        ];
        text.histogram("size", "Sizes.", &[10, 20], &all);
        let expected = r#"# HELP size Sizes.
# TYPE size histogram
size_bucket{n="b",t="a",le="10.0",} 1
size_bucket{n="b",t="a",le="20.0",} 3
size_bucket{n="b",t="a",le="+Inf",} 6
size_sum{n="b",t="a",} 9.5
size_count{n="b",t="a",} 6
size_bucket{n="b",otel_metric_overflow="true",le="10.0",} 1
size_bucket{n="b",otel_metric_overflow="true",le="20.0",} 1
size_bucket{n="b",otel_metric_overflow="true",le="+Inf",} 2
size_sum{n="b",otel_metric_overflow="true",} 3
size_count{n="b",otel_metric_overflow="true",} 2
"#;
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn series_beyond_the_limit_are_one() {
        let mut text = Exposition::new([], 2);
        text.family("n", Kind::Gauge, "N.", |family| {
            for topic in ["a", "b", "c", "d"] {
                family.add(&[("topic", topic)], 2.0);
            }
        });
        let text = text.finish();
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.ends_with("n{otel_metric_overflow=\"true\",} 4\n"), "{text}");
    }
}
