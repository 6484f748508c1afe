//! Request-reply and filters as clients meet them on the wire.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use broker_server::{CHANGED_SETTINGS, Node, Remote, Settings};
use parking_lot::Mutex;
use protocol::body::{CheckClientRequest, ConsumerData, HeartbeatData, ProducerData, SubscriptionData};
use protocol::request::{
    CheckClientConfig, GetBrokerConfig, GetConsumerRunningInfo, GetGroupConfig, GroupHeader, HeartBeat, NoFields,
    NotifyConsumerIdsChanged, PullMessage, PullMessageHeader, PullMessageReply, PushReply, PushReplyHeader,
    RecallMessage, RecallMessageHeader, Request, SendMessage, SendMessageHeader, SendMessageReply, SendMessageV2Header,
    SendReply, SendReplyV2, UpdateBrokerConfig,
};
use protocol::{Frame, code, json, properties};
use remoting::{Answer, NoParked, Peer, Pool, Response, Service};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A client that keeps what it is asked, and answers all of it alike.
struct Asker {
    code: code::Code,
    body: Vec<u8>,
    replies: Mutex<Vec<Frame>>,
}

impl Service for Asker {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame, _arrived: tokio::time::Instant) -> Answer<NoParked> {
        self.replies.lock().push(request);
        Response { code: self.code, ..Response::ok() }.with_body(self.body.clone()).into()
    }
}

struct Bench {
    node: Node,
    address: String,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start(change: impl FnOnce(&mut Settings)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            bind_address: "127.0.0.1".parse().unwrap(),
            listen_port: 0,
            fast_listen_port: Some(0),
            store_dir: dir.path().to_owned(),
            segment_bytes: 16 << 20,
            ..Settings::default()
        };
        change(&mut settings);
        let node = Node::start(
            settings,
            metrics::Settings { port: 0, ..Default::default() },
            Vec::<Remote>::new(),
            Default::default(),
        )
        .await
        .unwrap();
        let address = node.address().to_string();
        Bench { node, address, dir }
    }

    /// A client with a name that answers what the broker asks with this code.
    async fn asker(&self, client_id: &str, code: code::Code) -> (Pool<Asker>, Arc<Asker>) {
        let asker = Arc::new(Asker { code, body: Vec::new(), replies: Mutex::default() });
        let pool = Pool::new(asker.clone());
        let beat = HeartbeatData {
            client_id: client_id.into(),
            producer_data_set: vec![ProducerData { group_name: "askers".into() }],
            ..HeartbeatData::default()
        };
        let frame = Frame::request(HeartBeat::CODE, &NoFields {}).with_body(json::to_vec(&beat));
        assert_eq!(pool.call(&self.address, frame, TIMEOUT).await.unwrap().code, 0);
        (pool, asker)
    }

    async fn call(&self, frame: Frame) -> Frame {
        Pool::default().call(&self.address, frame, TIMEOUT).await.unwrap()
    }

    fn kept(&self) -> i64 {
        self.node.broker().queue_range("DefaultCluster_REPLY_TOPIC", 0).1
    }
}

fn reply_properties(to: Option<&str>) -> String {
    let mut text = String::new();
    properties::push(&mut text, properties::CORRELATION_ID, "c-1");
    properties::push(&mut text, properties::MESSAGE_TYPE, "reply");
    to.inspect(|to| properties::push(&mut text, properties::REPLY_TO_CLIENT, to));
    text
}

fn reply(code: i32, text: &str) -> Frame {
    let header = SendMessageHeader {
        producer_group: Some("repliers"),
        topic: "DefaultCluster_REPLY_TOPIC",
        born_timestamp: Some(7),
        properties: Some(text),
        ..SendMessageHeader::default()
    };
    let v2 = SendMessageV2Header {
        producer_group: header.producer_group,
        topic: header.topic,
        born_timestamp: header.born_timestamp,
        properties: header.properties,
        ..SendMessageV2Header::default()
    };
    let frame = if code == SendReply::CODE { Frame::request(code, &header) } else { Frame::request(code, &v2) };
    frame.with_body("answer")
}

#[tokio::test]
async fn a_reply_reaches_the_client_that_asked_and_is_kept() {
    let bench = Bench::start(|_| {}).await;
    let (_pool, asker) = bench.asker("asker@1", code::SUCCESS).await;
    for (at, code) in [SendReply::CODE, SendReplyV2::CODE].into_iter().enumerate() {
        let answer = bench.call(reply(code, &reply_properties(Some("asker@1")))).await;
        assert_eq!((answer.code, answer.remark.as_deref()), (0, None));
        let header: SendMessageReply<'_> = answer.header().unwrap();
        assert_eq!((header.queue_id, header.queue_offset, header.msg_id.len()), (0, at as i64, 32));
        assert_eq!(header.msg_region, Some("DefaultRegion"));
    }
    let replies = std::mem::take(&mut *asker.replies.lock());
    assert_eq!(replies.len(), 2);
    for pushed in &replies {
        let header: PushReplyHeader<'_> = pushed.header().unwrap();
        assert_eq!((pushed.code, &pushed.body[..]), (PushReply::CODE, &b"answer"[..]));
        assert_eq!((header.producer_group, header.born_timestamp), ("repliers", 7));
        assert!(header.born_host.starts_with("127.0.0.1:") && header.store_host.starts_with("127.0.0.1:"));
        let text = header.properties.unwrap();
        assert_eq!(properties::get(text, properties::CORRELATION_ID), Some("c-1"));
        assert!(properties::get(text, properties::PUSH_REPLY_TIME).is_some());
    }
    assert_eq!(bench.kept(), 2);
    bench.node.stop().await;
}

/// Clients trace a recall only if the answer says the region, whatever came of it.
#[tokio::test]
async fn a_recall_says_the_region_whatever_comes_of_it() {
    let bench = Bench::start(|_| {}).await;
    let mut text = String::new();
    properties::push(&mut text, properties::UNIQUE_KEY, "a key");
    properties::push(&mut text, "TIMER_DELAY_SEC", "60");
    let header = SendMessageHeader {
        topic: "T",
        default_topic: Some("TBW102"),
        default_topic_queue_nums: Some(1),
        properties: Some(&text),
        ..SendMessageHeader::default()
    };
    let sent = bench.call(Frame::request(SendMessage::CODE, &header).with_body("later")).await;
    let handle = sent.header::<SendMessageReply<'_>>().unwrap().recall_handle.expect("it waits").to_owned();
    for (topic, expected) in [("T", code::SUCCESS), ("other", code::TOPIC_NOT_EXIST)] {
        let header = RecallMessageHeader { producer_group: None, topic, recall_handle: &handle };
        let answer = bench.call(Frame::request(RecallMessage::CODE, &header)).await;
        assert_eq!((answer.code, answer.fields.get("MSG_REGION")), (expected.0, Some("DefaultRegion")), "{answer:?}");
    }
    bench.node.stop().await;
}

/// Java's proxy asks so before it lets a new group receive.
#[tokio::test]
async fn a_group_that_is_asked_for_is_made_where_that_is_allowed() {
    for (auto_create, expected) in [(true, code::SUCCESS), (false, code::SUBSCRIPTION_GROUP_NOT_EXIST)] {
        let bench = Bench::start(|settings| settings.auto_create_group = auto_create).await;
        let answer = bench.call(Frame::request(GetGroupConfig::CODE, &GroupHeader { group: "new" })).await;
        assert_eq!(answer.code, expected.0, "{answer:?}");
        assert_eq!(bench.node.broker().groups().get("new").is_some(), auto_create);
        bench.node.stop().await;
    }
}

#[tokio::test]
async fn who_replies_hears_that_nobody_got_it() {
    let bench = Bench::start(|settings| settings.store_replies = false).await;
    let (pool, _asker) = bench.asker("asker@1", code::SYSTEM_ERROR).await;
    let (good, _good_asker) = bench.asker("asker@2", code::SUCCESS).await;
    let cases = [
        (None, "reply message properties[REPLY_TO_CLIENT] is null"),
        (Some("nobody"), "push reply message fail, channel of <nobody> not found."),
        (Some("asker@1"), "push reply message to asker@1fail."),
    ];
    for (to, remark) in cases {
        let answer = bench.call(reply(SendReplyV2::CODE, &reply_properties(to))).await;
        assert_eq!((answer.code, answer.remark.as_deref()), (1, Some(remark)));
    }
    let answer = bench.call(reply(SendReplyV2::CODE, &reply_properties(Some("asker@2")))).await;
    let header: SendMessageReply<'_> = answer.header().unwrap();
    assert_eq!((answer.code, header.msg_id, header.queue_offset), (0, "0", 0));
    assert_eq!(bench.kept(), 0);
    pool.close().await;
    good.close().await;
    bench.node.stop().await;
}

#[tokio::test]
async fn filters_are_checked_before_a_consumer_starts() {
    let bench = Bench::start(|_| {}).await;
    let check = |kind: &str, expression: &str| {
        let subscription_data = Some(SubscriptionData {
            topic: "T".into(),
            expression_type: Some(kind.into()),
            sub_string: expression.into(),
            ..SubscriptionData::default()
        });
        let body = CheckClientRequest { subscription_data, ..CheckClientRequest::default() };
        Frame::request(CheckClientConfig::CODE, &NoFields {}).with_body(json::to_vec(&body))
    };
    assert_eq!(bench.call(check("TAG", "a || b")).await.code, 0);
    assert_eq!(bench.call(check("SQL92", "a > 5 AND b IN ('x')")).await.code, 0);
    let refused = bench.call(check("SQL92", "a > AND b")).await;
    assert_eq!(refused.code, code::SUBSCRIPTION_PARSE_FAILED.0);
    assert!(refused.remark.unwrap().contains("at character 5"));
    bench.node.stop().await;

    let bench = Bench::start(|settings| settings.sql_filter = false).await;
    let refused = bench.call(check("SQL92", "a > 5")).await;
    let text = "The broker does not support consumer to filter message by SQL92";
    assert_eq!((refused.code, refused.remark.as_deref()), (1, Some(text)));
    bench.node.stop().await;
}

#[tokio::test]
async fn a_pull_may_carry_a_sql_filter() {
    let bench = Bench::start(|_| {}).await;
    for number in 0..3 {
        let text = format!("n\u{1}{number}\u{2}");
        let header = SendMessageV2Header { topic: "T", properties: Some(&text), ..SendMessageV2Header::default() };
        assert_eq!(bench.call(Frame::request(310, &header).with_body("body")).await.code, 0);
    }
    let pull = |expression| PullMessageHeader {
        consumer_group: "G",
        topic: "T",
        queue_id: 0,
        queue_offset: 0,
        max_msg_nums: 32,
        sys_flag: 4,
        commit_offset: None,
        suspend_timeout_millis: None,
        subscription: Some(expression),
        sub_version: None,
        expression_type: Some("SQL92"),
        lite_topic: None,
    };
    let next = |frame: &Frame| frame.header::<PullMessageReply>().unwrap().next_begin_offset;
    let found = bench.call(Frame::request(PullMessage::CODE, &pull("n = 1"))).await;
    assert_eq!((found.code, next(&found)), (code::SUCCESS.0, 3));
    assert_eq!(protocol::record::records(&found.body).count(), 1);
    let nothing = bench.call(Frame::request(PullMessage::CODE, &pull("n = 9"))).await;
    assert_eq!((nothing.code, next(&nothing)), (code::PULL_RETRY_IMMEDIATELY.0, 3));
    let wrong = bench.call(Frame::request(PullMessage::CODE, &pull("n >"))).await;
    assert_eq!(wrong.code, code::SUBSCRIPTION_PARSE_FAILED.0);

    // Push consumers leave the expression out of their pulls: that of their heartbeat counts.
    let subscription = SubscriptionData {
        topic: "T".into(),
        expression_type: Some("SQL92".into()),
        sub_string: "n > 0".into(),
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        group_name: "G".into(),
        subscription_data_set: vec![subscription.clone()],
        ..ConsumerData::default()
    };
    let beat =
        HeartbeatData { client_id: "consumer@1".into(), consumer_data_set: vec![consumer], ..HeartbeatData::default() };
    let client = Pool::default();
    let beat = Frame::request(HeartBeat::CODE, &NoFields {}).with_body(json::to_vec(&beat));
    assert_eq!(client.call(&bench.address, beat, TIMEOUT).await.unwrap().code, 0);
    let plain = PullMessageHeader { sys_flag: 0, subscription: None, expression_type: None, ..pull("") };
    let found = bench.call(Frame::request(PullMessage::CODE, &plain)).await;
    assert_eq!((found.code, protocol::record::records(&found.body).count()), (0, 2));
    assert_eq!(bench.node.broker().sessions().subscription("G", "T"), Some(Some(subscription)));
    client.close().await;
    bench.node.stop().await;
}

/// A Java client skips a heartbeat while another is under way; its pulls were refused for 30 seconds then.
#[tokio::test]
async fn a_pull_with_a_newer_subscription_makes_the_broker_ask_for_it() {
    let bench = Bench::start(|_| {}).await;
    for tag in ["a", "b", "a"] {
        let text = format!("TAGS\u{1}{tag}\u{2}");
        let header = SendMessageV2Header { topic: "T", properties: Some(&text), ..SendMessageV2Header::default() };
        assert_eq!(bench.call(Frame::request(310, &header).with_body("body")).await.code, 0);
    }
    let subscription = |tag: &str, version| SubscriptionData {
        topic: "T".into(),
        sub_string: tag.into(),
        code_set: vec![protocol::tag::java_hash(tag)],
        tags_set: vec![tag.into()],
        sub_version: version,
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        group_name: "G".into(),
        subscription_data_set: vec![subscription("a", 1)],
        ..ConsumerData::default()
    };
    // As fastjson writes it: keys of a map may be objects.
    let info = format!(
        r#"{{"jstack":null,"mqTable":{{{{"queueId":0,"topic":"T"}}:{{"locked":false}}}},"subscriptionSet":[{}]}}"#,
        String::from_utf8(json::to_vec(&subscription("b", 2))).unwrap()
    );
    let asker = Arc::new(Asker { code: code::SUCCESS, body: info.into_bytes(), replies: Mutex::default() });
    let client = Pool::new(asker.clone());
    let beat = HeartbeatData { client_id: "c@1".into(), consumer_data_set: vec![consumer], ..HeartbeatData::default() };
    let beat = Frame::request(HeartBeat::CODE, &NoFields {}).with_body(json::to_vec(&beat));
    assert_eq!(client.call(&bench.address, beat, TIMEOUT).await.unwrap().code, 0);
    let pull = |version| PullMessageHeader {
        consumer_group: "G",
        topic: "T",
        queue_id: 0,
        queue_offset: 0,
        max_msg_nums: 32,
        sys_flag: 0,
        commit_offset: None,
        suspend_timeout_millis: None,
        subscription: None,
        sub_version: Some(version),
        expression_type: None,
        lite_topic: None,
    };
    let pull = async |version| {
        let answer = client.call(&bench.address, Frame::request(PullMessage::CODE, &pull(version)), TIMEOUT).await;
        let answer = answer.unwrap();
        (answer.code, protocol::record::records(&answer.body).count())
    };
    assert_eq!(pull(1).await, (code::SUCCESS.0, 2));
    assert_eq!(pull(2).await, (code::SUCCESS.0, 1));
    assert_eq!(pull(3).await, (code::SUBSCRIPTION_NOT_LATEST.0, 0));
    let asked: Vec<i32> = asker.replies.lock().iter().map(|frame| frame.code).collect();
    assert_eq!(asked, [NotifyConsumerIdsChanged::CODE, GetConsumerRunningInfo::CODE, GetConsumerRunningInfo::CODE]);
    client.close().await;
    bench.node.stop().await;
}

/// A pipe stands for a disk that stalls: a read of it ends when the writer lets go.
#[tokio::test]
async fn a_change_that_waits_for_the_disk_stalls_nobody_else() {
    let bench = Bench::start(|_| {}).await;
    let pipe = bench.dir.path().join(CHANGED_SETTINGS);
    fs::create_dir_all(pipe.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (stalls, stalled) = tokio::sync::oneshot::channel();
    let (let_go, going) = mpsc::channel();
    let disk = thread::spawn(move || {
        let writer = fs::File::options().write(true).open(pipe).unwrap();
        stalls.send(()).unwrap();
        let others_went_on = going.recv_timeout(TIMEOUT).is_ok();
        drop(writer);
        others_went_on
    });
    let change = bench.call(Frame::request(UpdateBrokerConfig::CODE, &NoFields {}).with_body("deleteWhen=05"));
    let others = async {
        stalled.await.unwrap();
        let config = bench.call(Frame::request(GetBrokerConfig::CODE, &NoFields {})).await;
        assert!(!config.body.windows(13).any(|text| text == b"deleteWhen=05"), "it does not count yet");
        let_go.send(()).ok();
    };
    let (changed, ()) = tokio::join!(change, others);
    assert!(disk.join().unwrap(), "others had to wait");
    assert_eq!(changed.code, 0, "{changed:?}");
    bench.node.stop().await;
}
