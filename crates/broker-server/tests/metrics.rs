//! Metrics and health, seen over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use broker::EndTransaction;
use broker_server::{Node as Inner, Remote, Settings};
use metrics::ExporterType;
use protocol::body::TopicConfig;
use testkit::{Client, Message, Node, Pop, Pull, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Status and body of an answer.
async fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("the port is open");
    let request = format!("{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a head has a status");
    (status, body.to_owned())
}

/// Values of series by their names and labels, those that all series have left out.
async fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = http(address, "GET /metrics").await;
    assert_eq!(status, 200, "{text}");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let own = r#"cluster="DefaultCluster",node_type="broker",node_id="broker-a","#;
    let value = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a line has a value");
        assert!(name.contains(own), "{line}");
        (name.replace(own, ""), value.parse().expect("a value is a number"))
    };
    series.map(value).collect()
}

fn metrics_of(node: &Node) -> SocketAddr {
    node.inner().metrics_address().expect("metrics are served")
}

#[tokio::test]
async fn what_happened_is_shown_under_rocketmqs_names() {
    let node = Node::start().await;
    let client = node.client().await;
    client.create_topic("T", 2).await.expect("it is made");
    for number in 0..3 {
        client.send("T", number % 2, &Message::new("12345")).await.expect("it is stored");
    }
    client.pull(&Pull { group: "G", ..Pull::from("T", 0, 0) }).await.expect("it can be read");
    client.commit("G", "T", 0, 1).await.expect("it is kept");
    client.heartbeat("client", "G", &["T"]).await;

    let shown = scrape(metrics_of(&node)).await;
    let labels = r#"topic="T",consumer_group="G",is_retry="false",is_system="false","#;
    for (name, value) in [
        (r#"rocketmq_messages_in_total{topic="T",message_type="unspecified",is_system="false",}"#.to_owned(), 3.0),
        (format!("rocketmq_messages_out_total{{{labels}}}"), 2.0),
        // One of two is left in queue 0, and the one in queue 1.
        (format!("rocketmq_consumer_lag_messages{{{labels}}}"), 2.0),
        ("rocketmq_broker_permission{}".to_owned(), 6.0),
        ("rocketmq_timing_messages{}".to_owned(), 0.0),
    ] {
        assert_eq!(shown.get(&name), Some(&value), "{name} in {shown:#?}");
    }
    let sizes = |le: &str| {
        shown[&format!(
            r#"rocketmq_message_size_bucket{{topic="T",message_type="unspecified",is_system="false",le="{le}",}}"#
        )]
    };
    assert_eq!([sizes("1024.0"), sizes("+Inf")], [3.0, 3.0]);
    let requests = |request: &str, polling: &str| {
        let labels = format!(
            r#"request_code="{request}",response_code="success",is_long_polling="{polling}",result="success","#
        );
        shown.get(&format!(r#"rocketmq_rpc_latency_milliseconds_count{{protocol_type="remoting",{labels}}}"#)).copied()
    };
    assert_eq!(requests("send_message_v2", "false").or(requests("send_message", "false")), Some(3.0), "{shown:#?}");
    assert!(requests("pull_message", "true").or(requests("pull_message", "false")) == Some(1.0), "{shown:#?}");
    assert_eq!(shown["rocketmq_pop_checkpoint_buffer_size{}"], 0.0);
    let bytes = shown[r#"rocketmq_throughput_in_total{topic="T",message_type="unspecified",is_system="false",}"#];
    assert!((3.0 * 100.0..3.0 * 400.0).contains(&bytes), "records are larger than bodies: {bytes}");
    let ms = shown[&format!("rocketmq_consumer_lag_latency_milliseconds{{{labels}}}")];
    assert!((0.0..60_000.0).contains(&ms), "{ms}");
    assert_eq!(shown[&format!("rocketmq_consumer_lag_seconds{{{labels}}}")], ms / 1000.0);
    let connections =
        shown.iter().find(|(name, _)| name.starts_with("rocketmq_consumer_connections{consumer_group=\"G\""));
    assert_eq!(connections.map(|(_, value)| *value), Some(1.0));

    for queue in 0..2 {
        let (_, end) = client.range("T", queue).await;
        client.commit("G", "T", queue, end).await.expect("it is kept");
    }
    let shown = scrape(metrics_of(&node)).await;
    assert_eq!(shown[&format!("rocketmq_consumer_lag_messages{{{labels}}}")], 0.0);
    assert_eq!(shown[&format!("rocketmq_consumer_lag_seconds{{{labels}}}")], 0.0);
    node.stop().await;
}

#[tokio::test]
async fn timers_and_transactions_are_counted_by_topic() {
    let node = Node::start().await;
    let client = node.client().await;
    client.create_topic("T", 1).await.expect("it is made");
    let at = |ahead_ms: i64| (node.inner().broker().now_ms() + ahead_ms).to_string();
    for ahead_ms in [200, 30_000, 7_200_000] {
        let message = Message::new("later").property("TIMER_DELIVER_MS", &at(ahead_ms));
        client.send("T", 0, &message).await.expect("it is stored");
    }
    for (number, commit) in [true, true, false].into_iter().enumerate() {
        let half = Message::new("half").property("TRAN_MSG", "true").property("PGROUP", "G");
        let sent = client.send("T", 0, &half.unique_key(&format!("K{number}"))).await.expect("it is stored");
        let log_offset = i64::from_str_radix(&sent.msg_id[16..], 16).expect("an id ends with a place in the log");
        let end =
            EndTransaction { producer_group: "G", queue_offset: sent.offset, log_offset, commit, from_check: false };
        node.inner().broker().end_transaction(&end).await.expect("it is decided");
    }
    let half = Message::new("half").property("TRAN_MSG", "true").property("PGROUP", "G").unique_key("K3");
    client.send("T", 0, &half).await.expect("it is stored");
    // Two commits and the first timer.
    eventually("all three are delivered", async || (client.range("T", 0).await.1 == 3).then_some(())).await;

    let shown = scrape(metrics_of(&node)).await;
    let local = r#"storage_type="local",storage_medium="disk","#;
    for (name, value) in [
        (r#"rocketmq_commit_messages_total{topic="T",}"#.to_owned(), 2.0),
        (r#"rocketmq_rollback_messages_total{topic="T",}"#.to_owned(), 1.0),
        ("rocketmq_half_messages{}".to_owned(), 1.0),
        // The messages of these tests were born long ago.
        (r#"rocketmq_finish_message_latency_milliseconds_count{topic="T",}"#.to_owned(), 2.0),
        (format!(r#"rocketmq_timer_enqueue_total{{{local}topic="T",}}"#), 3.0),
        (format!(r#"rocketmq_timer_dequeue_total{{{local}topic="T",}}"#), 1.0),
        (format!(r#"rocketmq_timer_dequeue_lag{{{local}}}"#), 0.0),
        (format!(r#"rocketmq_timer_message_snapshot{{{local}timer_bound_s="5",}}"#), 0.0),
        (format!(r#"rocketmq_timer_message_snapshot{{{local}timer_bound_s="60",}}"#), 1.0),
        (format!(r#"rocketmq_timer_message_snapshot{{{local}timer_bound_s="14400",}}"#), 1.0),
        (format!(r#"rocketmq_delay_message_latency_seconds_count{{{local}topic="T",}}"#), 3.0),
    ] {
        assert_eq!(shown.get(&name), Some(&value), "{name} in {shown:#?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn popped_messages_are_behind_but_not_ready() {
    let node = Node::start().await;
    let client = node.client().await;
    client.create_topic("T", 1).await.expect("it is made");
    for body in ["1", "2", "3", "4", "5"] {
        client.send("T", 0, &Message::new(body)).await.expect("it is stored");
    }
    // A group that pulls has in hand what only its members know.
    client.commit("pulls", "T", 0, 1).await.expect("it is kept");
    let pop =
        Pop { group: "G", topic: "T", max: 2, invisible: Duration::from_secs(60), wait: Duration::ZERO, order: false };
    let popped = pop.messages(&client.call(pop.frame()).await).expect("it may be popped");
    assert_eq!(popped.len(), 2);
    client.call(pop.ack(&popped[0].1)).await;

    let shown = scrape(metrics_of(&node)).await;
    let of = |what: &str, group: &str| {
        let labels = format!(r#"topic="T",consumer_group="{group}",is_retry="false",is_system="false","#);
        shown.get(&format!("rocketmq_consumer_{what}_messages{{{labels}}}")).copied()
    };
    assert_eq!([of("lag", "G"), of("ready", "G"), of("inflight", "G")], [Some(4.0), Some(3.0), Some(1.0)]);
    assert_eq!([of("lag", "pulls"), of("ready", "pulls"), of("inflight", "pulls")], [Some(4.0), None, None]);
    node.stop().await;
}

/// Sends one message to each topic, many at a time.
async fn send_to_all(client: &Client, topics: &[String], body: usize) {
    let message = Message::new(vec![b'x'; body]);
    for topics in topics.chunks(500) {
        let all = topics.iter().map(|topic| client.send(topic, 0, &message));
        for sent in futures_util::future::join_all(all).await {
            sent.expect("it is stored");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_busy_topics_are_a_quick_scrape_of_bounded_size() {
    const TOPICS: usize = 10_000;
    let node = Node::start().await;
    let broker = node.inner().broker();
    let (client, busy) = (node.client().await, node.client().await);
    let topics: Vec<_> = (0..TOPICS).map(|number| format!("a-topic-with-a-name-of-some-length-{number}")).collect();
    for topic in &topics {
        broker.topics().put(TopicConfig::new(topic, 4)).expect("it is made");
        broker.offsets().commit(topic, "a-consumer-group", 0, 0);
    }
    // Small and larger ones, so that every histogram has figures in more than one range.
    send_to_all(&client, &topics, 100).await;
    send_to_all(&client, &topics, 2000).await;
    for topics in topics.chunks(500) {
        let pulls: Vec<_> =
            topics.iter().map(|topic| Pull { group: "a-consumer-group", ..Pull::from(topic, 0, 0) }).collect();
        for pulled in futures_util::future::join_all(pulls.iter().map(|pull| client.pull(pull))).await {
            pulled.expect("it is read");
        }
    }
    let idle = fastest_scrape(&node, TOPICS).await;
    // And once more while all of them get messages.
    let stop = CancellationToken::new();
    let traffic = {
        let (topics, stop) = (topics.clone(), stop.clone());
        tokio::spawn(async move {
            let mut sent = 0;
            while !stop.is_cancelled() {
                send_to_all(&busy, &topics[..1000], 100).await;
                sent += 1000;
            }
            sent
        })
    };
    let loaded = fastest_scrape(&node, TOPICS).await;
    stop.cancel();
    let sent = traffic.await.expect("it was sent");
    println!(
        "{TOPICS} topics: {} bytes, {} lines, {:?} idle, {:?} beside {sent} messages",
        idle.0, idle.1, idle.2, loaded.2
    );
    // Sixteen metrics by topic or group, each with at most 10,000 lines of about 250 bytes: here nine have them all.
    assert!(idle.0 < 40 << 20, "{} bytes", idle.0);
    // A build without optimization takes several times as long.
    let most = if cfg!(debug_assertions) { Duration::from_secs(4) } else { Duration::from_millis(200) };
    assert!(idle.2 < most, "{:?}", idle.2);
    node.stop().await;
}

/// Bytes, lines and time of the fastest of some scrapes, the last of which has the ages of all groups.
async fn fastest_scrape(node: &Node, topics: usize) -> (usize, usize, Duration) {
    let mut fastest = Duration::MAX;
    let mut last = String::new();
    // Two scrapes may be needed to read all ages.
    for _ in 0..5 {
        let begin = Instant::now();
        let (status, text) = http(metrics_of(node), "GET /metrics").await;
        fastest = fastest.min(begin.elapsed());
        assert_eq!(status, 200);
        last = text;
    }
    let lines = |name: &str| last.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(lines("rocketmq_consumer_lag_messages{"), topics);
    assert_eq!(lines("rocketmq_consumer_lag_seconds{"), topics);
    // Each line of a histogram counts.
    assert!((9_000..=10_010).contains(&lines("rocketmq_message_size_")), "{}", lines("rocketmq_message_size_"));
    (last.len(), last.lines().count(), fastest)
}

#[tokio::test]
async fn series_beyond_the_limit_are_added_up() {
    let node = Node::start_with_metrics(|metrics| metrics.series_max = 2).await;
    let client = node.client().await;
    for topic in ["a", "b", "c", "d"] {
        client.send(topic, 0, &Message::new("b")).await.expect("it is stored");
    }
    let shown = scrape(metrics_of(&node)).await;
    assert_eq!(shown[r#"rocketmq_messages_in_total{otel_metric_overflow="true",}"#], 2.0);
    node.stop().await;
}

#[tokio::test]
async fn health_and_readiness_and_nothing_else() {
    let node = Node::start().await;
    let address = metrics_of(&node);
    for (request, status) in [
        ("GET /health", 200),
        ("GET /ready", 200),
        ("HEAD /ready", 200),
        ("POST /metrics", 405),
        ("GET /", 404),
        ("GET /../etc/passwd", 404),
    ] {
        let (answered, body) = http(address, request).await;
        assert_eq!(answered, status, "{request}: {body}");
    }
    node.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

async fn start(port: u16, exporter_type: ExporterType) -> Result<Inner, broker_server::StartError> {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        bind_address: [127, 0, 0, 1].into(),
        listen_port: 0,
        fast_listen_port: Some(0),
        store_dir: dir.path().to_owned(),
        segment_bytes: 1 << 20,
        ..Settings::default()
    };
    let metrics = metrics::Settings { port, exporter_type, ..Default::default() };
    Inner::start(settings, metrics, Vec::<Remote>::new(), Default::default()).await
}

#[tokio::test]
async fn a_taken_port_stops_only_who_asked_for_it() {
    // Whoever has the default port, it is taken.
    let _default = TcpListener::bind("127.0.0.1:5557").await;
    let node = start(5557, ExporterType::Prom).await.expect("it starts without metrics");
    assert_eq!(node.metrics_address(), None);
    node.stop().await;

    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("it has one").port();
    let error = start(port, ExporterType::Prom).await.err().expect("it is refused").to_string();
    assert!(error.contains(&port.to_string()) && error.contains("in use"), "{error}");

    let node = start(port, ExporterType::Disable).await.expect("it needs no port");
    assert_eq!(node.metrics_address(), None);
    node.stop().await;
}
