//! Routes, sending of every type, refusals, recall.

use std::time::{Duration, SystemTime};

use proxy::v2::*;

use crate::help::{Client, Server, check, message, resource, system};

fn route(topic: &str) -> QueryRouteRequest {
    QueryRouteRequest { topic: Some(resource(topic)), endpoints: None }
}

#[tokio::test]
async fn a_route_shows_queues_types_and_an_address_within_reach() {
    let server = Server::start().await;
    server.topic("T", "FIFO");
    let mut client = server.client("c").await;
    let answer = client.stub.query_route(route("T")).await.unwrap().into_inner();
    check(&answer.status, Code::Ok);
    let ids: Vec<_> = answer.message_queues.iter().map(|queue| queue.id).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
    for queue in &answer.message_queues {
        assert_eq!(queue.permission, Permission::ReadWrite as i32);
        assert_eq!(queue.accept_message_types, [MessageType::Fifo as i32]);
        let broker = queue.broker.as_ref().unwrap();
        assert_eq!((broker.name.as_str(), broker.id), ("broker-a", 0));
        let endpoints = broker.endpoints.as_ref().unwrap();
        assert_eq!(endpoints.scheme, AddressScheme::IPv4 as i32);
        let address = Address { host: "127.0.0.1".into(), port: i32::from(server.address().port()) };
        assert_eq!(endpoints.addresses, [address]);
    }
    // A client behind a port mapping is told what it said itself.
    let addresses = vec![Address { host: "mq.example.com".into(), port: 18081 }];
    let named = Endpoints { scheme: AddressScheme::DomainName as i32, addresses };
    let request = QueryRouteRequest { endpoints: Some(named.clone()), ..route("T") };
    let answer = client.stub.query_route(request).await.unwrap().into_inner();
    assert_eq!(answer.message_queues[0].broker.as_ref().unwrap().endpoints, Some(named));

    check(&client.stub.query_route(route("unknown")).await.unwrap().into_inner().status, Code::TopicNotFound);
    check(&client.stub.query_route(route("a b")).await.unwrap().into_inner().status, Code::IllegalTopic);
    check(&client.stub.query_route(route("TBW102")).await.unwrap().into_inner().status, Code::IllegalTopic);
    server.stop().await;
}

#[tokio::test]
async fn an_assignment_is_all_queues_or_each_if_order_counts() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let request = || QueryAssignmentRequest { topic: Some(resource("T")), group: Some(resource("G")), endpoints: None };
    let ids = |answer: QueryAssignmentResponse| {
        check(&answer.status, Code::Ok);
        let id = |assignment: &Assignment| assignment.message_queue.as_ref().unwrap().id;
        answer.assignments.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids(client.stub.query_assignment(request()).await.unwrap().into_inner()), [-1]);
    let group = (*server.broker.groups().get("G").unwrap()).clone();
    server.broker.groups().put(protocol::body::GroupConfig { consume_message_orderly: true, ..group }).unwrap();
    assert_eq!(ids(client.stub.query_assignment(request()).await.unwrap().into_inner()), [0, 1, 2, 3]);
    server.stop().await;
}

#[tokio::test]
async fn every_type_is_stored_with_its_properties() {
    let server = Server::start().await;
    server.topic("M", "MIXED");
    let mut client = server.client("c").await;

    let mut normal = message("M", "01AA", b"hello");
    normal.user_properties.insert("colour".into(), "blue".into());
    system(&mut normal).tag = Some("red".into());
    system(&mut normal).keys = vec!["k1".into(), "k2".into()];
    system(&mut normal).born_host = "me".into();
    let sent = client.send(normal).await;
    let entry = Client::sent(&sent).clone();
    assert_eq!((entry.message_id.as_str(), entry.offset), ("01AA", 0));

    let topic = "M";
    let read = async |queue: u32, offset: u64| {
        let queue = server.broker.store().find_queue(topic, queue).unwrap();
        let entries = server.broker.store().entries(&queue, broker::QueueOffset(offset), 1).await.unwrap();
        server.broker.view(entries[0].log_offset.0 as i64).await.unwrap()
    };
    let mut stored = None;
    for queue in 0..4 {
        if server.broker.queue_range("M", queue).1 > 0 {
            stored = Some(read(queue as u32, 0).await);
        }
    }
    let stored = stored.unwrap();
    let view = protocol::record::RecordView::parse(&stored).unwrap();
    assert_eq!(view.body(), b"hello");
    assert_eq!(view.store_host().port(), 10911);
    for (name, value) in [
        ("TAGS", "red"),
        ("KEYS", "k1 k2"),
        ("UNIQ_KEY", "01AA"),
        ("colour", "blue"),
        ("PGROUP", "M"),
        ("__BORNHOST", "me"),
    ] {
        assert_eq!(view.property(name), Some(value), "{name}");
    }

    // FIFO: the same group, the same queue; one after the other.
    let mut offsets = Vec::new();
    for n in 0..5 {
        let mut ordered = message("M", &format!("01F{n}"), b"x");
        system(&mut ordered).message_group = Some("group-7".into());
        offsets.push(Client::sent(&client.send(ordered).await).offset);
    }
    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");

    let mut later = message("M", "01DD", b"later");
    let at = SystemTime::now() + Duration::from_secs(3600);
    system(&mut later).delivery_timestamp = Some(at.into());
    let sent = client.send(later).await;
    let handle = Client::sent(&sent).recall_handle.clone();
    assert!(!handle.is_empty());
    assert_eq!(server.broker.pending_timers(), 1);
    let recall = RecallMessageRequest { topic: Some(resource("M")), recall_handle: handle };
    let recalled = client.stub.recall_message(recall).await.unwrap().into_inner();
    check(&recalled.status, Code::Ok);
    assert_eq!((recalled.message_id.as_str(), server.broker.pending_timers()), ("01DD", 0));
    let wrong = RecallMessageRequest { topic: Some(resource("M")), recall_handle: "nonsense".into() };
    check(&client.stub.recall_message(wrong).await.unwrap().into_inner().status, Code::InternalServerError);
    server.stop().await;
}

#[tokio::test]
async fn how_far_ahead_a_delivery_may_be_is_a_matter_of_both() {
    const HOUR: u64 = 3600;
    for (own, of_broker, good) in [(24, 72, 24), (24, 2, 2), (0, 72, 72)] {
        let settings = proxy::Settings {
            grpc_server_port: 0,
            delivery_delay_max: Duration::from_secs(own * HOUR),
            ..proxy::Settings::default()
        };
        let server =
            Server::start_as(|config| config.timer_delay_max = Duration::from_secs(of_broker * HOUR), settings).await;
        server.topic("T", "DELAY");
        let mut client = server.client("c").await;
        for (seconds, code) in [(good * HOUR - 60, Code::Ok), (good * HOUR + 60, Code::IllegalDeliveryTime)] {
            let mut later = message("T", "01", b"x");
            system(&mut later).delivery_timestamp = Some((SystemTime::now() + Duration::from_secs(seconds)).into());
            check(&client.send(later).await.status, code);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn priority_and_lite_messages_go_to_topics_of_their_type() {
    let server = Server::start().await;
    server.topic("P", "PRIORITY");
    server.topic("L", "LITE");
    let mut client = server.client("c").await;
    let mut urgent = message("P", "01", b"x");
    system(&mut urgent).priority = Some(2);
    Client::sent(&client.send(urgent.clone()).await);
    assert_eq!(server.broker.queue_range("P", 2).1, 1);
    let mut lite = message("L", "01", b"x");
    system(&mut lite).lite_topic = Some("session-1".into());
    Client::sent(&client.send(lite.clone()).await);
    lite.topic = Some(resource("P"));
    check(&client.send(lite).await.status, Code::MessagePropertyConflictWithType);
    urgent.topic = Some(resource("L"));
    check(&client.send(urgent).await.status, Code::MessagePropertyConflictWithType);
    server.stop().await;
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_name() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let good = || message("T", "m", b"x");
    type Change = fn(&mut Message);
    let far = || Some(prost_types::Timestamp { seconds: 99_999_999_999, nanos: 0 });
    let mut too_late = good();
    system(&mut too_late).delivery_timestamp = far();
    check(&client.send(too_late).await.status, Code::IllegalDeliveryTime);
    let cases: [(Change, Code); 13] = [
        (|m| m.topic = None, Code::IllegalTopic),
        (|m| m.topic = Some(resource("unknown")), Code::TopicNotFound),
        (|m| m.topic = Some(resource("rmq_sys_x")), Code::IllegalTopic),
        (|m| m.body = Default::default(), Code::MessageBodyEmpty),
        (|m| system(m).message_id = " ".into(), Code::IllegalMessageId),
        (|m| system(m).tag = Some("a|b".into()), Code::IllegalMessageTag),
        (|m| system(m).keys = vec![" ".into()], Code::IllegalMessageKey),
        (|m| system(m).message_group = Some("g".repeat(64)), Code::IllegalMessageGroup),
        (|m| system(m).message_group = Some("g".into()), Code::MessagePropertyConflictWithType),
        (|m| system(m).message_type = MessageType::Transaction as i32, Code::MessagePropertyConflictWithType),
        (|m| system(m).lite_topic = Some("a b".into()), Code::IllegalLiteTopic),
        (|m| drop(m.user_properties.insert("TAGS".into(), "x".into())), Code::IllegalMessagePropertyKey),
        (|m| drop(m.user_properties.insert("a".into(), "x".repeat(20_000))), Code::MessagePropertiesTooLarge),
    ];
    for (change, code) in cases {
        let mut bad = good();
        change(&mut bad);
        check(&client.send(bad).await.status, code);
    }
    let nothing = client.stub.send_message(SendMessageRequest::default()).await.unwrap().into_inner();
    check(&nothing.status, Code::MessageCorrupted);
    let mixed = SendMessageRequest { messages: vec![good(), message("U", "m", b"x")] };
    check(&client.stub.send_message(mixed).await.unwrap().into_inner().status, Code::MessageCorrupted);
    Client::sent(&client.send(good()).await);
    server.stop().await;
}

#[tokio::test]
async fn several_messages_have_an_entry_each_and_stay_together() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let messages = (0..3).map(|n| message("T", &format!("m{n}"), b"x")).collect();
    let answer = client.stub.send_message(SendMessageRequest { messages }).await.unwrap().into_inner();
    check(&answer.status, Code::Ok);
    let ids: Vec<_> = answer.entries.iter().map(|entry| entry.message_id.as_str()).collect();
    assert_eq!(ids, ["m0", "m1", "m2"]);
    let offsets: Vec<_> = answer.entries.iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_in_gzip_is_stored_as_what_it_was() {
    use std::io::Write;
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let text = b"again and ".repeat(100);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    let mut packed = message("T", "m", &gzip.finish().unwrap());
    system(&mut packed).body_encoding = Encoding::Gzip as i32;
    Client::sent(&client.send(packed).await);
    let queue = (0..4).find(|queue| server.broker.queue_range("T", *queue).1 > 0).unwrap();
    let queue = server.broker.store().find_queue("T", queue as u32).unwrap();
    let entries = server.broker.store().entries(&queue, broker::QueueOffset(0), 1).await.unwrap();
    let record = server.broker.view(entries[0].log_offset.0 as i64).await.unwrap();
    let view = protocol::record::RecordView::parse(&record).unwrap();
    assert_eq!((view.body(), view.sys_flag()), (&text[..], 0));

    let mut torn = message("T", "m", b"no gzip");
    system(&mut torn).body_encoding = Encoding::Gzip as i32;
    check(&client.send(torn).await.status, Code::MessageCorrupted);
    server.stop().await;
}
