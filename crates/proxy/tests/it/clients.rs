//! Settings, heartbeats, leaving, and questions to clients.

use std::sync::Arc;

use broker::{Question, Told};
use protocol::body::GroupConfig;
use proxy::v2::settings::PubSub;
use proxy::v2::telemetry_command::Command;
use proxy::v2::*;

use crate::help::{Client, Server, check, consumer, message, producer, resource, tags};

fn heartbeat() -> HeartbeatRequest {
    HeartbeatRequest { group: None, client_type: ClientType::Producer as i32 }
}

#[tokio::test]
async fn a_producer_is_told_its_settings_and_becomes_a_member() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c1").await;
    check(&client.stub.heartbeat(heartbeat()).await.unwrap().into_inner().status, Code::UnrecognizedClientType);
    let (_line, told) = client.settle(producer(&["T"])).await;
    let Some(PubSub::Publishing(publishing)) = told.pub_sub else { panic!("{told:?}") };
    assert_eq!(publishing.topics, [resource("T")]);
    assert_eq!((publishing.max_body_size, publishing.validate_message_type), (4 << 20, true));
    assert_eq!(told.backoff_policy.unwrap().max_attempts, 3);
    check(&client.stub.heartbeat(heartbeat()).await.unwrap().into_inner().status, Code::Ok);
    // The group of a gRPC producer is its topic.
    let producers = server.broker.sessions().producers("T");
    assert_eq!(producers.len(), 1);
    assert_eq!(producers[0].shown.client_id, "c1");

    let left = client.stub.notify_client_termination(NotifyClientTerminationRequest::default()).await;
    check(&left.unwrap().into_inner().status, Code::Ok);
    assert!(server.broker.sessions().producers("T").is_empty());
    let again = client.stub.notify_client_termination(NotifyClientTerminationRequest::default()).await;
    check(&again.unwrap().into_inner().status, Code::UnrecognizedClientType);
    server.stop().await;
}

#[tokio::test]
async fn a_consumer_of_an_unknown_group_starts_with_defaults() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c1").await;
    let (_line, told) = client.settle(consumer(ClientType::PushConsumer, "G", "T", tags("a||b"))).await;
    let policy = told.backoff_policy.unwrap();
    assert_eq!(policy.max_attempts, 17);
    let Some(retry_policy::Strategy::CustomizedBackoff(backoff)) = policy.strategy else { panic!() };
    assert_eq!(backoff.next.len(), 18);
    let Some(PubSub::Subscription(subscription)) = told.pub_sub else { panic!() };
    assert_eq!((subscription.fifo, subscription.receive_batch_size), (Some(false), Some(32)));
    assert_eq!(subscription.long_polling_timeout.unwrap().seconds, 20);

    assert!(server.broker.groups().get("G").is_some());
    let shown = server.broker.sessions().consumer_connection("G").unwrap();
    assert_eq!(shown.consume_type.as_deref(), Some("CONSUME_PASSIVELY"));
    assert_eq!(shown.connection_set[0].client_id, "c1");
    assert_eq!(shown.subscription_table["T"].tags_set, ["a", "b"]);
    server.stop().await;
}

#[tokio::test]
async fn wrong_settings_end_the_stream() {
    let server = Server::start_with(|config| config.auto_create_group = false).await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c1").await;
    let sql = FilterExpression { r#type: FilterType::Sql as i32, expression: "a >".into() };
    let known = GroupConfig { group_name: "G".into(), ..GroupConfig::default() };
    server.broker.groups().put(known).unwrap();
    for (settings, code) in [
        (producer(&["a b"]), tonic::Code::InvalidArgument),
        (Settings::default(), tonic::Code::InvalidArgument),
        (consumer(ClientType::PushConsumer, " ", "T", tags("*")), tonic::Code::InvalidArgument),
        (consumer(ClientType::PushConsumer, "G", "T", sql), tonic::Code::InvalidArgument),
        (consumer(ClientType::PushConsumer, "unknown", "T", tags("*")), tonic::Code::InvalidArgument),
        (consumer(ClientType::LitePushConsumer, "G", "T", tags("*")), tonic::Code::InvalidArgument),
    ] {
        let mut line = client.telemetry().await;
        line.say(Command::Settings(settings.clone())).await;
        let ended = line.from.message().await.unwrap_err();
        assert_eq!(ended.code(), code, "{settings:?}: {ended}");
    }
    server.stop().await;
}

#[tokio::test]
async fn changed_settings_of_a_group_reach_its_clients() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c1").await;
    let (mut line, _) = client.settle(consumer(ClientType::PushConsumer, "G", "T", tags("*"))).await;
    let group = GroupConfig {
        retry_max_times: 3,
        consume_message_orderly: true,
        ..(*server.broker.groups().get("G").unwrap()).clone()
    };
    server.broker.groups().put(group).unwrap();
    let Command::Settings(told) = line.hear().await else { panic!() };
    assert_eq!(told.backoff_policy.unwrap().max_attempts, 4);
    let Some(PubSub::Subscription(subscription)) = told.pub_sub else { panic!() };
    assert_eq!(subscription.fifo, Some(true));
    server.stop().await;
}

async fn ask(server: &Server, question: Question) -> Result<Told, broker::AskError> {
    let connection = server.broker.sessions().consumers("G")[0].connection;
    let client: Arc<dyn broker::Client> = server.broker.reach().get(connection).unwrap();
    client.ask(question).unwrap().await
}

#[tokio::test]
async fn questions_of_admin_tools_are_asked_and_answered() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c1").await;
    let (mut line, _) = client.settle(consumer(ClientType::PushConsumer, "G", "T", tags("*"))).await;
    let answering = async {
        let Command::PrintThreadStackTraceCommand(command) = line.hear().await else { panic!() };
        let thread_stack_trace = Some("main: waiting".to_owned());
        line.say(Command::ThreadStackTrace(ThreadStackTrace { nonce: command.nonce, thread_stack_trace })).await;
    };
    let (answer, ()) = tokio::join!(ask(&server, Question::ThreadStack), answering);
    assert_eq!(answer.unwrap(), Told::ThreadStack("main: waiting".into()));

    let sent = client.send(message("T", "01AB", b"hello")).await;
    assert_eq!(Client::sent(&sent).message_id, "01AB");
    let record = server.broker.view(0).await;
    let record = match record {
        Ok(record) if protocol::record::RecordView::parse(&record).unwrap().topic() == "T" => record,
        _ => find(&server).await,
    };
    for (code, wanted) in [
        (Code::Ok, Ok(Told::Consumed)),
        (Code::FailedToConsumeMessage, Ok(Told::Later)),
        (Code::MessageCorrupted, Ok(Told::Unreadable)),
        (Code::VerifyFifoMessageUnsupported, Err(())),
    ] {
        let answering = async {
            let Command::VerifyMessageCommand(command) = line.hear().await else { panic!() };
            assert_eq!(command.message.unwrap().body, "hello");
            let result = VerifyMessageResult { nonce: command.nonce };
            let status = Some(Status { code: code as i32, message: "so".into() });
            let said = TelemetryCommand { status, command: Some(Command::VerifyMessageResult(result)) };
            line.to.send(said).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&server, Question::Consume(record.clone())), answering);
        assert_eq!(answer.map_err(drop), wanted, "{code:?}");
    }
    server.stop().await;
}

/// The one record of topic T.
async fn find(server: &Server) -> bytes::Bytes {
    let key = broker::IndexKey::UniqueKey("01AB");
    let query = broker::MessageQuery { topic: "T", key, max: 1, begin_ms: 0, end_ms: i64::MAX };
    for _ in 0..300 {
        if let Some(record) = server.broker.query(&query).await.unwrap().pop() {
            return record;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the message is not in the index");
}

#[tokio::test]
async fn a_client_without_a_stream_cannot_be_asked_and_may_come_back() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c1").await;
    let settings = || consumer(ClientType::SimpleConsumer, "G", "T", tags("*"));
    let (line, _) = client.settle(settings()).await;
    let connection = server.broker.sessions().consumers("G")[0].connection;
    drop(line);
    let gone = async {
        loop {
            if let Err(broker::AskError::Gone(_)) = ask(&server, Question::ThreadStack).await {
                return;
            }
        }
    };
    tokio::time::timeout(crate::help::DEADLINE, gone).await.unwrap();
    // The same client, the same member.
    let (_line, _) = client.settle(settings()).await;
    let members = server.broker.sessions().consumers("G");
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].connection, connection);
    server.stop().await;
}
