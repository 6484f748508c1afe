//! Clients that ask for more than there is, or never listen.

use std::time::Duration;

use proxy::v2::telemetry_command::Command;
use proxy::v2::*;

use crate::help::{Client, DEADLINE, Server, check, consumer, message, producer, receive, resource, tags};

/// Of `limits.rs`.
const STREAMS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_beyond_the_last_is_refused_and_there_is_room_again_when_one_ends() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut lines = Vec::new();
    // A connection takes some thousand streams; two connections more than enough.
    for connection in 0..4 {
        let mut client = server.client(&format!("c{connection}")).await;
        for _ in 0..STREAMS / 4 {
            lines.push(client.telemetry().await);
        }
    }
    let mut other = server.client("other").await;
    let mut refused = other.telemetry().await;
    let first = refused.from.message().await.unwrap().unwrap();
    check(&first.status, Code::TooManyRequests);
    assert!(refused.from.message().await.unwrap().is_none());
    // The others are served as before.
    let line = &mut lines[0];
    line.say(Command::Settings(producer(&["T"]))).await;
    assert!(matches!(line.hear().await, Command::Settings(_)));
    lines.truncate(STREAMS - 10);
    let room = async {
        loop {
            let mut line = other.telemetry().await;
            let said = TelemetryCommand { status: None, command: Some(Command::Settings(producer(&["T"]))) };
            // A stream that is refused may have ended by now.
            let _ = line.to.send(said).await;
            match line.from.message().await {
                Ok(Some(TelemetryCommand { command: Some(Command::Settings(_)), .. })) => return,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, room).await.expect("there is room again");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_gets_no_more_and_costs_no_more() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let (_line, _) = client.settle(consumer(ClientType::SimpleConsumer, "G0", "T", tags("*"))).await;
    let body = vec![7; 3 << 20];
    for n in 0..8 {
        Client::sent(&client.send(message("T", &format!("0{n}"), &body)).await);
    }
    // Each group gets all the messages once more; nobody reads more than the status. Each on a connection of its own,
    // because what is not read stops the others on the same.
    let mut unread = Vec::new();
    let mut refused = false;
    for group in 0..80 {
        let mut same = server.client("c").await;
        let request = ReceiveMessageRequest { batch_size: 32, ..receive(&format!("G{group}"), "T") };
        let mut stream = same.stub.receive_message(request).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap().content.unwrap();
        let receive_message_response::Content::Status(status) = first else { panic!("{first:?}") };
        if status.code == Code::TooManyRequests as i32 {
            refused = true;
            break;
        }
        check(&Some(status), Code::Ok);
        unread.push((same, stream));
    }
    assert!(refused, "{} answers of at least 3 MiB were all taken", unread.len());
    // Another client is served all the same; and so is this one, once it gave up what it did not read.
    let mut other = server.client("d").await;
    let (status, messages) = other.receive(receive("H", "T")).await;
    check(&Some(status), Code::Ok);
    assert!(!messages.is_empty());
    drop(unread);
    let room = async {
        loop {
            let (status, _) = client.receive(receive("K", "T")).await;
            if status.code != Code::TooManyRequests as i32 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, room).await.expect("there is room again");
    server.stop().await;
}

#[tokio::test]
async fn too_many_of_anything_in_one_call_is_refused() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let messages = (0..1025).map(|n| message("T", &n.to_string(), b"x")).collect();
    let answer = client.stub.send_message(SendMessageRequest { messages }).await.unwrap().into_inner();
    check(&answer.status, Code::PayloadTooLarge);
    let entries = vec![AckMessageEntry::default(); 1025];
    let ack = AckMessageRequest { group: Some(resource("G")), topic: Some(resource("T")), entries };
    check(&client.stub.ack_message(ack).await.unwrap().into_inner().status, Code::PayloadTooLarge);
    let topics: Vec<String> = (0..4097).map(|n| format!("T{n}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut line = client.telemetry().await;
    line.say(Command::Settings(producer(&topics))).await;
    assert_eq!(line.from.message().await.unwrap_err().code(), tonic::Code::InvalidArgument);
    server.stop().await;
}
