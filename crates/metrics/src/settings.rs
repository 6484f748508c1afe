//! What an operator can tell about metrics, under RocketMQ's keys.

use std::net::IpAddr;
use std::time::Duration;

use settings::{Between, Millis, Setting, settings};

/// Where metrics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExporterType {
    /// Nowhere.
    Disable,
    /// To an OpenTelemetry collector.
    OtlpGrpc,
    /// Prometheus fetches them.
    Prom,
    /// Into the log.
    Log,
}

/// In the order of the numbers that stand for them. Source: `MetricsExporterType`.
const EXPORTERS: [(&str, ExporterType); 4] = [
    ("DISABLE", ExporterType::Disable),
    ("OTLP_GRPC", ExporterType::OtlpGrpc),
    ("PROM", ExporterType::Prom),
    ("LOG", ExporterType::Log),
];

impl Setting for ExporterType {
    fn parse(text: &str) -> Result<Self, String> {
        let by_name = EXPORTERS.iter().find(|(name, _)| *name == text);
        let found = by_name.or_else(|| EXPORTERS.get(text.parse::<usize>().ok()?));
        let all = || format!("it must be one of {}", EXPORTERS.map(|(name, _)| name).join(", "));
        found.map(|(_, exporter)| *exporter).ok_or_else(all)
    }

    fn show(&self) -> String {
        EXPORTERS[*self as usize].0.into()
    }
}

settings! {
    /// Settings of metrics and health, of brokers and proxies alike.
    pub struct Settings {
        /// Where metrics go: `PROM` serves them over HTTP for Prometheus, with `/health` and `/ready` beside them;
        /// `OTLP_GRPC` pushes them to an OpenTelemetry collector as well, `LOG` writes them into the log as well;
        /// `DISABLE` opens no port. RocketMQ's default is DISABLE.
        pub exporter_type: ExporterType = "metricsExporterType", ExporterType::Prom, Restart;
        /// Port of `/metrics`, `/health` and `/ready`; 0 lets the system choose. When the default is taken, a warning
        /// is all that comes of it.
        pub port: u16 = "metricsPromExporterPort", PORT, Restart;
        /// Address to listen on for them; `bindAddress` without it.
        pub host: Option<IpAddr> = "metricsPromExporterHost", None, Restart;
        /// Labels that every series gets besides RocketMQ's own, as in `region:eu,tier:1`.
        pub label: Pairs<Label> = "metricsLabel", Pairs::default(), Live;
        /// Most series of one metric; what is beyond is added up in one with the label `otel_metric_overflow`.
        /// RocketMQ's default is 50000.
        pub series_max: usize as Between<1, 1000000> = "metricsOtelCardinalityLimit", 10_000, Live;
        /// Collector for `OTLP_GRPC`, as in `http://collector:4317`. Without a scheme it is `https://`; certificates are
        /// checked against those that the system trusts, or the file in `SSL_CERT_FILE`.
        pub target: String = "metricsGrpcExporterTarget", String::new(), Restart;
        /// Headers of each push, as in `authorization:Bearer abc,tenant:eu`.
        pub header: Pairs<Header> = "metricsGrpcExporterHeader", Pairs::default(), Restart;
        /// Longest wait for the collector's answer to one request.
        pub timeout: Duration as Millis<1, 600000> = "metricGrpcExporterTimeOutInMills", Duration::from_secs(3), Restart;
        /// Time between two pushes.
        pub interval: Duration as Millis<100, 86400000> = "metricGrpcExporterIntervalInMills", Duration::from_secs(60), Restart;
        /// Time between two sets of lines of `LOG`, which are OTLP in JSON.
        pub log_interval: Duration as Millis<100, 86400000> = "metricLoggingExporterIntervalInMills", Duration::from_secs(10), Restart;
        /// Push what was counted since the push before instead of since the start; such series have the label
        /// `aggregation="delta"`. `/metrics` counts from the start in any case.
        pub in_delta: bool = "metricsInDelta", false, Restart;
    }
}

/// Port of metrics that RocketMQ's exporter has.
pub(crate) const PORT: u16 = 5557;

/// What the names of [`Pairs`] are, and so which names and values may be.
pub trait Pairing {
    /// Completes "it must be".
    const RULE: &'static str;
    /// Whether this pair may be.
    fn fits(name: &str, value: &str) -> bool;
}

/// Labels of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {}

impl Pairing for Label {
    const RULE: &'static str = "labels such as region:eu,tier:1, with names that are not taken";

    fn fits(name: &str, _value: &str) -> bool {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain && name.starts_with(|first: char| first.is_ascii_alphabetic()) && !RESERVED_LABELS.contains(&name)
    }
}

/// Headers of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {}

impl Pairing for Header {
    const RULE: &'static str = "headers such as authorization:Bearer abc,tenant:eu";

    fn fits(name: &str, value: &str) -> bool {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        // Values of names that end so are not text.
        let text = !name.ends_with("-bin") && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        plain && !name.is_empty() && text
    }
}

/// Names and values, `name:value` separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs<P>(pub Vec<(String, String)>, std::marker::PhantomData<P>);

impl<P> Default for Pairs<P> {
    fn default() -> Self {
        Pairs(Vec::new(), std::marker::PhantomData)
    }
}

impl<P: Pairing> Setting for Pairs<P> {
    fn parse(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once(':')?;
            let (name, value) = (name.trim(), value.trim());
            P::fits(name, value).then(|| (name.to_owned(), value.to_owned()))
        };
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
        let pairs: Option<Vec<_>> = pairs.map(pair).collect();
        let pairs = pairs.ok_or_else(|| format!("it must be {}", P::RULE))?;
        let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it must not name anything twice".into());
        }
        Ok(Pairs(pairs, std::marker::PhantomData))
    }

    fn show(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(",")
    }
}

/// Labels that metrics have anyway.
const RESERVED_LABELS: [&str; 23] = [
    "cluster",
    "node_type",
    "node_id",
    "topic",
    "consumer_group",
    "message_type",
    "is_system",
    "is_retry",
    "language",
    "version",
    "consume_mode",
    "protocol_type",
    "storage_type",
    "storage_medium",
    "otel_metric_overflow",
    "le",
    "aggregation",
    "proxy_mode",
    "request_code",
    "response_code",
    "is_long_polling",
    "result",
    "timer_bound_s",
];

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Settings as _;

    #[track_caller]
    fn check(key: &str, text: &str, expected: Result<&str, &str>) {
        let mut settings = Settings::default();
        let set = settings.set(key, text).map(|()| settings.get(key).unwrap_or_default());
        match (set, expected) {
            (Ok(shown), Ok(expected)) => assert_eq!(shown, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (set, _) => panic!("{key}={text}: {set:?}"),
        }
    }

    #[test]
    fn the_keys_of_java_are_taken_with_their_forms() {
        check("metricsExporterType", "OTLP_GRPC", Ok("OTLP_GRPC"));
        check("metricsExporterType", "3", Ok("LOG"));
        check("metricsExporterType", "4", Err("one of DISABLE, OTLP_GRPC, PROM, LOG"));
        check("metricsLabel", "region:eu, tier:1", Ok("region:eu,tier:1"));
        check("metricsLabel", "topic:x", Err("not taken"));
        check("metricsLabel", "a:1,a:2", Err("twice"));
        check("metricsGrpcExporterHeader", "Authorization:Basic a:b", Ok("Authorization:Basic a:b"));
        check("metricsGrpcExporterHeader", "a b:c", Err("headers such as"));
        check("metricsGrpcExporterHeader", "a-bin:c", Err("headers such as"));
    }
}
