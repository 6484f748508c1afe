//! The text that Prometheus reads.
//!
//! Source: Prometheus, "Exposition formats", text format 0.0.4.

use std::fmt::Write as _;

use crate::exposition::{Kind, Name, Value, Writer};

/// A text being written.
pub(crate) struct Text {
    text: String,
    /// Labels that every series has, written out.
    constant: String,
    /// Of the metric under way.
    name: String,
}

impl Text {
    pub(crate) fn new(constant: Vec<(String, String)>) -> Text {
        let mut text = String::new();
        for (name, value) in constant {
            push_label(&mut text, &name, &value);
        }
        Text { text: String::with_capacity(64 * 1024), constant: text, name: String::new() }
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }
}

impl Writer for Text {
    fn family(&mut self, name: Name<'_>, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = match name.unit {
            "" => name.base.to_owned(),
            // What OpenTelemetry's exporter for Prometheus makes of it.
            "ms" => format!("{}_milliseconds", name.base),
            unit => format!("{}_{unit}", name.base),
        };
        let _ = writeln!(self.text, "# HELP {0} {help}\n# TYPE {0} {kind}", self.name);
    }

    fn value(&mut self, labels: &[(&str, &str)], value: Value) {
        let text = &mut self.text;
        text.push_str(&self.name);
        text.push('{');
        text.push_str(&self.constant);
        for (name, value) in labels {
            push_label(text, name, value);
        }
        // The comma behind the last label is allowed.
        let _ = match value {
            Value::Whole(value) => writeln!(text, "}} {value}"),
            Value::Real(value) => writeln!(text, "}} {value}"),
        };
    }

    fn distribution(&mut self, labels: &[(&str, &str)], bounds: &[u64], counts: &[u64], sum: f64) {
        let mut all = self.constant.clone();
        for (label, value) in labels {
            push_label(&mut all, label, value);
        }
        let (text, name) = (&mut self.text, &self.name);
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            let _ = write!(text, "{name}_bucket{{{all}le=\"");
            let _ = match bounds.get(at) {
                Some(bound) => write!(text, "{bound}.0"),
                None => write!(text, "+Inf"),
            };
            let _ = writeln!(text, "\",}} {total}");
        }
        let _ = writeln!(text, "{name}_sum{{{all}}} {sum}");
        let _ = writeln!(text, "{name}_count{{{all}}} {total}");
    }
}

fn push_label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    // Names of topics and groups need no escapes, and there are many of them.
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        text.push_str(&rest[..at]);
        text.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text.push_str("\",");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Exposition;

    #[track_caller]
    fn check(label: (&str, &str), most: usize, write: impl FnOnce(&mut Exposition<'_>), expected: &str) {
        let mut text = Text::new(vec![(label.0.into(), label.1.into())]);
        write(&mut Exposition::new(&mut text, most));
        assert_eq!(text.into_string(), expected);
    }

    #[test]
    fn names_labels_and_values_are_written_as_prometheus_reads_them() {
        let write = |out: &mut Exposition<'_>| {
            out.single("up", Kind::Gauge, "Whether it is up.", 1.0);
            out.family(("sent", "bytes"), Kind::Counter, "Sent.", |family| {
                family.add(&[("topic", "T")], 3_000_000_000_000_u64);
                family.add(&[("topic", "U")], 0.5);
            });
        };
        let expected = r#"# HELP up Whether it is up.
# TYPE up gauge
up{node_id="a\"b\\c\nd",} 1
# HELP sent_bytes Sent.
# TYPE sent_bytes counter
sent_bytes{node_id="a\"b\\c\nd",topic="T",} 3000000000000
sent_bytes{node_id="a\"b\\c\nd",topic="U",} 0.5
"#;
        check(("node_id", "a\"b\\c\nd"), 10, write, expected);
    }

    #[test]
    fn distributions_are_added_up_from_below() {
        let all = [
            (vec![("t", "a")], [1, 2, 3], 9.5),
            (vec![("t", "b")], [1, 0, 0], 1.0),
            (vec![("t", "c")], [0, 0, 1], 2.0),
        ];
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
        check(("n", "b"), 5, |out| out.histogram("size", "Sizes.", &[10, 20], &all), expected);
    }

    #[test]
    fn series_beyond_the_limit_are_one() {
        let write = |out: &mut Exposition<'_>| {
            out.family("n", Kind::Gauge, "N.", |family| {
                for topic in ["a", "b", "c", "d"] {
                    family.add(&[("t", topic)], 2_u64);
                }
            });
        };
        let expected = r#"# HELP n N.
# TYPE n gauge
n{x="y",t="a",} 2
n{x="y",t="b",} 2
n{x="y",otel_metric_overflow="true",} 4
"#;
        check(("x", "y"), 2, write, expected);
    }
}
