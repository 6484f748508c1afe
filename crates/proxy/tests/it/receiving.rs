//! Receiving, acknowledging, asking for time, dead letters.

use std::time::Duration;

use protocol::body::GroupConfig;
use proxy::v2::*;

use crate::help::{Client, DEADLINE, Server, check, consumer, message, receive, resource, system, tags};

async fn wait_for(mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it happens in time");
}

fn ids(messages: &[Message]) -> Vec<&str> {
    let mut ids: Vec<_> = messages.iter().map(|m| m.system_properties.as_ref().unwrap().message_id.as_str()).collect();
    ids.sort_unstable();
    ids
}

fn handle(message: &Message) -> String {
    message.system_properties.as_ref().unwrap().receipt_handle.clone().unwrap()
}

async fn invisible(client: &mut Client, handle: &str, millis: u64) -> ChangeInvisibleDurationResponse {
    let request = ChangeInvisibleDurationRequest {
        group: Some(resource("G")),
        topic: Some(resource("T")),
        receipt_handle: handle.into(),
        invisible_duration: Some(Duration::from_millis(millis).try_into().unwrap()),
        message_id: "any".into(),
        lite_topic: None,
        suspend: None,
    };
    client.stub.change_invisible_duration(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_message_is_received_once_and_acked() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let mut sent = message("T", "01AB", b"hello");
    sent.user_properties.insert("colour".into(), "blue".into());
    system(&mut sent).tag = Some("red".into());
    Client::sent(&client.send(sent).await);
    let (status, messages) = client.receive(receive("G", "T")).await;
    check(&Some(status), Code::Ok);
    assert_eq!(ids(&messages), ["01AB"]);
    let got = messages[0].system_properties.as_ref().unwrap();
    assert_eq!((got.tag.as_deref(), got.delivery_attempt), (Some("red"), Some(1)));
    assert_eq!(messages[0].user_properties["colour"], "blue");
    assert_eq!(messages[0].body, "hello");
    assert_eq!(handle(&messages[0]).split(' ').count(), 9);

    let acked = client.ack("G", "T", &messages[0]).await;
    check(&acked.status, Code::Ok);
    assert_eq!(acked.entries[0].message_id, "01AB");
    // Nothing more: the whole wait, then a status that clients know.
    let (status, messages) = client.receive(receive("G", "T")).await;
    check(&Some(status), Code::MessageNotFound);
    assert!(messages.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_waiting_receive_hears_of_a_message_at_once() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let (mut client, mut other) = (server.client("c").await, server.client("d").await);
    let request = ReceiveMessageRequest {
        long_polling_timeout: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
        ..receive("G", "T")
    };
    let begin = std::time::Instant::now();
    let send = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Client::sent(&other.send(message("T", "01", b"x")).await);
    };
    let ((_, messages), ()) = tokio::join!(client.receive(request), send);
    assert_eq!(ids(&messages), ["01"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn filters_choose() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    for (id, tag) in [("01", "red"), ("02", "blue"), ("03", ""), ("04", "red")] {
        let mut tagged = message("T", id, b"x");
        system(&mut tagged).tag = Some(tag.into());
        tagged.user_properties.insert("n".into(), id.trim_start_matches('0').into());
        Client::sent(&client.send(tagged).await);
    }
    // The four may lie in four queues; each receive takes what it finds.
    let mut all = async |group: &str, filter: FilterExpression, count: usize| {
        let mut found = Vec::new();
        while found.len() < count {
            let request = ReceiveMessageRequest { filter_expression: Some(filter.clone()), ..receive(group, "T") };
            let (status, messages) = client.receive(request).await;
            check(&Some(status), Code::Ok);
            found.extend(messages);
        }
        ids(&found).join(" ")
    };
    assert_eq!(all("G1", tags("red"), 2).await, "01 04");
    assert_eq!(all("G2", tags("red || blue"), 3).await, "01 02 04");
    let sql = |text: &str| FilterExpression { r#type: FilterType::Sql as i32, expression: text.into() };
    assert_eq!(all("G3", sql("n > 2"), 2).await, "03 04");
    let bad = ReceiveMessageRequest { filter_expression: Some(sql("n >")), ..receive("G4", "T") };
    let (status, _) = client.receive(bad).await;
    check(&Some(status), Code::IllegalFilterExpression);
    server.stop().await;
}

#[tokio::test]
async fn a_new_invisible_time_gives_a_new_handle_and_the_message_comes_again() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    Client::sent(&client.send(message("T", "01", b"x")).await);
    let (_, messages) = client.receive(receive("G", "T")).await;
    let first = handle(&messages[0]);
    let longer = invisible(&mut client, &first, 60_000).await;
    check(&longer.status, Code::Ok);
    assert_ne!(longer.receipt_handle, first);
    let sooner = invisible(&mut client, &longer.receipt_handle, 1000).await;
    check(&sooner.status, Code::Ok);
    let (status, messages) = client.receive(receive("G", "T")).await;
    check(&Some(status), Code::Ok);
    assert_eq!(messages[0].system_properties.as_ref().unwrap().delivery_attempt, Some(2));
    assert_eq!(messages[0].topic, Some(resource("T")));
    check(&client.ack("G", "T", &messages[0]).await.status, Code::Ok);

    let mut old = messages[0].clone();
    system(&mut old).receipt_handle = Some("0 1000 1000 0 0 broker-a 0 0 0".into());
    check(&client.ack("G", "T", &old).await.status, Code::InvalidReceiptHandle);
    check(&invisible(&mut client, "nonsense", 1000).await.status, Code::InternalServerError);
    check(&invisible(&mut client, &handle(&messages[0]), 13 * 3_600_000).await.status, Code::IllegalInvisibleTime);
    server.stop().await;
}

#[tokio::test]
async fn the_order_of_a_group_is_kept_until_it_is_acked() {
    let server = Server::start().await;
    server.topic("T", "FIFO");
    let group = GroupConfig { group_name: "G".into(), consume_message_orderly: true, ..GroupConfig::default() };
    server.broker.groups().put(group).unwrap();
    let mut client = server.client("c").await;
    for n in 0..3 {
        let mut ordered = message("T", &format!("0{n}"), b"x");
        system(&mut ordered).message_group = Some("g".into());
        Client::sent(&client.send(ordered).await);
    }
    let one = || ReceiveMessageRequest { batch_size: 1, ..receive("G", "T") };
    let (_, first) = client.receive(one()).await;
    assert_eq!(ids(&first), ["00"]);
    let (status, _) = client.receive(one()).await;
    check(&Some(status), Code::MessageNotFound);
    check(&client.ack("G", "T", &first[0]).await.status, Code::Ok);
    let (_, second) = client.receive(one()).await;
    assert_eq!(ids(&second), ["01"]);
    server.stop().await;
}

#[tokio::test]
async fn exhausted_messages_become_dead_letters() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let group = GroupConfig { group_name: "G".into(), retry_max_times: 1, ..GroupConfig::default() };
    server.broker.groups().put(group).unwrap();
    let mut client = server.client("c").await;
    for id in ["01", "02"] {
        Client::sent(&client.send(message("T", id, id.as_bytes())).await);
    }
    let mut given = Vec::new();
    while given.len() < 2 {
        given.extend(client.receive(receive("G", "T")).await.1);
    }
    // One is given up by its consumer.
    let doomed = given.iter().position(|message| message.body == "01").unwrap();
    let forward = ForwardMessageToDeadLetterQueueRequest {
        group: Some(resource("G")),
        topic: Some(resource("T")),
        receipt_handle: handle(&given[doomed]),
        message_id: "01".into(),
        delivery_attempt: 1,
        max_delivery_attempts: 2,
        lite_topic: None,
    };
    let forwarded = client.stub.forward_message_to_dead_letter_queue(forward).await.unwrap().into_inner();
    check(&forwarded.status, Code::Ok);
    assert_eq!(server.broker.queue_range("%DLQ%G", 0).1, 1);
    // The other comes twice, and is not given out a third time.
    check(&invisible(&mut client, &handle(&given[1 - doomed]), 100).await.status, Code::Ok);
    let (_, again) = client.receive(receive("G", "T")).await;
    assert_eq!(ids(&again), ["02"]);
    check(&invisible(&mut client, &handle(&again[0]), 100).await.status, Code::Ok);
    let (status, messages) = client.receive(receive("G", "T")).await;
    check(&Some(status), Code::MessageNotFound);
    assert!(messages.is_empty());
    assert_eq!(server.broker.queue_range("%DLQ%G", 0).1, 2);
    server.stop().await;
}

#[tokio::test]
async fn what_a_leaving_client_holds_comes_to_another_soon() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let (mut client, mut other) = (server.client("c").await, server.client("d").await);
    let (_line, _) = client.settle(consumer(ClientType::PushConsumer, "G", "T", tags("*"))).await;
    Client::sent(&client.send(message("T", "01", b"x")).await);
    let push = ReceiveMessageRequest { auto_renew: true, invisible_duration: None, ..receive("G", "T") };
    let (_, messages) = client.receive(push).await;
    assert_eq!(ids(&messages), ["01"]);
    let left = client.stub.notify_client_termination(NotifyClientTerminationRequest::default()).await;
    check(&left.unwrap().into_inner().status, Code::Ok);
    let (_, messages) = other.receive(receive("G", "T")).await;
    assert_eq!(ids(&messages), ["01"]);
    server.stop().await;
}

#[tokio::test]
async fn what_a_client_never_read_is_visible_again() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let (mut client, mut other) = (server.client("c").await, server.client("d").await);
    // More than one stream's buffers take.
    let body = vec![7; 3 << 20];
    for n in 0..8 {
        let mut big = message("T", &format!("0{n}"), &body);
        system(&mut big).message_type = MessageType::Normal as i32;
        Client::sent(&client.send(big).await);
    }
    let stream = client.stub.receive_message(receive("G", "T")).await.unwrap().into_inner();
    drop(stream);
    let mut found = std::collections::BTreeSet::new();
    wait_for(async || {
        let (_, messages) = other.receive(receive("G", "T")).await;
        found.extend(ids(&messages).into_iter().map(str::to_owned));
        // One or two may have been on the wire; they come after their invisible time.
        found.len() >= 6
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn bad_receives_are_refused() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let short = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    for (request, code) in [
        (receive("G", "unknown"), Code::TopicNotFound),
        (receive("G", "a b"), Code::IllegalTopic),
        (receive(" ", "T"), Code::IllegalConsumerGroup),
        (ReceiveMessageRequest { invisible_duration: short, ..receive("G", "T") }, Code::IllegalInvisibleTime),
        (ReceiveMessageRequest { invisible_duration: None, ..receive("G", "T") }, Code::IllegalInvisibleTime),
    ] {
        let (status, messages) = client.receive(request).await;
        check(&Some(status), code);
        assert!(messages.is_empty());
    }
    let mut hasty = tonic::Request::new(receive("G", "T"));
    hasty.set_timeout(Duration::from_secs(3));
    let mut stream = client.stub.receive_message(hasty).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().content.unwrap();
    let receive_message_response::Content::Status(status) = first else { panic!("{first:?}") };
    check(&Some(status), Code::IllegalPollingTime);
    let ack = AckMessageRequest { group: Some(resource("G")), topic: Some(resource("T")), entries: Vec::new() };
    check(&client.stub.ack_message(ack).await.unwrap().into_inner().status, Code::InternalServerError);
    server.stop().await;
}
