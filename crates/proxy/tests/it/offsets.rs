//! Pulling by offset.

use proxy::v2::*;

use crate::help::{Client, Server, check, message, resource, system, tags};

fn queue(id: i32) -> Option<MessageQueue> {
    Some(MessageQueue { topic: Some(resource("T")), id, ..MessageQueue::default() })
}

async fn pull(client: &mut Client, id: i32, offset: i64) -> (Status, Vec<Message>, Option<i64>) {
    let request = PullMessageRequest {
        group: Some(resource("G")),
        message_queue: queue(id),
        offset,
        batch_size: 32,
        filter_expression: Some(tags("*")),
        long_polling_timeout: None,
    };
    let mut stream = client.stub.pull_message(request).await.unwrap().into_inner();
    let (mut status, mut messages, mut next) = (None, Vec::new(), None);
    while let Some(part) = stream.message().await.unwrap() {
        match part.content.unwrap() {
            pull_message_response::Content::Status(first) => status = Some(first),
            pull_message_response::Content::Message(message) => messages.push(message),
            pull_message_response::Content::NextOffset(offset) => next = Some(offset),
        }
    }
    (status.unwrap(), messages, next)
}

#[tokio::test]
async fn a_queue_is_read_by_offset() {
    let server = Server::start().await;
    server.topic("T", "FIFO");
    let mut client = server.client("c").await;
    for n in 0..3 {
        let mut ordered = message("T", &format!("m{n}"), n.to_string().as_bytes());
        system(&mut ordered).message_group = Some("g".into());
        Client::sent(&client.send(ordered).await);
    }
    let id = (0..4).find(|queue| server.broker.queue_range("T", *queue).1 == 3).unwrap();

    let (status, messages, next) = pull(&mut client, id, 1).await;
    check(&Some(status), Code::Ok);
    let bodies: Vec<_> = messages.iter().map(|message| &message.body[..]).collect();
    assert_eq!((bodies, next), (vec![&b"1"[..], b"2"], Some(3)));
    let (status, messages, next) = pull(&mut client, id, 3).await;
    check(&Some(status), Code::Ok);
    assert_eq!((messages.len(), next), (0, Some(3)));
    check(&Some(pull(&mut client, id, 99).await.0), Code::IllegalOffset);
    check(&Some(pull(&mut client, 99, 0).await.0), Code::BadRequest);

    let get = || GetOffsetRequest { group: Some(resource("H")), message_queue: queue(id) };
    assert_eq!(client.stub.get_offset(get()).await.unwrap().into_inner().offset, 0);
    let update = UpdateOffsetRequest { group: Some(resource("H")), message_queue: queue(id), offset: 2 };
    check(&client.stub.update_offset(update.clone()).await.unwrap().into_inner().status, Code::Ok);
    assert_eq!(client.stub.get_offset(get()).await.unwrap().into_inner().offset, 2);
    let negative = UpdateOffsetRequest { offset: -1, ..update };
    check(&client.stub.update_offset(negative).await.unwrap().into_inner().status, Code::IllegalOffset);

    for (policy, offset) in [(QueryOffsetPolicy::Beginning, 0), (QueryOffsetPolicy::End, 3)] {
        let query =
            QueryOffsetRequest { message_queue: queue(id), query_offset_policy: policy as i32, timestamp: None };
        let answer = client.stub.query_offset(query).await.unwrap().into_inner();
        check(&answer.status, Code::Ok);
        assert_eq!(answer.offset, offset);
    }
    let query = QueryOffsetRequest {
        message_queue: queue(id),
        query_offset_policy: QueryOffsetPolicy::Timestamp as i32,
        timestamp: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
    };
    assert_eq!(client.stub.query_offset(query.clone()).await.unwrap().into_inner().offset, 0);
    let query = QueryOffsetRequest { timestamp: None, ..query };
    check(&client.stub.query_offset(query).await.unwrap().into_inner().status, Code::BadRequest);
    server.stop().await;
}
