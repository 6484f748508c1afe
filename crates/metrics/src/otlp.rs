//! Metrics as OpenTelemetry's protocol has them, in requests of bounded size.
//!
//! Source: opentelemetry-proto, `metrics.proto`; for the temporality of each kind RocketMQ 5.5.0, `BrokerMetricsManager`.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::exposition::{Kind, Name, Value, Writer};

/// What a series had reached, and when that was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reached {
    counts: Vec<u64>,
    sum: f64,
    at_ns: u64,
}

/// What the collector knows of each series, by metric and labels.
pub(crate) type Known = HashMap<String, Reached>;

/// One request, and what the collector knows once it has it.
pub(crate) struct Request {
    pub(crate) body: ExportMetricsServiceRequest,
    /// Every counter and histogram that was looked at; empty unless differences are sent.
    pub(crate) reached: Vec<(String, Reached)>,
}

/// What all requests of one round have in common.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) scope: &'static str,
    /// When counting began.
    pub(crate) start_ns: u64,
    pub(crate) now_ns: u64,
    /// Send what came since then, where differences are wanted.
    pub(crate) since: Option<Arc<Known>>,
    /// Data points of a request.
    pub(crate) points_max: usize,
}

/// Requests being written.
pub(crate) struct Otlp<H> {
    round: Round,
    constant: Vec<KeyValue>,
    /// Metrics of the request under way, the last one without its points so far.
    metrics: Vec<Metric>,
    reached: Vec<(String, Reached)>,
    /// Points that fit into the request under way.
    left: usize,
    hand_over: H,
}

impl<H: FnMut(Request)> Otlp<H> {
    pub(crate) fn new(labels: Vec<(String, String)>, round: Round, hand_over: H) -> Otlp<H> {
        let mut constant: Vec<_> = labels.into_iter().map(|(name, value)| attribute(name, value)).collect();
        if round.since.is_some() {
            constant.push(attribute("aggregation".into(), "delta".into()));
        }
        let left = round.points_max;
        Otlp { round, constant, metrics: Vec::new(), reached: Vec::new(), left, hand_over }
    }

    fn attributes(&self, labels: &[(&str, &str)]) -> Vec<KeyValue> {
        let own = labels.iter().map(|(name, value)| attribute((*name).into(), (*value).into()));
        self.constant.iter().cloned().chain(own).collect()
    }

    /// What there is to send of a series that only grows, and since when; `None` when nothing came.
    fn since(&mut self, labels: &[(&str, &str)], counts: &[u64], sum: f64) -> Option<(Vec<u64>, f64, u64)> {
        let Some(known) = &self.round.since else { return Some((counts.to_vec(), sum, self.round.start_ns)) };
        let mut key = self.metrics.last()?.name.clone();
        for (name, value) in labels {
            key.extend(["\0", name, "\0", value]);
        }
        let before = known.get(&key).filter(|before| {
            // A topic that was made anew counts from 0.
            before.counts.iter().zip(counts).all(|(before, now)| before <= now) && before.sum <= sum
        });
        let news = match before {
            Some(before) => {
                let counts = counts.iter().zip(&before.counts).map(|(now, before)| now - before).collect();
                (counts, sum - before.sum, before.at_ns)
            }
            None => (counts.to_vec(), sum, self.round.start_ns),
        };
        self.reached.push((key, Reached { counts: counts.to_vec(), sum, at_ns: self.round.now_ns }));
        (news.1 > 0.0 || news.0.iter().any(|count| *count > 0)).then_some(news)
    }

    /// Makes room for one more point.
    fn reserve(&mut self) {
        if self.left == 0 {
            let header =
                self.metrics.last().map(|metric| Metric { data: metric.data.as_ref().map(empty), ..without(metric) });
            self.flush();
            self.metrics.extend(header);
        }
        self.left -= 1;
    }

    fn flush(&mut self) {
        let mut metrics = std::mem::take(&mut self.metrics);
        metrics.retain(|metric| metric.data.as_ref().is_some_and(|data| points(data) > 0));
        let reached = std::mem::take(&mut self.reached);
        self.left = self.round.points_max;
        if metrics.is_empty() {
            return;
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope =
            InstrumentationScope { name: self.round.scope.into(), version: version.clone(), ..Default::default() };
        let about = [("service.name", "rocketmq".to_owned()), ("service.version", version)];
        let about = about.map(|(name, value)| attribute(name.into(), value));
        let resource = Resource { attributes: about.into(), ..Default::default() };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
        let all = ResourceMetrics { resource: Some(resource), scope_metrics, schema_url: String::new() };
        (self.hand_over)(Request { body: ExportMetricsServiceRequest { resource_metrics: vec![all] }, reached });
    }
}

impl<H: FnMut(Request)> Writer for Otlp<H> {
    fn family(&mut self, name: Name<'_>, kind: Kind, help: &str) {
        let temporality = match self.round.since {
            Some(_) => AggregationTemporality::Delta,
            None => AggregationTemporality::Cumulative,
        };
        let aggregation_temporality = temporality.into();
        let data = match kind {
            Kind::Gauge => Data::Gauge(Gauge::default()),
            Kind::Counter => Data::Sum(Sum { data_points: Vec::new(), aggregation_temporality, is_monotonic: true }),
            Kind::Histogram => Data::Histogram(Histogram { data_points: Vec::new(), aggregation_temporality }),
        };
        self.metrics.push(Metric {
            name: name.base.into(),
            description: help.into(),
            unit: name.unit.into(),
            data: Some(data),
            ..Metric::default()
        });
    }

    fn value(&mut self, labels: &[(&str, &str)], value: Value) {
        let is_sum = matches!(self.metrics.last().and_then(|metric| metric.data.as_ref()), Some(Data::Sum(_)));
        let (value, start_ns) = match value {
            _ if !is_sum => (value, 0),
            Value::Whole(count) => match self.since(labels, &[count], 0.0) {
                Some((counts, _, start_ns)) => (Value::Whole(counts[0]), start_ns),
                None => return,
            },
            Value::Real(sum) => match self.since(labels, &[], sum) {
                Some((_, sum, start_ns)) => (Value::Real(sum), start_ns),
                None => return,
            },
        };
        self.reserve();
        let point = NumberDataPoint {
            attributes: self.attributes(labels),
            start_time_unix_nano: start_ns,
            time_unix_nano: self.round.now_ns,
            value: Some(match value {
                Value::Whole(value) => Number::AsInt(i64::try_from(value).unwrap_or(i64::MAX)),
                Value::Real(value) => Number::AsDouble(value),
            }),
            ..NumberDataPoint::default()
        };
        match self.metrics.last_mut().and_then(|metric| metric.data.as_mut()) {
            Some(Data::Gauge(gauge)) => gauge.data_points.push(point),
            Some(Data::Sum(sum)) => sum.data_points.push(point),
            _ => debug_assert!(false, "a histogram has no plain values"),
        }
    }

    fn distribution(&mut self, labels: &[(&str, &str)], bounds: &[u64], counts: &[u64], sum: f64) {
        let Some((counts, sum, start_ns)) = self.since(labels, counts, sum) else { return };
        self.reserve();
        let point = HistogramDataPoint {
            attributes: self.attributes(labels),
            start_time_unix_nano: start_ns,
            time_unix_nano: self.round.now_ns,
            count: counts.iter().sum(),
            sum: Some(sum),
            bucket_counts: counts,
            explicit_bounds: bounds.iter().map(|bound| *bound as f64).collect(),
            ..HistogramDataPoint::default()
        };
        match self.metrics.last_mut().and_then(|metric| metric.data.as_mut()) {
            Some(Data::Histogram(histogram)) => histogram.data_points.push(point),
            _ => debug_assert!(false, "only a histogram has distributions"),
        }
    }

    fn finish(&mut self) {
        self.flush();
    }
}

fn attribute(name: String, value: String) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value)) };
    KeyValue { key: name, value: Some(value), ..KeyValue::default() }
}

fn points(data: &Data) -> usize {
    match data {
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Sum(sum) => sum.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(_) | Data::Summary(_) => 0,
    }
}

/// The same kind of data, without points.
fn empty(data: &Data) -> Data {
    match data {
        Data::Sum(sum) => Data::Sum(Sum { data_points: Vec::new(), ..*sum }),
        Data::Histogram(histogram) => Data::Histogram(Histogram { data_points: Vec::new(), ..*histogram }),
        _ => Data::Gauge(Gauge::default()),
    }
}

fn without(metric: &Metric) -> Metric {
    Metric {
        name: metric.name.clone(),
        description: metric.description.clone(),
        unit: metric.unit.clone(),
        ..Metric::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Exposition;

    fn write(since: Option<&Known>, points_max: usize, fill: impl FnOnce(&mut Exposition<'_>)) -> Vec<Request> {
        let mut requests = Vec::new();
        let since = since.map(|known| Arc::new(known.clone()));
        let round = Round { scope: "test", start_ns: 1, now_ns: 9, since, points_max };
        let mut otlp = Otlp::new(vec![("node".into(), "n".into())], round, |request| requests.push(request));
        fill(&mut Exposition::new(&mut otlp, 100));
        otlp.finish();
        drop(otlp);
        requests
    }

    fn metrics(request: &Request) -> &[Metric] {
        &request.body.resource_metrics[0].scope_metrics[0].metrics
    }

    fn fill(out: &mut Exposition<'_>, sent: u64, large: u64) {
        out.family("sent_total", Kind::Counter, "Sent.", |family| {
            for topic in ["a", "b", "c"] {
                family.add(&[("topic", topic)], sent);
            }
        });
        out.family("none", Kind::Gauge, "Nothing.", |_| {});
        out.histogram(("size", "bytes"), "Sizes.", &[10], &[(vec![("topic", "a")], [2, large], 25.0 * large as f64)]);
    }

    #[test]
    fn kinds_units_and_labels_stay_apart() {
        let requests = write(None, 100, |out| fill(out, 3, 1));
        let [sent, size] = metrics(&requests[0]) else { panic!("an empty metric is left out") };
        let Some(Data::Sum(sum)) = &sent.data else { panic!("{sent:?}") };
        assert_eq!((sum.is_monotonic, sum.aggregation_temporality), (true, AggregationTemporality::Cumulative as i32));
        assert_eq!(sum.data_points[0].value, Some(Number::AsInt(3)));
        let names: Vec<_> = sum.data_points[0].attributes.iter().map(|label| label.key.as_str()).collect();
        assert_eq!(names, ["node", "topic"]);
        assert_eq!((sent.name.as_str(), size.name.as_str(), size.unit.as_str()), ("sent_total", "size", "bytes"));
        let Some(Data::Histogram(histogram)) = &size.data else { panic!("{size:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum, &*point.bucket_counts), (3, Some(25.0), &[2, 1][..]));
        assert_eq!((point.explicit_bounds.as_slice(), point.start_time_unix_nano), (&[10.0][..], 1));
        assert!(requests[0].reached.is_empty());
    }

    #[test]
    fn requests_are_bounded_and_each_says_what_its_points_are() {
        let requests = write(None, 2, |out| fill(out, 3, 1));
        let names = |request| metrics(request).iter().map(|metric| metric.name.clone()).collect::<Vec<_>>();
        assert_eq!(requests.iter().map(names).collect::<Vec<_>>(), [vec!["sent_total"], vec!["sent_total", "size"]]);
        let total =
            |request| metrics(request).iter().map(|metric| points(metric.data.as_ref().unwrap())).sum::<usize>();
        assert_eq!(requests.iter().map(total).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(metrics(&requests[1])[0].description, "Sent.");
    }

    #[test]
    fn differences_are_those_to_what_the_collector_knows() {
        let first = write(Some(&Known::new()), 100, |out| fill(out, 3, 1));
        let known: Known = first.into_iter().flat_map(|request| request.reached).collect();
        assert_eq!(known.len(), 4);

        let second = write(Some(&known), 100, |out| fill(out, 3, 4));
        // Nothing was sent since, but three large ones came.
        let [size] = metrics(&second[0]) else { panic!("{:?}", second[0].body) };
        let Some(Data::Histogram(histogram)) = &size.data else { panic!("{size:?}") };
        assert_eq!(histogram.aggregation_temporality, AggregationTemporality::Delta as i32);
        let point = &histogram.data_points[0];
        assert_eq!((&*point.bucket_counts, point.sum, point.start_time_unix_nano), (&[0, 3][..], Some(75.0), 9));
        assert_eq!(second[0].reached.len(), 4, "what did not change is known as well");

        // Deleted and made anew.
        let third = write(Some(&known), 100, |out| fill(out, 1, 4));
        let Some(Data::Sum(sum)) = &metrics(&third[0])[0].data else { panic!("{:?}", third[0].body) };
        assert_eq!((sum.data_points[0].value, sum.data_points[0].start_time_unix_nano), (Some(Number::AsInt(1)), 1));
    }
}
