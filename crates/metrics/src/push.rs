//! Metrics that go out by themselves: to a collector, or into the log.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tracing::{info, warn};

use crate::limits::{
    ANSWER_BYTES_MAX, LAST_ROUND, POINTS_OF_A_LINE, POINTS_OF_A_PUSH, PUSH_ATTEMPTS, PUSH_PAUSE, REQUESTS_WAITING,
};
use crate::otlp::{Known, Otlp, Request, Round};
use crate::settings::{ExporterType, Settings};
use crate::source::{Monitor, Source};

/// Pushes in rounds.
pub(crate) struct Push {
    to: To,
    interval: Duration,
    start_ns: u64,
    /// What the collector has, where it gets differences.
    known: Option<Arc<Known>>,
    /// The last round failed, and was told of.
    failing: bool,
}

enum To {
    Collector(Box<Collector>),
    Log,
}

/// A place that takes OTLP over gRPC.
struct Collector {
    client: MetricsServiceClient<Channel>,
    target: String,
    /// The operator did not name the scheme.
    scheme_guessed: bool,
    headers: MetadataMap,
    timeout: Duration,
}

impl Push {
    /// What the settings ask for, if anything. Nothing is sent yet, and the collector may be down.
    ///
    /// # Errors
    /// What is wrong with the target.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Push>, String> {
        let (to, interval) = match settings.exporter_type {
            ExporterType::Disable | ExporterType::Prom => return Ok(None),
            ExporterType::Log => (To::Log, settings.log_interval),
            ExporterType::OtlpGrpc => (To::Collector(Box::new(Collector::new(settings)?)), settings.interval),
        };
        let known = settings.in_delta.then(Arc::default);
        Ok(Some(Push { to, interval, start_ns: now_ns(), known, failing: false }))
    }

    /// Pushes until `stop`, and once more then.
    pub(crate) async fn run<S: Source>(mut self, monitor: Arc<Monitor<S>>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let outcome = self.round(&monitor, &stop).await;
            // What a stop cut short the last round says.
            if !stop.is_cancelled() {
                self.tell(outcome);
            }
        }
        let never = CancellationToken::new();
        let outcome = tokio::time::timeout(LAST_ROUND, self.round(&monitor, &never)).await;
        self.tell(outcome.unwrap_or_else(|_| Err("no answer before the end".into())));
    }

    /// One set of metrics, request by request as they are written. After one that fails the rest is left.
    async fn round<S: Source>(&mut self, monitor: &Monitor<S>, stop: &CancellationToken) -> Result<(), String> {
        let (hand_over, mut requests) = mpsc::channel(REQUESTS_WAITING);
        let round = Round {
            scope: S::SCOPE,
            start_ns: self.start_ns,
            now_ns: now_ns(),
            since: self.known.clone(),
            points_max: match self.to {
                To::Collector(_) => POINTS_OF_A_PUSH,
                To::Log => POINTS_OF_A_LINE,
            },
        };
        // Nobody takes what comes behind a failure.
        let make = move |labels| Otlp::new(labels, round, move |request| drop(hand_over.blocking_send(request)));
        let writing = async { drop(monitor.write(make).await) };
        let (mut news, mut outcome) = (Known::new(), Ok(()));
        let sending = async {
            while let Some(Request { body, reached }) = requests.recv().await {
                match self.to.send(body, stop).await {
                    Ok(None) => {}
                    Ok(Some(complaint)) => outcome = Err(complaint),
                    Err(error) => {
                        outcome = Err(error);
                        return requests.close();
                    }
                }
                news.extend(reached);
            }
        };
        tokio::join!(writing, sending);
        if let Some(known) = &mut self.known {
            match &outcome {
                // Series that are gone are forgotten.
                Ok(()) => *known = Arc::new(news),
                Err(_) => Arc::make_mut(known).extend(news),
            }
        }
        outcome
    }

    /// Says what changed: a collector that stays away is one line in the log.
    fn tell(&mut self, outcome: Result<(), String>) {
        let To::Collector(collector) = &self.to else { return };
        let target = &collector.target;
        match outcome {
            Err(error) if !self.failing => {
                let interval_ms = self.interval.as_millis() as u64;
                warn!(target, error, interval_ms, "metrics not pushed, trying again at each interval without a word");
                self.failing = true;
            }
            Ok(()) if self.failing => {
                info!(target, "metrics are pushed again");
                self.failing = false;
            }
            _ => {}
        }
    }
}

/// What a collector that took a request did not like of it.
type Complaint = Option<String>;

impl To {
    async fn send(&mut self, body: ExportMetricsServiceRequest, stop: &CancellationToken) -> Result<Complaint, String> {
        match self {
            To::Collector(collector) => collector.send(body, stop).await,
            To::Log => {
                let metrics = serde_json::to_string(&body).map_err(|error| error.to_string())?;
                info!(%metrics, "metrics");
                Ok(None)
            }
        }
    }
}

impl Collector {
    fn new(settings: &Settings) -> Result<Collector, String> {
        let wrong = |reason: String| format!("metricsGrpcExporterTarget is {:?}: {reason}", settings.target);
        let given = settings.target.trim();
        if given.is_empty() {
            return Err(
                "metricsExporterType=OTLP_GRPC needs metricsGrpcExporterTarget, such as http://127.0.0.1:4317".into()
            );
        }
        // Source: `BrokerMetricsManager.start`.
        let scheme_guessed = !given.contains("://");
        let target = if scheme_guessed { format!("https://{given}") } else { given.to_owned() };
        let endpoint = Endpoint::from_shared(target.clone()).map_err(|error| wrong(error.to_string()))?;
        let mut endpoint = endpoint.connect_timeout(settings.timeout);
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let tls = endpoint.tls_config(ClientTlsConfig::new().with_native_roots());
                endpoint = tls.map_err(|error| wrong(explain(&error)))?;
            }
            _ => return Err(wrong("it must begin with http:// or https://".into())),
        }
        let mut headers = MetadataMap::new();
        for (name, value) in &settings.header.0 {
            let name = AsciiMetadataKey::from_str(&name.to_lowercase()).map_err(|error| wrong(error.to_string()))?;
            headers.insert(name, value.parse().map_err(|_| wrong("a header is not text".into()))?);
        }
        let client = MetricsServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Collector { client, target, scheme_guessed, headers, timeout: settings.timeout })
    }

    /// Sends one request, a few times where that may help.
    async fn send(&mut self, body: ExportMetricsServiceRequest, stop: &CancellationToken) -> Result<Complaint, String> {
        let (mut attempt, mut pause) = (1, PUSH_PAUSE);
        loop {
            let failed = match stop.run_until_cancelled(self.call(body.clone())).await {
                Some(Ok(complaint)) => return Ok(complaint),
                Some(Err(failed)) => failed,
                None => return Err("stopping".into()),
            };
            if attempt == PUSH_ATTEMPTS || !is_passing(failed.code()) {
                return Err(self.text(&failed));
            }
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    async fn call(&mut self, body: ExportMetricsServiceRequest) -> Result<Complaint, Status> {
        let mut request = tonic::Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        let answer = tokio::time::timeout(self.timeout, self.client.export(request)).await;
        let late = |_| Status::deadline_exceeded(format!("no answer within {} ms", self.timeout.as_millis()));
        let partial = answer.map_err(late)??.into_inner().partial_success;
        let refused = partial.filter(|partial| partial.rejected_data_points > 0);
        Ok(refused.map(|partial| {
            format!("{} points were not taken: {}", partial.rejected_data_points, partial.error_message)
        }))
    }

    fn text(&self, status: &Status) -> String {
        let text = explain(status);
        let unreachable = self.scheme_guessed && matches!(status.code(), Code::Unavailable | Code::Unknown);
        let hint = "; a target without a scheme means https://, name http:// where the collector has no TLS";
        if unreachable { text + hint } else { text }
    }
}

/// Whether the same request may be taken later. Source: OpenTelemetry, "OTLP Specification", failures of gRPC.
fn is_passing(code: Code) -> bool {
    use Code::*;
    matches!(code, Cancelled | DeadlineExceeded | ResourceExhausted | Aborted | OutOfRange | Unavailable)
}

/// An error with what caused it, each once.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<Status>() {
        Some(status) => format!("{}: {}", status.code(), status.message()),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
