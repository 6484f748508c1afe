//! Half messages: commit, rollback, and the question to a producer that forgot.

use std::time::Duration;

use proxy::v2::telemetry_command::Command;
use proxy::v2::*;

use crate::help::{Client, DEADLINE, Server, check, message, producer, resource, system};

fn half(id: &str) -> Message {
    let mut half = message("T", id, b"half");
    system(&mut half).message_type = MessageType::Transaction as i32;
    half
}

fn end(entry: &SendResultEntry, resolution: TransactionResolution) -> EndTransactionRequest {
    EndTransactionRequest {
        topic: Some(resource("T")),
        message_id: entry.message_id.clone(),
        transaction_id: entry.transaction_id.clone(),
        resolution: resolution as i32,
        source: TransactionSource::SourceClient as i32,
        trace_context: String::new(),
    }
}

fn delivered(server: &Server) -> i64 {
    (0..4).map(|queue| server.broker.queue_range("T", queue).1).sum()
}

#[tokio::test]
async fn a_half_is_delivered_when_it_is_committed_and_only_then() {
    let server = Server::start().await;
    server.topic("T", "TRANSACTION");
    let mut client = server.client("c").await;
    let committed = Client::sent(&client.send(half("01C")).await).clone();
    let rolled_back = Client::sent(&client.send(half("01R")).await).clone();
    assert_eq!((delivered(&server), server.broker.open_transactions()), (0, 2));

    let back = end(&rolled_back, TransactionResolution::Rollback);
    check(&client.stub.end_transaction(back).await.unwrap().into_inner().status, Code::Ok);
    assert_eq!((delivered(&server), server.broker.open_transactions()), (0, 1));
    let commit = end(&committed, TransactionResolution::Commit);
    check(&client.stub.end_transaction(commit.clone()).await.unwrap().into_inner().status, Code::Ok);
    assert_eq!((delivered(&server), server.broker.open_transactions()), (1, 0));

    // Decided is decided.
    check(&client.stub.end_transaction(commit.clone()).await.unwrap().into_inner().status, Code::InternalServerError);
    let blank = EndTransactionRequest { transaction_id: " ".into(), ..commit.clone() };
    check(&client.stub.end_transaction(blank).await.unwrap().into_inner().status, Code::InvalidTransactionId);
    let wrong = EndTransactionRequest { transaction_id: "01C".into(), ..commit };
    check(&client.stub.end_transaction(wrong).await.unwrap().into_inner().status, Code::InternalServerError);
    assert_eq!(delivered(&server), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_producer_that_forgot_is_asked() {
    let server = Server::start_with(|config| config.transaction_timeout = Duration::from_millis(50)).await;
    server.topic("T", "TRANSACTION");
    let mut client = server.client("c").await;
    let (mut line, _) = client.settle(producer(&["T"])).await;
    Client::sent(&client.send(half("01Q")).await);
    // As the broker's node does it.
    let checks = tokio::time::timeout(DEADLINE, server.broker.due_checks()).await.unwrap();
    for check in checks {
        server.broker.reach().get(check.connection).unwrap().check_transaction(&check);
    }
    let Command::RecoverOrphanedTransactionCommand(command) = line.hear().await else { panic!() };
    let asked = command.message.unwrap();
    assert_eq!((asked.topic.unwrap().name.as_str(), &asked.body[..]), ("T", &b"half"[..]));
    assert_eq!(asked.system_properties.unwrap().message_id, "01Q");
    let answer = EndTransactionRequest {
        topic: Some(resource("T")),
        message_id: "01Q".into(),
        transaction_id: command.transaction_id,
        resolution: TransactionResolution::Commit as i32,
        source: TransactionSource::SourceServerCheck as i32,
        trace_context: String::new(),
    };
    check(&client.stub.end_transaction(answer).await.unwrap().into_inner().status, Code::Ok);
    assert_eq!(delivered(&server), 1);
    server.stop().await;
}
