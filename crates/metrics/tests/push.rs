//! What a collector hears.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metrics::{Collected, ExporterType, Kind, Metrics, Settings, Source};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use settings::Setting;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;
use tonic::{Request, Response, Status};

/// Counts what the test says.
#[derive(Default)]
struct Counter {
    sent: AtomicU64,
    /// How many gauges there are besides.
    topics: usize,
    settings: Settings,
}

impl Source for Counter {
    const SCOPE: &'static str = "test-meter";

    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![("node_id", "n".into())]
    }

    fn ill(&self) -> Option<String> {
        None
    }

    fn not_ready(&self) -> Option<String> {
        Some("it never is".into())
    }

    async fn collect(self: &Arc<Self>) -> Collected {
        let (sent, topics) = (self.sent.load(Ordering::Relaxed), self.topics);
        Box::new(move |out| {
            out.family("gauge", Kind::Gauge, "Something.", |family| {
                for topic in 0..topics {
                    family.add(&[("topic", &topic.to_string())], topic);
                }
            });
            out.family("sent_total", Kind::Counter, "Sent.", |family| family.add(&[("topic", "T")], sent));
        })
    }
}

/// What one push was: its token, and labels and value of `sent_total`, if it was in it.
type Heard = (Option<String>, Option<(Vec<(String, String)>, i64)>);

/// A collector that answers in turn as it is told, the last way for good.
struct Collector {
    heard: mpsc::UnboundedSender<Heard>,
    answers: Vec<Result<Option<ExportMetricsPartialSuccess>, Status>>,
    turn: AtomicU64,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let token = request.metadata().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let _ = self.heard.send((token, sent_of(request.into_inner())));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let answer = self.answers.get(turn).or(self.answers.last()).cloned().unwrap_or(Ok(None));
        answer.map(|partial_success| Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

fn sent_of(request: ExportMetricsServiceRequest) -> Option<(Vec<(String, String)>, i64)> {
    let scope = request.resource_metrics.into_iter().next()?.scope_metrics.into_iter().next()?;
    assert_eq!(scope.scope.unwrap().name, "test-meter");
    let sent = scope.metrics.into_iter().find(|metric| metric.name == "sent_total")?;
    let Some(Data::Sum(sum)) = sent.data else { panic!("{sent:?}") };
    let [point] = &*sum.data_points else { panic!("{sum:?}") };
    let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
    let text = |value: &opentelemetry_proto::tonic::common::v1::AnyValue| format!("{:?}", value.value);
    let labels = point.attributes.iter().map(|label| (label.key.clone(), text(label.value.as_ref().unwrap())));
    Some((labels.collect(), value))
}

impl Collector {
    /// Listens and answers until it is dropped with the runtime.
    async fn start(
        listener: TcpListener,
        answers: Vec<Result<Option<ExportMetricsPartialSuccess>, Status>>,
    ) -> mpsc::UnboundedReceiver<Heard> {
        let (heard, hearing) = mpsc::unbounded_channel();
        let service = MetricsServiceServer::new(Collector { heard, answers, turn: AtomicU64::new(0) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                let answering = service_fn(move |request| {
                    let mut service = service.clone();
                    async move { Ok::<_, Infallible>(service.call(request).await.unwrap()) }
                });
                let served = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { served.serve_connection(TokioIo::new(stream), answering).await });
            }
        });
        hearing
    }
}

/// A source that pushes often until it is stopped.
struct Pushing {
    source: Arc<Counter>,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Pushing {
    async fn start(target: String, change: impl FnOnce(&mut Settings)) -> Pushing {
        Pushing::start_with(0, target, change).await
    }

    async fn start_with(topics: usize, target: String, change: impl FnOnce(&mut Settings)) -> Pushing {
        let mut settings = Settings {
            port: 0,
            exporter_type: ExporterType::OtlpGrpc,
            target,
            interval: Duration::from_millis(100),
            header: Setting::parse("Authorization:Bearer abc").unwrap(),
            label: Setting::parse("region:eu").unwrap(),
            ..Settings::default()
        };
        change(&mut settings);
        let metrics = Metrics::prepare(&settings, [127, 0, 0, 1].into()).await.unwrap();
        let source = Arc::new(Counter { sent: AtomicU64::new(0), topics, settings });
        let (address, stop) = (metrics.address().unwrap(), CancellationToken::new());
        let task = tokio::spawn(metrics.run(source.clone(), stop.clone()));
        Pushing { source, address, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    (listener, target)
}

/// What the port of metrics answers.
async fn http(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits for the next push.
async fn next(hearing: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(Duration::from_secs(20), hearing.recv()).await.expect("it pushes").unwrap()
}

#[tokio::test]
async fn a_collector_gets_names_labels_headers_and_at_the_end_the_last_value() {
    let (listener, target) = listen().await;
    let mut hearing = Collector::start(listener, Vec::new()).await;
    let pushing = Pushing::start(target, |settings| settings.interval = Duration::from_secs(3600)).await;
    let (token, sent) = next(&mut hearing).await;
    assert_eq!(token.as_deref(), Some("Bearer abc"));
    let (labels, value) = sent.unwrap();
    let names: Vec<_> = labels.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, value), (vec!["node_id", "region", "topic"], 0));
    assert!(labels[1].1.contains("eu"), "{labels:?}");

    // Health stays where it is, and so does what Prometheus would fetch.
    let answer = http(pushing.address, "/ready").await;
    assert!(answer.contains(" 503 ") && answer.ends_with("it never is\n"), "{answer}");

    // The next push is an hour away, but nothing is lost.
    pushing.source.sent.store(7, Ordering::Relaxed);
    pushing.stop().await;
    let (_, sent) = next(&mut hearing).await;
    assert_eq!(sent.unwrap().1, 7);
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nobody() {
    // It takes the connection and says nothing.
    let (_listener, target) = listen().await;
    let pushing = Pushing::start_with(10_000, target, |settings| {
        settings.timeout = Duration::from_secs(600);
        settings.interval = Duration::from_secs(3600);
    })
    .await;
    // More than fits between the writer and the collector.
    let answer = tokio::time::timeout(Duration::from_secs(20), http(pushing.address, "/metrics")).await;
    assert_eq!(answer.expect("Prometheus does not wait").matches("\ngauge{").count(), 10_000);
    // Nor does it hold up the end.
    tokio::time::timeout(Duration::from_secs(20), pushing.stop()).await.expect("the end has a deadline");
}

#[tokio::test]
async fn differences_add_up_to_what_was_counted_though_pushes_fail() {
    let (listener, target) = listen().await;
    let refused = Err(Status::invalid_argument("not today"));
    let mut hearing = Collector::start(listener, vec![Ok(None), refused, Ok(None)]).await;
    let pushing = Pushing::start(target, |settings| settings.in_delta = true).await;
    let (_, sent) = next(&mut hearing).await;
    assert_eq!(sent, None, "nothing was counted yet, and 0 is no difference");
    pushing.source.sent.store(5, Ordering::Relaxed);
    // This one the collector does not take ...
    let mut values = Vec::new();
    while values.len() < 2 {
        if let (_, Some((labels, value))) = next(&mut hearing).await {
            assert!(labels.iter().any(|(name, value)| name == "aggregation" && value.contains("delta")), "{labels:?}");
            values.push(value);
        }
    }
    // ... and so it comes again, once.
    assert_eq!(values, [5, 5]);
    pushing.source.sent.store(6, Ordering::Relaxed);
    let more = loop {
        if let (_, Some((_, value))) = next(&mut hearing).await {
            break value;
        }
    };
    assert_eq!(more, 1);
    pushing.stop().await;
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn count(&self, part: &str) -> usize {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().matches(part).count()
    }

    /// Logs of this thread go here, and tests have one thread.
    fn hear(&self) -> tracing::subscriber::DefaultGuard {
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    async fn await_one(&self, part: &str) {
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.count(part) == 0 {
            assert!(tokio::time::Instant::now() < until, "nobody said {part:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_collector_that_stays_away_is_told_once_and_so_is_its_return() {
    let lines = Lines::default();
    let _hearing = lines.hear();
    // Three rounds it refuses.
    let (listener, target) = listen().await;
    let refused = Err(Status::permission_denied("who are you"));
    let mut hearing = Collector::start(listener, vec![refused.clone(), refused.clone(), refused, Ok(None)]).await;
    let pushing = Pushing::start(target.clone(), |_| {}).await;
    lines.await_one("metrics are pushed again").await;
    assert_eq!((lines.count("metrics not pushed"), lines.count("who are you")), (1, 1), "{lines:?}", lines = lines.0);
    for _ in 0..4 {
        next(&mut hearing).await;
    }
    pushing.stop().await;
}

#[tokio::test]
async fn a_refused_connection_and_a_forgotten_scheme_are_told_as_such() {
    let (listener, target) = listen().await;
    let address = target.strip_prefix("http://").unwrap().to_owned();
    let lines = Lines::default();
    let _hearing = lines.hear();
    // Plaintext is spoken there, and https is what a target without a scheme means.
    let _collector = Collector::start(listener, Vec::new()).await;
    let pushing = Pushing::start(address.clone(), |settings| settings.timeout = Duration::from_millis(500)).await;
    lines.await_one("name http:// where the collector has no TLS").await;
    assert_eq!(lines.count(&format!("https://{address}")), 1);
    pushing.stop().await;
}

#[tokio::test]
async fn a_target_that_leads_nowhere_is_a_mistake_at_the_start() {
    for (target, part) in [
        ("", "metricsExporterType=OTLP_GRPC needs metricsGrpcExporterTarget"),
        ("ftp://x:1", "it must begin with http:// or https://"),
        ("http://a b", "metricsGrpcExporterTarget is \"http://a b\""),
    ] {
        let settings =
            Settings { port: 0, exporter_type: ExporterType::OtlpGrpc, target: target.into(), ..Settings::default() };
        let error = Metrics::prepare(&settings, [127, 0, 0, 1].into()).await.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn the_log_gets_the_same_as_json() {
    let lines = Lines::default();
    let _hearing = lines.hear();
    let pushing = Pushing::start(String::new(), |settings| settings.exporter_type = ExporterType::Log).await;
    pushing.source.sent.store(3, Ordering::Relaxed);
    pushing.stop().await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let json = text.lines().last().unwrap().split_once("metrics=").unwrap().1;
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    let metrics = value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let sent = metrics.iter().find(|metric| metric["name"] == "sent_total").unwrap();
    assert_eq!(sent["sum"]["dataPoints"][0]["asInt"], "3", "{sent}");
}
