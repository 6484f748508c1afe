//! Lite topics: subscribing, receiving in order, losing one to another client.

use protocol::body::{GroupConfig, MessageModel};
use proxy::v2::telemetry_command::Command;
use proxy::v2::*;

use crate::help::{Client, Line, Server, check, consumer, message, receive, resource, system, tags};

/// A parent topic L and a group G of it.
async fn server(model: &str) -> Server {
    let server = Server::start().await;
    server.topic("L", "LITE");
    let attributes = [("+lite.bind.topic", "L"), ("+lite.sub.model", model)];
    let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let group = GroupConfig { group_name: "G".into(), attributes, ..GroupConfig::default() };
    server.broker.groups().put_with_attributes(group).unwrap();
    server
}

async fn client(server: &Server, id: &str) -> (Client, Line) {
    let mut client = server.client(id).await;
    let (line, told) = client.settle(consumer(ClientType::LitePushConsumer, "G", "L", tags("*"))).await;
    let Some(settings::PubSub::Subscription(subscription)) = told.pub_sub else { panic!() };
    assert_eq!((subscription.lite_subscription_quota, subscription.max_lite_topic_size), (Some(2000), Some(64)));
    (client, line)
}

fn change(action: LiteSubscriptionAction, lite_topics: &[&str]) -> SyncLiteSubscriptionRequest {
    SyncLiteSubscriptionRequest {
        action: action as i32,
        topic: Some(resource("L")),
        group: Some(resource("G")),
        lite_topic_set: lite_topics.iter().map(|name| (*name).to_owned()).collect(),
        version: None,
        offset_option: Some(OffsetOption {
            offset_type: Some(offset_option::OffsetType::Policy(offset_option::Policy::Min as i32)),
        }),
    }
}

async fn send(client: &mut Client, lite_topic: &str, id: &str) {
    let mut lite = message("L", id, id.as_bytes());
    system(&mut lite).lite_topic = Some(lite_topic.into());
    Client::sent(&client.send(lite).await);
}

/// As a lite push consumer asks: no filter, no invisible time.
fn push() -> ReceiveMessageRequest {
    let request = receive("G", "L");
    ReceiveMessageRequest {
        auto_renew: true,
        invisible_duration: None,
        filter_expression: None,
        batch_size: 1,
        ..request
    }
}

#[tokio::test]
async fn a_lite_topic_is_received_in_order_by_who_subscribed() {
    let server = server("Shared").await;
    let (mut client, _line) = client(&server, "c").await;
    assert_eq!(server.broker.sessions().message_model("G"), Some(MessageModel::LiteSelective), "as admin tools see it");
    let add = change(LiteSubscriptionAction::PartialAdd, &["s1"]);
    check(&client.stub.sync_lite_subscription(add).await.unwrap().into_inner().status, Code::Ok);
    for (lite_topic, id) in [("s1", "01"), ("s2", "02"), ("s1", "03")] {
        send(&mut client, lite_topic, id).await;
    }
    let (status, messages) = client.receive(push()).await;
    check(&Some(status), Code::Ok);
    assert_eq!(messages[0].body, "01");
    let got = messages[0].system_properties.clone().unwrap();
    assert_eq!((got.lite_topic.as_deref(), got.delivery_attempt), (Some("s1"), Some(1)));
    assert_eq!(got.message_type, MessageType::Lite as i32);

    // Not acked, it blocks; given back, it comes again and counts. The change does not name the lite topic.
    let back = ChangeInvisibleDurationRequest {
        group: Some(resource("G")),
        topic: Some(resource("L")),
        receipt_handle: got.receipt_handle.unwrap(),
        invisible_duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        message_id: got.message_id,
        lite_topic: None,
        suspend: None,
    };
    check(&client.stub.change_invisible_duration(back).await.unwrap().into_inner().status, Code::Ok);
    let (_, messages) = client.receive(push()).await;
    assert_eq!(messages[0].body, "01");
    let got = messages[0].system_properties.clone().unwrap();
    assert_eq!(got.delivery_attempt, Some(2));
    let entry = AckMessageEntry {
        message_id: got.message_id,
        receipt_handle: got.receipt_handle.unwrap(),
        lite_topic: Some("s1".into()),
    };
    let ack = AckMessageRequest { group: Some(resource("G")), topic: Some(resource("L")), entries: vec![entry] };
    check(&client.stub.ack_message(ack).await.unwrap().into_inner().status, Code::Ok);
    let (_, messages) = client.receive(push()).await;
    assert_eq!(messages[0].body, "03");
    server.stop().await;
}

#[tokio::test]
async fn an_exclusive_lite_topic_moves_to_the_newest_subscriber_and_the_old_one_is_told() {
    let server = server("Exclusive").await;
    let (mut old, mut line) = client(&server, "old").await;
    let (mut new, _line) = client(&server, "new").await;
    let add = || change(LiteSubscriptionAction::PartialAdd, &["s1"]);
    check(&old.stub.sync_lite_subscription(add()).await.unwrap().into_inner().status, Code::Ok);
    check(&new.stub.sync_lite_subscription(add()).await.unwrap().into_inner().status, Code::Ok);
    let Command::NotifyUnsubscribeLiteCommand(lost) = line.hear().await else { panic!() };
    assert_eq!(lost.lite_topic, "s1");
    server.stop().await;
}

#[tokio::test]
async fn lite_topics_and_others_do_not_mix() {
    let server = server("Shared").await;
    server.topic("T", "NORMAL");
    let mut other = server.client("c").await;
    for settings in [
        consumer(ClientType::PushConsumer, "G", "L", tags("*")),
        consumer(ClientType::LitePushConsumer, "G", "T", tags("*")),
        consumer(ClientType::LitePushConsumer, "H", "L", tags("*")),
    ] {
        let mut line = other.telemetry().await;
        line.say(Command::Settings(settings)).await;
        assert_eq!(line.from.message().await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    let (mut client, _line) = client(&server, "d").await;
    let add = change(LiteSubscriptionAction::PartialAdd, &["s1"]);
    for (request, code) in [
        (SyncLiteSubscriptionRequest { topic: Some(resource("T")), ..add.clone() }, Code::IllegalTopic),
        (SyncLiteSubscriptionRequest { group: Some(resource("unknown")), ..add.clone() }, Code::IllegalConsumerGroup),
        (change(LiteSubscriptionAction::PartialAdd, &["a b"]), Code::IllegalLiteTopic),
        (
            SyncLiteSubscriptionRequest { lite_topic_set: vec!["s".into(); 2301], ..add },
            Code::LiteSubscriptionQuotaExceeded,
        ),
    ] {
        check(&client.stub.sync_lite_subscription(request).await.unwrap().into_inner().status, code);
    }
    server.stop().await;
}
