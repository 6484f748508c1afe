//! A name server as its peers see it: real frames over loopback.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flate2::{Compression, write::ZlibEncoder};
use namesrv::{Advertise, Clock, NameServer, Registration, Running, Settings, Topics};
use protocol::body::{
    ClusterInfo, DataVersion, KvTable, RegisterBrokerBody, RegisteredTopics, TopicConfig, TopicList, TopicRoute,
    TopicTable,
};
use protocol::request::*;
use protocol::{Encoding, Frame, Header, code, json};
use remoting::Pool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct World {
    running: Running,
    pool: Pool,
    clock: Clock,
    _directory: Option<tempfile::TempDir>,
}

impl World {
    async fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let world = World::at(directory.path(), Settings::default()).await;
        World { _directory: Some(directory), ..world }
    }

    async fn at(data_dir: &Path, settings: Settings) -> World {
        let clock = Clock::manual();
        let settings = Settings { listen_port: 0, ..settings };
        let running = NameServer::start(settings, data_dir, clock.clone(), Default::default()).await.unwrap();
        World { running, pool: Pool::default(), clock, _directory: None }
    }

    async fn send_to(&self, ip: &str, frame: Frame) -> Frame {
        let address = SocketAddr::new(ip.parse().unwrap(), self.running.address().port()).to_string();
        self.pool.call(&address, frame, Duration::from_secs(10)).await.unwrap()
    }

    async fn send(&self, frame: Frame) -> Frame {
        self.send_to("127.0.0.1", frame).await
    }

    async fn call<R: Request>(&self, header: &R::Header<'_>) -> Frame {
        self.send(request::<R>(header)).await
    }

    async fn route(&self, topic: &str) -> Option<TopicRoute> {
        let answer = self.call::<GetRoute>(&GetRouteHeader { topic, accept_standard_json_only: false }).await;
        (answer.code == 0).then(|| json::parse(&answer.body).unwrap())
    }

    async fn stop(self) {
        self.pool.close().await;
        self.running.stop().await;
    }
}

fn request<R: Request>(header: &R::Header<'_>) -> Frame {
    Frame::request(R::CODE, header)
}

fn broker_header() -> RegisterBrokerHeader<'static> {
    RegisterBrokerHeader {
        broker_name: "a",
        broker_addr: "10.0.0.1:10911",
        cluster_name: "C",
        ha_server_addr: Some("10.0.0.1:10912"),
        broker_id: 0,
        heartbeat_timeout_millis: None,
        enable_acting_master: None,
        compressed: false,
        body_crc32: None,
        zone_name: None,
    }
}

fn broker_key() -> BrokerHeader<'static> {
    BrokerHeader { broker_name: "a", broker_addr: "10.0.0.1:10911", cluster_name: "C", broker_id: 0 }
}

const VERSION: DataVersion = DataVersion { counter: 1, state_version: 0, timestamp: 7 };

fn registration(topics: &[&str]) -> Frame {
    let wrapper = RegisteredTopics {
        data_version: VERSION,
        topic_config_table: topics.iter().map(|topic| ((*topic).into(), TopicConfig::new(*topic, 8))).collect(),
        ..RegisteredTopics::default()
    };
    let body = RegisterBrokerBody { topic_config_serialize_wrapper: wrapper, ..RegisterBrokerBody::default() };
    request::<RegisterBroker>(&broker_header()).with_body(json::to_vec(&body))
}

/// As `RegisterBrokerBody.encode(true)` writes it for a sender of release 5.0 or later.
fn compressed_body() -> Vec<u8> {
    let piece = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let plain = [
        piece(r#"{"counter":1,"stateVersion":0,"timestamp":7}"#),
        2u32.to_be_bytes().to_vec(),
        piece(r#"T 4 8 6 SINGLE_TAG {"+message.type":"NORMAL"}"#),
        piece("U 1 1 2 SINGLE_TAG {}"),
        piece("[]"),
        0u32.to_be_bytes().to_vec(),
    ];
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&plain.concat()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_java_broker_registers_and_a_client_finds_it() {
    let world = World::new().await;
    let answer = world.send(registration(&["TopicTest"])).await;
    assert_eq!((answer.code, answer.fields.is_empty(), answer.body.len()), (0, true, 0), "{:?}", answer.remark);

    let header = GetRouteHeader { topic: "TopicTest", accept_standard_json_only: false };
    let new = world.call::<GetRoute>(&header).await;
    let text = r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"a","cluster":"C","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}]}"#;
    assert_eq!(String::from_utf8_lossy(&new.body), text);
    let info: ClusterInfo = json::parse(&world.call::<GetClusterInfo>(&NoFields {}).await.body).unwrap();
    assert_eq!(info.broker_addr_table["a"].broker_addrs[&0], "10.0.0.1:10911");
    let list: TopicList = json::parse(&world.call::<GetAllTopics>(&NoFields {}).await.body).unwrap();
    assert_eq!(list.topic_list, ["TopicTest"]);
    let group = GetBrokerMemberGroupHeader { cluster_name: "C", broker_name: "a" };
    let group = world.call::<GetBrokerMemberGroup>(&group).await;
    let text = r#"{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"a","cluster":"C"}}"#;
    assert_eq!(String::from_utf8_lossy(&group.body), text);
    world.stop().await;
}

/// Sends a frame as an older release or another client writes it, `Pool` always writes ours. Gives the text of the
/// answer, and the connection, because a broker is forgotten with it.
async fn raw(world: &World, header: &str, body: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.running.address().port())).await.unwrap();
    let lengths = [4 + (header.len() + body.len()) as u32, header.len() as u32].map(u32::to_be_bytes).concat();
    stream.write_all(&[&lengths, header.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    (String::from_utf8_lossy(&answer[4..]).into_owned(), stream)
}

#[tokio::test]
async fn the_release_of_a_client_decides_how_broker_ids_are_written() {
    let world = World::new().await;
    world.send(registration(&["TopicTest"])).await;
    for (version, more, ids) in [
        (400, "", r#""brokerAddrs":{0:"10.0.0.1:10911"}"#),
        (401, "", r#""brokerAddrs":{"0":"10.0.0.1:10911"}"#),
        (0, r#","acceptStandardJsonOnly":"true""#, r#""brokerAddrs":{"0":"10.0.0.1:10911"}"#),
    ] {
        let header = format!(
            r#"{{"code":105,"extFields":{{"topic":"TopicTest"{more}}},"flag":0,"language":"JAVA","opaque":3,"version":{version}}}"#
        );
        let (answer, _) = raw(&world, &header, "").await;
        assert!(answer.contains(ids), "release {version}: {answer}");
    }
    world.stop().await;
}

#[tokio::test]
async fn compressed_registrations_are_read() {
    for says_so in [true, false] {
        let world = World::new().await;
        let body = compressed_body();
        let crc = (crc32fast::hash(&body) & 0x7fff_ffff) as i32;
        let header = RegisterBrokerHeader { compressed: says_so, body_crc32: Some(crc), ..broker_header() };
        let answer = world.send(request::<RegisterBroker>(&header).with_body(body)).await;
        assert_eq!(answer.code, 0, "{:?}", answer.remark);
        let queues = world.route("T").await.unwrap().queue_datas.remove(0);
        assert_eq!((queues.read_queue_nums, queues.write_queue_nums, queues.perm), (4, 8, 6));
        assert_eq!(world.route("U").await.unwrap().queue_datas[0].perm, 2);
        world.stop().await;
    }
}

#[tokio::test]
async fn damaged_registrations_are_refused() {
    let world = World::new().await;
    let with_crc = RegisterBrokerHeader { body_crc32: Some(5), ..broker_header() };
    let compressed = RegisterBrokerHeader { compressed: true, ..broker_header() };
    let nameless = RegisterBrokerHeader { cluster_name: " ", ..broker_header() };
    let mut cut = compressed_body();
    cut.truncate(cut.len() - 10);
    for (header, body, remark) in [
        (&with_crc, b"{}".to_vec(), "crc32 not match"),
        (&broker_header(), b"{".to_vec(), "expected"),
        (&compressed, cut, "inflate the registration"),
        (&compressed, b"nonsense".to_vec(), "inflate the registration"),
        (&nameless, b"{}".to_vec(), "a name or address"),
    ] {
        let answer = world.send(request::<RegisterBroker>(header).with_body(body)).await;
        assert_eq!(answer.code, code::SYSTEM_ERROR.0);
        assert!(answer.remark.as_deref().unwrap().contains(remark), "{:?}", answer.remark);
    }
    assert_eq!(world.running.name_server().topics(), [""; 0]);
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_topic_is_17_and_an_unknown_code_3() {
    let world = World::new().await;
    for encoding in [Encoding::Json, Encoding::Binary] {
        let header = GetRouteHeader { topic: "Nowhere", accept_standard_json_only: false };
        let answer = world.send(Frame { encoding, ..request::<GetRoute>(&header) }).await;
        assert_eq!(answer.code, code::TOPIC_NOT_EXIST.0);
        let remark = answer.remark.unwrap();
        assert!(remark.starts_with("No topic route info in name server for the topic: Nowhere\nSee http"), "{remark}");
    }
    let answer = world.send(Frame { code: 12345, ..Frame::default() }).await;
    assert_eq!((answer.code, answer.remark.as_deref()), (3, Some(" request type 12345 not supported")));
    let answer = world.send(Frame { code: GetRoute::CODE, ..Frame::default() }).await;
    assert_eq!(answer.code, code::SYSTEM_ERROR.0);
    world.stop().await;
}

#[tokio::test]
async fn a_repeated_registration_keeps_a_broker_alive() {
    let world = World::new().await;
    for _ in 0..3 {
        world.send(registration(&["T"])).await;
        world.clock.advance(Duration::from_secs(100));
        world.running.name_server().expire();
        assert!(world.route("T").await.is_some());
    }
    let header = BrokerHeartbeatHeader { cluster_name: "C", broker_addr: "10.0.0.1:10911", broker_name: Some("a") };
    assert_eq!(world.call::<BrokerHeartbeat>(&header).await.code, 0);
    world.clock.advance(Duration::from_secs(120));
    world.running.name_server().expire();
    assert!(world.route("T").await.is_some());
    world.clock.advance(Duration::from_secs(1));
    world.running.name_server().expire();
    assert_eq!(world.running.name_server().topics(), [""; 0]);
    world.stop().await;
}

#[tokio::test]
async fn a_deleted_topic_comes_back_with_the_same_registration() {
    let world = World::new().await;
    world.send(registration(&["T"])).await;
    world.call::<DeleteTopicInNamesrv>(&DeleteTopicInNamesrvHeader { topic: "T", cluster_name: None }).await;
    assert!(world.route("T").await.is_none());
    world.send(registration(&["T"])).await;
    assert!(world.route("T").await.is_some());
    world.stop().await;
}

#[tokio::test]
async fn a_broker_whose_connection_ends_is_gone() {
    let world = World::new().await;
    let broker = Pool::default();
    let address = format!("127.0.0.1:{}", world.running.address().port());
    let answer = broker.call(&address, registration(&["T"]), Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer.code, 0);
    assert!(world.route("T").await.is_some());
    broker.close().await;
    // Our end notices in its own time; every question is a round trip, so this does not spin.
    let gone = async { while world.route("T").await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the broker is forgotten");
    world.stop().await;
}

#[tokio::test]
async fn data_versions_are_compared() {
    let world = World::new().await;
    let query = |version: DataVersion| request::<QueryDataVersion>(&broker_key()).with_body(json::to_vec(&version));
    let answer = world.send(query(VERSION)).await;
    assert_eq!((answer.fields.get("changed"), answer.body.len()), (Some("true"), 0));
    world.send(registration(&["T"])).await;
    let answer = world.send(query(VERSION)).await;
    assert_eq!(answer.fields.get("changed"), Some("false"));
    assert_eq!(json::parse::<DataVersion>(&answer.body).unwrap(), VERSION);
    let answer = world.send(query(DataVersion { counter: 2, ..VERSION })).await;
    assert_eq!(answer.fields.get("changed"), Some("true"));
    world.stop().await;
}

#[tokio::test]
async fn permissions_and_leaving_work_over_the_wire() {
    let world = World::new().await;
    world.send(registration(&["T", "U"])).await;
    let name = BrokerNameHeader { broker_name: "a" };
    let perm = async |topic: &str| world.route(topic).await.unwrap().queue_datas[0].perm;
    assert_eq!(world.call::<WipeWritePerm>(&name).await.fields.get("wipeTopicCount"), Some("2"));
    assert_eq!(perm("T").await, 4);
    assert_eq!(world.call::<AddWritePerm>(&name).await.fields.get("addTopicCount"), Some("2"));
    assert_eq!(perm("U").await, 6);
    assert_eq!(world.call::<UnregisterBroker>(&broker_key()).await.code, 0);
    assert!(world.route("T").await.is_none());
    world.stop().await;
}

#[tokio::test]
async fn a_broker_of_before_3_0_11_registers() {
    let world = World::new().await;
    let table =
        TopicTable { data_version: VERSION, topic_config_table: [("T".into(), TopicConfig::new("T", 4))].into() };
    let body = String::from_utf8(json::to_vec(&table)).unwrap();
    let header = r#"{"code":103,"extFields":{"brokerName":"a","brokerAddr":"x:1","clusterName":"C","haServerAddr":"x:2","brokerId":"0"},"flag":0,"opaque":1,"version":36}"#;
    let (answer, _connection) = raw(&world, header, &body).await;
    assert!(answer.contains(r#""code":0"#), "{answer}");
    assert!(world.route("T").await.is_some());
    world.stop().await;
}

#[tokio::test]
async fn key_values_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { order_message_enable: true, ..Settings::default() };
    let world = World::at(directory.path(), settings.clone()).await;
    let key = |key| KvKeyHeader { namespace: "ORDER_TOPIC_CONFIG", key };
    let put = |key, value| PutKvConfigHeader { namespace: "ORDER_TOPIC_CONFIG", key, value };
    assert_eq!(world.call::<GetKvConfig>(&key("T")).await.code, code::QUERY_NOT_FOUND.0);
    assert_eq!(world.call::<PutKvConfig>(&put("T", "a:8")).await.code, 0);
    assert_eq!(world.call::<PutKvConfig>(&put("gone", "a:8")).await.code, 0);
    assert_eq!(world.call::<DeleteKvConfig>(&key("gone")).await.code, 0);
    world.stop().await;

    let world = World::at(directory.path(), settings).await;
    assert_eq!(world.call::<GetKvConfig>(&key("T")).await.fields.get("value"), Some("a:8"));
    let list = world.call::<GetKvList>(&NamespaceHeader { namespace: "ORDER_TOPIC_CONFIG" }).await;
    assert_eq!(String::from_utf8_lossy(&list.body), r#"{"table":{"T":"a:8"}}"#);
    assert_eq!(world.call::<GetKvList>(&NamespaceHeader { namespace: "N" }).await.code, code::QUERY_NOT_FOUND.0);
    let registered = world.send(registration(&["T"])).await;
    assert_eq!(json::parse::<KvTable>(&registered.body).unwrap().table["T"], "a:8");
    assert_eq!(world.route("T").await.unwrap().order_topic_conf.as_deref(), Some("a:8"));
    world.stop().await;
}

#[tokio::test]
async fn settings_are_read_and_changed() {
    let world = World::new().await;
    let text = world.call::<GetNamesrvConfig>(&NoFields {}).await.body;
    assert!(String::from_utf8_lossy(&text).contains("\nscanNotActiveBrokerInterval=5000\n"));
    for (body, expected) in [
        ("enableAllTopicList=false\n", 0),
        ("kvConfigPath=/tmp/x\n", code::NO_PERMISSION.0),
        ("listenPort=1\nenableAllTopicList=true", code::SYSTEM_ERROR.0),
        ("enableAllTopicList=true\nscanNotActiveBrokerInterval=x", code::SYSTEM_ERROR.0),
        ("noSuchKey=1", code::SYSTEM_ERROR.0),
    ] {
        let answer = world.send(request::<UpdateNamesrvConfig>(&NoFields {}).with_body(body)).await;
        assert_eq!(answer.code, expected, "{body}: {:?}", answer.remark);
    }
    let answer = world.call::<GetAllTopics>(&NoFields {}).await;
    assert_eq!((answer.code, answer.remark.as_deref()), (1, Some("disable")));
    world.stop().await;
}

#[tokio::test]
async fn everyone_finds_the_broker_of_this_process_where_they_reached_us() {
    let world = World::new().await;
    let registration = Registration {
        cluster: "C".into(),
        broker_name: "a".into(),
        broker_id: 0,
        at: Advertise::SameHost { port: 10911 },
        ha: Some(Advertise::SameHost { port: 10912 }),
        topics: Topics::All(vec![TopicConfig::new("T", 4)]),
        version: VERSION,
        timeout: None,
        enable_acting_master: None,
        zone: None,
    };
    let at = registration.at.clone();
    world.running.name_server().register(registration).unwrap();
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let header = GetRouteHeader { topic: "T", accept_standard_json_only: true };
        let route: TopicRoute = json::parse(&world.send_to(ip, request::<GetRoute>(&header)).await.body).unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs[&0], format!("{ip}:10911"));
        let info = world.send_to(ip, request::<GetClusterInfo>(&NoFields {})).await;
        let info: ClusterInfo = json::parse(&info.body).unwrap();
        assert_eq!(info.broker_addr_table["a"].broker_addrs[&0], format!("{ip}:10911"));
        let replica = RegisterBrokerHeader { broker_id: 1, ..broker_header() };
        let told = world.send_to(ip, request::<RegisterBroker>(&replica)).await;
        let told = RegisterBrokerReply::decode(&told.fields).unwrap();
        let expected = (Some(format!("{ip}:10911")), Some(format!("{ip}:10912")));
        assert_eq!((told.master_addr.map(str::to_owned), told.ha_server_addr.map(str::to_owned)), expected);
    }
    world.running.name_server().unregister("C", "a", &at);
    let route = world.running.name_server().route("T", [127, 0, 0, 1].into()).unwrap();
    assert_eq!(route.broker_datas[0].broker_addrs.keys().collect::<Vec<_>>(), [&1]);
    world.stop().await;
}
