//! A proxy in front of two brokers and a name server, all on sockets of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::settings::Settings as _;
use broker_server::{Node, Remote};
use namesrv::{Clock, NameServer};
use protocol::body::{GroupConfig, TopicConfig};
use proxy::v2::telemetry_command::Command;
use proxy::v2::*;
use proxy::{ClusterSettings, Proxy};
use remoting::Pool;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::help::{Client, DEADLINE, check, consumer, message, producer, receive, resource, system, tags};

struct Cluster {
    name_server: namesrv::Running,
    brokers: Vec<Node>,
    proxy: Proxy,
    dir: TempDir,
    names: Arc<Pool>,
}

impl Cluster {
    async fn start() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            namesrv::Settings { bind_address: [127, 0, 0, 1].into(), listen_port: 0, ..namesrv::Settings::default() };
        let name_server = NameServer::start(settings, dir.path(), Clock::system(), Arc::default()).await.unwrap();
        let names = Arc::new(Pool::default());
        let mut brokers = Vec::new();
        for name in ["broker-a", "broker-b"] {
            let settings = broker_server::Settings {
                broker_name: name.into(),
                broker_ip1: Some("127.0.0.1".into()),
                bind_address: [127, 0, 0, 1].into(),
                listen_port: 0,
                fast_listen_port: Some(0),
                store_dir: dir.path().join(name),
                segment_bytes: 4 << 20,
                transaction_timeout: Duration::from_millis(200),
                transaction_check_interval: Duration::from_millis(200),
                recall_enabled: true,
                ..broker_server::Settings::default()
            };
            let registry = Remote::new(name_server.address().to_string(), names.clone());
            brokers.push(
                Node::start(
                    settings,
                    metrics::Settings { port: 0, ..Default::default() },
                    vec![registry],
                    Arc::default(),
                )
                .await
                .unwrap(),
            );
        }
        let mut cluster = ClusterSettings { bind_address: [127, 0, 0, 1].into(), ..ClusterSettings::default() };
        cluster.set("namesrvAddr", &name_server.address().to_string()).unwrap();
        let grpc = proxy::Settings { grpc_server_port: 0, ..proxy::Settings::default() };
        let proxy = Proxy::start_for_cluster(
            &cluster,
            &grpc,
            metrics::Settings { port: 0, ..Default::default() },
            Arc::default(),
        )
        .await
        .unwrap();
        Cluster { name_server, brokers, proxy, dir, names }
    }

    async fn client(&self, id: &str) -> Client {
        Client::connect(&format!("http://{}", self.proxy.address()), id).await
    }

    /// Makes a topic of two queues at each broker, and waits until the proxy knows both.
    async fn topic(&self, client: &mut Client, name: &str, kind: &str) -> Vec<MessageQueue> {
        for broker in &self.brokers {
            let config = TopicConfig::new(name, 2);
            broker.broker().topics().put_with_attributes(config, &format!("+message.type={kind}")).unwrap();
        }
        let request = || QueryRouteRequest { topic: Some(resource(name)), endpoints: None };
        let known = async {
            loop {
                let route = client.stub.query_route(request()).await.unwrap().into_inner();
                if route.message_queues.len() == 2 * self.brokers.len() {
                    return route.message_queues;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, known).await.expect("both brokers tell the name server")
    }

    fn group(&self, name: &str, change: impl Fn(&mut GroupConfig)) {
        for broker in &self.brokers {
            let mut config = GroupConfig { group_name: name.to_owned(), ..GroupConfig::default() };
            change(&mut config);
            broker.broker().groups().put_with_attributes(config).unwrap();
        }
    }

    /// Messages of a topic by broker.
    fn stored(&self, topic: &str) -> Vec<i64> {
        let of = |node: &Node| (0..2).map(|queue| node.broker().queue_range(topic, queue).1).sum();
        self.brokers.iter().map(of).collect()
    }

    async fn stop(self) {
        self.proxy.stop().await;
        for broker in self.brokers {
            broker.stop().await;
        }
        self.name_server.stop().await;
        self.names.close().await;
        drop(self.dir);
    }
}

/// Receives until there are so many, acks each, and returns the bodies in the order of their coming.
async fn take(client: &mut Client, group: &str, topic: &str, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    let taking = async {
        while bodies.len() < count {
            let (_, messages) = client.receive(receive(group, topic)).await;
            for message in messages {
                check(&client.ack(group, topic, &message).await.status, Code::Ok);
                bodies.push(String::from_utf8(message.body.to_vec()).unwrap());
            }
        }
    };
    tokio::time::timeout(DEADLINE, taking).await.expect("all messages in time");
    bodies
}

#[tokio::test]
async fn messages_go_to_all_brokers_and_come_from_all() {
    let cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    let queues = cluster.topic(&mut client, "T", "NORMAL").await;
    let names = |queue: &MessageQueue| (queue.broker.as_ref().unwrap().name.clone(), queue.id);
    let shown: Vec<_> = queues.iter().map(names).collect();
    let wanted = [("broker-a", 0), ("broker-a", 1), ("broker-b", 0), ("broker-b", 1)];
    assert_eq!(shown, wanted.map(|(broker, queue)| (broker.to_owned(), queue)));
    let port = queues[3].broker.as_ref().unwrap().endpoints.as_ref().unwrap().addresses[0].port;
    assert_eq!(port, i32::from(cluster.proxy.address().port()), "every broker is reached through the proxy");

    let mut sent = Vec::new();
    for n in 0..8 {
        let id = format!("01{n:02}");
        let response = client.send(message("T", &id, id.as_bytes())).await;
        assert_eq!(Client::sent(&response).message_id, id);
        sent.push(id);
    }
    assert_eq!(cluster.stored("T"), [4, 4]);
    let batch = (8..11).map(|n| message("T", &format!("01{n:02}"), format!("01{n:02}").as_bytes())).collect();
    let response = client.stub.send_message(SendMessageRequest { messages: batch }).await.unwrap().into_inner();
    check(&response.status, Code::Ok);
    let offsets: Vec<_> = response.entries.iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, [offsets[0], offsets[0] + 1, offsets[0] + 2], "a batch stays together");
    sent.extend(response.entries.into_iter().map(|entry| entry.message_id));

    let request = QueryAssignmentRequest { topic: Some(resource("T")), group: Some(resource("G")), endpoints: None };
    let assigned = client.stub.query_assignment(request).await.unwrap().into_inner().assignments;
    assert_eq!(assigned.len(), 2, "one for each broker");
    // From a broker by its name first, then from whichever has its turn.
    let named = ReceiveMessageRequest { message_queue: assigned[1].message_queue.clone(), ..receive("G", "T") };
    let (_, messages) = client.receive(named).await;
    let mut got = Vec::new();
    for message in &messages {
        let handle = message.system_properties.as_ref().unwrap().receipt_handle.as_ref().unwrap();
        assert!(handle.contains(" broker-b "), "{handle}");
        check(&client.ack("G", "T", message).await.status, Code::Ok);
        got.push(String::from_utf8(message.body.to_vec()).unwrap());
    }
    assert!(!got.is_empty());
    got.extend(take(&mut client, "G", "T", sent.len() - got.len()).await);
    got.sort_unstable();
    assert_eq!(got, sent);
    cluster.stop().await;
}

#[tokio::test]
async fn messages_of_a_group_stay_in_their_queue_and_order() {
    let cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    cluster.topic(&mut client, "T", "FIFO").await;
    cluster.group("G", |group| group.consume_message_orderly = true);
    for n in 0..6 {
        let mut ordered = message("T", &format!("01{n:02}"), n.to_string().as_bytes());
        system(&mut ordered).message_group = Some("g".into());
        Client::sent(&client.send(ordered).await);
    }
    let stored = cluster.stored("T");
    assert!(stored == [6, 0] || stored == [0, 6], "{stored:?}");
    assert_eq!(take(&mut client, "G", "T", 6).await, ["0", "1", "2", "3", "4", "5"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_message_that_is_not_acked_comes_again_and_is_given_up_at_last() {
    let cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    cluster.topic(&mut client, "T", "NORMAL").await;
    cluster.group("G", |group| group.retry_max_times = 1);
    let (_line, _) = client.settle(consumer(ClientType::SimpleConsumer, "G", "T", tags("*"))).await;
    Client::sent(&client.send(message("T", "01A", b"again")).await);
    let got = loop {
        let (_, messages) = client.receive(receive("G", "T")).await;
        if let Some(message) = messages.into_iter().next() {
            break message.system_properties.unwrap();
        }
    };
    let change = ChangeInvisibleDurationRequest {
        group: Some(resource("G")),
        topic: Some(resource("T")),
        receipt_handle: got.receipt_handle.unwrap(),
        invisible_duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        message_id: got.message_id,
        ..ChangeInvisibleDurationRequest::default()
    };
    check(&client.stub.change_invisible_duration(change).await.unwrap().into_inner().status, Code::Ok);
    // Which broker is asked changes with each receive.
    let again = async {
        loop {
            let (_, messages) = client.receive(receive("G", "T")).await;
            if let Some(message) = messages.into_iter().next() {
                return message;
            }
        }
    };
    let again = tokio::time::timeout(DEADLINE, again).await.unwrap();
    let got = again.system_properties.unwrap();
    assert_eq!(got.delivery_attempt, Some(2));
    let forward = ForwardMessageToDeadLetterQueueRequest {
        group: Some(resource("G")),
        topic: Some(resource("T")),
        receipt_handle: got.receipt_handle.unwrap(),
        message_id: got.message_id,
        delivery_attempt: 2,
        max_delivery_attempts: 2,
        lite_topic: None,
    };
    check(&client.stub.forward_message_to_dead_letter_queue(forward).await.unwrap().into_inner().status, Code::Ok);
    let dead: i64 = cluster.brokers.iter().map(|node| node.broker().queue_range("%DLQ%G", 0).1).sum();
    assert_eq!(dead, 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_broker_asks_about_a_transaction_and_the_producer_decides() {
    let cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    cluster.topic(&mut client, "T", "TRANSACTION").await;
    let (mut line, _) = client.settle(producer(&["T"])).await;
    let mut half = message("T", "01Q", b"half");
    system(&mut half).message_type = MessageType::Transaction as i32;
    let sent = Client::sent(&client.send(half).await).clone();
    assert_eq!(cluster.stored("T"), [0, 0]);
    let Command::RecoverOrphanedTransactionCommand(asked) = line.hear().await else { panic!() };
    assert_eq!(asked.transaction_id, sent.transaction_id, "both say where the half message lies");
    assert_eq!(asked.message.unwrap().body, "half");
    let end = EndTransactionRequest {
        topic: Some(resource("T")),
        message_id: "01Q".into(),
        transaction_id: asked.transaction_id,
        resolution: TransactionResolution::Commit as i32,
        source: TransactionSource::SourceServerCheck as i32,
        trace_context: String::new(),
    };
    check(&client.stub.end_transaction(end.clone()).await.unwrap().into_inner().status, Code::Ok);
    assert_eq!(cluster.stored("T").iter().sum::<i64>(), 1);
    check(&client.stub.end_transaction(end).await.unwrap().into_inner().status, Code::InternalServerError);
    cluster.stop().await;
}

#[tokio::test]
async fn offsets_and_pulls_reach_the_broker_of_the_queue() {
    let cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    let queues = cluster.topic(&mut client, "T", "FIFO").await;
    for n in 0..3 {
        let mut ordered = message("T", &format!("01{n:02}"), n.to_string().as_bytes());
        system(&mut ordered).message_group = Some("g".into());
        Client::sent(&client.send(ordered).await);
    }
    let query = |queue: &MessageQueue, policy: QueryOffsetPolicy| QueryOffsetRequest {
        message_queue: Some(queue.clone()),
        query_offset_policy: policy as i32,
        timestamp: None,
    };
    let mut full = None;
    for queue in &queues {
        let end = client.stub.query_offset(query(queue, QueryOffsetPolicy::End)).await.unwrap().into_inner();
        check(&end.status, Code::Ok);
        if end.offset == 3 {
            full = Some(queue.clone());
        }
    }
    let queue = full.expect("one queue has all three");
    let update = UpdateOffsetRequest { group: Some(resource("G")), message_queue: Some(queue.clone()), offset: 2 };
    check(&client.stub.update_offset(update).await.unwrap().into_inner().status, Code::Ok);
    let get = GetOffsetRequest { group: Some(resource("G")), message_queue: Some(queue.clone()) };
    assert_eq!(client.stub.get_offset(get).await.unwrap().into_inner().offset, 2);
    let pull = PullMessageRequest {
        group: Some(resource("G")),
        message_queue: Some(queue),
        offset: 1,
        batch_size: 32,
        filter_expression: Some(tags("*")),
        long_polling_timeout: None,
    };
    let mut stream = client.stub.pull_message(pull).await.unwrap().into_inner();
    let (mut bodies, mut next) = (Vec::new(), None);
    while let Some(part) = stream.message().await.unwrap() {
        match part.content.unwrap() {
            pull_message_response::Content::Status(status) => check(&Some(status), Code::Ok),
            pull_message_response::Content::Message(message) => bodies.push(message.body),
            pull_message_response::Content::NextOffset(offset) => next = Some(offset),
        }
    }
    assert_eq!((bodies, next), (vec!["1".into(), "2".into()], Some(3)));
    cluster.stop().await;
}

#[tokio::test]
async fn without_a_broker_or_a_name_server_the_others_go_on() {
    let mut cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    cluster.topic(&mut client, "T", "NORMAL").await;
    Client::sent(&client.send(message("T", "01A", b"1")).await);

    // It leaves the name server, too; the proxy still remembers where it was.
    let gone = cluster.brokers.pop().unwrap();
    gone.stop().await;
    for n in 0..8 {
        Client::sent(&client.send(message("T", &format!("01B{n}"), b"2")).await);
    }
    let entry = AckMessageEntry {
        message_id: "01A".into(),
        receipt_handle: format!("0 {} 60000 0 0 broker-b 0 0", i64::MAX / 2),
        lite_topic: None,
    };
    let ack =
        AckMessageRequest { group: Some(resource("G")), topic: Some(resource("T")), entries: vec![entry.clone()] };
    let answer = client.stub.ack_message(ack.clone()).await.unwrap().into_inner();
    let status = answer.entries[0].status.clone().unwrap();
    assert!(status.code != Code::Ok as i32 && status.message.contains("broker-b"), "{status:?}");

    // What is known lasts while no name server answers.
    let Cluster { name_server, names, proxy, brokers, dir } = cluster;
    name_server.stop().await;
    // Longer than routes are taken without another question.
    tokio::time::sleep(Duration::from_secs(6)).await;
    Client::sent(&client.send(message("T", "01C", b"3")).await);
    let unknown = client.send(message("U", "01D", b"4")).await;
    check(&unknown.status, Code::InternalServerError);
    assert!(unknown.status.unwrap().message.contains("name server"));
    proxy.stop().await;
    for broker in brokers {
        broker.stop().await;
    }
    names.close().await;
    drop(dir);
}

/// Status and body of an answer over HTTP.
async fn http(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_proxy_shows_its_calls_by_code_and_whether_it_is_ready() {
    let cluster = Cluster::start().await;
    let mut client = cluster.client("c").await;
    let queues = cluster.topic(&mut client, "T", "NORMAL").await;
    assert_eq!(queues.len(), 4);
    let address = cluster.proxy.metrics_address().expect("metrics are served");
    let value = |text: &str, name: &str, labels: &str| {
        let own = r#"cluster="DefaultCluster",node_type="proxy",node_id="#;
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(own));
        let found = lines.filter(|line| line.contains(labels)).find_map(|line| line.rsplit_once(' '));
        found.and_then(|(_, value)| value.parse::<f64>().ok())
    };
    let calls = |text: &str, code: &str| {
        let labels = format!(r#"protocol_type="grpc",request_code="query_route",response_code="{code}""#);
        value(text, "rocketmq_rpc_latency_milliseconds_count", &labels).unwrap_or(0.0)
    };
    // The topic may have been asked for before it was known.
    let (_, before) = http(address, "/metrics").await;
    let unknown = QueryRouteRequest { topic: Some(resource("nowhere")), endpoints: None };
    let answer = client.stub.query_route(unknown).await.unwrap().into_inner();
    check(&answer.status, Code::TopicNotFound);

    let (status, text) = http(address, "/metrics").await;
    assert_eq!(status, "200");
    assert_eq!(value(&text, "rocketmq_proxy_up", r#"proxy_mode="cluster""#), Some(1.0), "{text}");
    assert_eq!(value(&text, "rocketmq_proxy_brokers", ""), Some(2.0), "{text}");
    assert_eq!(value(&text, "rocketmq_proxy_brokers_down", ""), Some(0.0), "{text}");
    assert_eq!(calls(&text, "topic_not_found") - calls(&before, "topic_not_found"), 1.0, "{text}");
    assert!(calls(&text, "ok") >= 1.0, "{text}");
    assert_eq!(http(address, "/health").await, ("200".into(), "ok\n".into()));
    assert_eq!(http(address, "/ready").await, ("200".into(), "ok\n".into()));
    cluster.stop().await;
}

#[tokio::test]
async fn a_proxy_that_knows_no_broker_is_not_ready() {
    let mut cluster = ClusterSettings { bind_address: [127, 0, 0, 1].into(), ..ClusterSettings::default() };
    // Nobody is there.
    cluster.set("namesrvAddr", "127.0.0.1:1").unwrap();
    let grpc = proxy::Settings { grpc_server_port: 0, ..proxy::Settings::default() };
    let metrics = metrics::Settings { port: 0, ..Default::default() };
    let proxy = Proxy::start_for_cluster(&cluster, &grpc, metrics, Arc::default()).await.unwrap();
    let address = proxy.metrics_address().unwrap();
    let (status, text) = http(address, "/ready").await;
    assert!(status == "503" && text.contains("no broker is known"), "{status} {text}");
    assert_eq!(http(address, "/health").await.0, "200");
    proxy.stop().await;
}
