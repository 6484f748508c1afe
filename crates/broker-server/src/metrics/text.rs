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
