//! Metrics as they are defined, before they have a form.

/// How a value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Not a value, but how values spread.
    Histogram,
}

/// Name of a metric, and the unit where RocketMQ's instrument has one: OpenTelemetry keeps the two apart, Prometheus has
/// the unit in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'n> {
    /// As RocketMQ calls the instrument.
    pub base: &'n str,
    /// In words, empty when it has none.
    pub unit: &'n str,
}

impl<'n> From<&'n str> for Name<'n> {
    fn from(base: &'n str) -> Self {
        Name { base, unit: "" }
    }
}

impl<'n> From<(&'n str, &'n str)> for Name<'n> {
    fn from((base, unit): (&'n str, &'n str)) -> Self {
        Name { base, unit }
    }
}

/// A figure. A metric has whole or real ones, never both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// Anything else.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Whole(value as u64)
    }
}

/// No count and no time is below 0; what a clock that was set back makes of one counts as none.
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Whole(u64::try_from(value).unwrap_or(0))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl Value {
    fn plus(self, other: Value) -> Value {
        match (self, other) {
            (Value::Whole(one), Value::Whole(other)) => Value::Whole(one.saturating_add(other)),
            (one, other) => Value::Real(one.real() + other.real()),
        }
    }

    pub(crate) fn real(self) -> f64 {
        match self {
            Value::Whole(whole) => whole as f64,
            Value::Real(real) => real,
        }
    }
}

/// Labels, what was counted in each range, and the sum of all values.
pub type Distribution<'l, const N: usize> = (Vec<(&'l str, &'l str)>, [u64; N], f64);

/// Writes metrics in one form. The labels of all series it knows already.
pub(crate) trait Writer {
    /// Begins a metric.
    fn family(&mut self, name: Name<'_>, kind: Kind, help: &str);

    /// A series of the metric begun last.
    fn value(&mut self, labels: &[(&str, &str)], value: Value);

    /// The same of a histogram: what is counted in each range, the last one having no upper bound.
    fn distribution(&mut self, labels: &[(&str, &str)], bounds: &[u64], counts: &[u64], sum: f64);

    /// There is no more.
    fn finish(&mut self) {}
}

/// Takes metrics and hands them to a writer, none with more series than allowed.
pub struct Exposition<'w> {
    writer: &'w mut dyn Writer,
    /// Most series of one metric.
    most: usize,
}

/// Marks the sum of series beyond the limit, as OpenTelemetry does it.
const OVERFLOW: [(&str, &str); 1] = [("otel_metric_overflow", "true")];

impl<'w> Exposition<'w> {
    pub(crate) fn new(writer: &'w mut dyn Writer, most: usize) -> Exposition<'w> {
        Exposition { writer, most }
    }

    /// A metric whose series `write` adds. Series beyond the limit are added up in one of their own.
    pub fn family<'n>(
        &mut self,
        name: impl Into<Name<'n>>,
        kind: Kind,
        help: &str,
        write: impl FnOnce(&mut Family<'_>),
    ) {
        self.writer.family(name.into(), kind, help);
        let mut family = Family { writer: self.writer, left: self.most, rest: None };
        write(&mut family);
        if let Some(rest) = family.rest {
            self.writer.value(&OVERFLOW, rest);
        }
    }

    /// Distributions over ranges with these upper bounds. What is counted of each comes in the order of the ranges, the one
    /// without a bound last. Each line of a distribution is a series to the limit.
    pub fn histogram<'n, const N: usize>(
        &mut self,
        name: impl Into<Name<'n>>,
        help: &str,
        bounds: &[u64],
        all: &[Distribution<'_, N>],
    ) {
        self.writer.family(name.into(), Kind::Histogram, help);
        let (shown, beyond) = all.split_at(all.len().min(self.most / (N + 2)));
        for (labels, counts, sum) in shown {
            self.writer.distribution(labels, bounds, counts, *sum);
        }
        if !beyond.is_empty() {
            let (mut counts, mut sum) = ([0; N], 0.0);
            for (_, more, added) in beyond {
                counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
                sum += added;
            }
            self.writer.distribution(&OVERFLOW, bounds, &counts, sum);
        }
    }

    /// A metric of one series without labels of its own.
    pub fn single<'n>(&mut self, name: impl Into<Name<'n>>, kind: Kind, help: &str, value: impl Into<Value>) {
        let value = value.into();
        self.family(name, kind, help, |family| family.add(&[], value));
    }
}

/// The series of one metric.
pub struct Family<'e> {
    writer: &'e mut dyn Writer,
    left: usize,
    rest: Option<Value>,
}

impl Family<'_> {
    /// One more.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        let value = value.into();
        if self.left == 0 {
            self.rest = Some(self.rest.map_or(value, |rest| rest.plus(value)));
            return;
        }
        self.left -= 1;
        self.writer.value(labels, value);
    }
}
