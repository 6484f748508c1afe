//! What is still there after a restart, orderly or not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::body::{TopicConfig, TopicRoute};
use protocol::request::{GetRoute, GetRouteHeader, GetTopicConfig, TopicHeader};
use protocol::{code, json};
use testkit::{Client, Message, Pull, Server, ServerCommand, Stored};

use crate::rocketmq;

/// Both ways to end.
const ENDS: [fn(Server) -> ServerCommand; 2] = [Server::kill, |server| server.terminate().1];

async fn queues_of(client: &Client, topic: &str) -> Option<i32> {
    let answer = client.ask::<GetTopicConfig>(&TopicHeader { topic }).await;
    if answer.code == code::TOPIC_NOT_EXIST.0 {
        return None;
    }
    Some(json::parse::<TopicConfig>(&answer.body).expect("settings of a topic").write_queue_nums)
}

#[tokio::test]
async fn topics_survive_as_they_were_last() {
    let mut command = rocketmq();
    for end in ENDS {
        let server = command.start();
        let client = server.client().await;
        client.create_topic("changed", 3).await.expect("it is made");
        client.create_topic("deleted", 3).await.expect("it is made");
        client.create_topic("again", 3).await.expect("it is made");
        client.send("again", 0, &Message::new("old")).await.expect("it is stored");
        client.create_topic("changed", 5).await.expect("it is changed");
        client.delete_topic("deleted").await.expect("it is deleted");
        client.delete_topic("again").await.expect("it is deleted");
        client.create_topic("again", 1).await.expect("it is made");
        let sent = client.send("again", 0, &Message::new("new")).await.expect("it is stored");
        assert_eq!(sent.offset, 0, "a topic of the same name begins anew");

        command = end(server);
        let server = command.start();
        let client = server.client().await;
        assert_eq!(queues_of(&client, "changed").await, Some(5));
        assert_eq!(queues_of(&client, "deleted").await, None);
        assert_eq!(queues_of(&client, "again").await, Some(1));
        let bodies: Vec<_> = client.read("again", 0, 0).await.iter().map(|m| m.text().to_owned()).collect();
        assert_eq!(bodies, ["new"]);

        // The name server has heard of it all by the time the node is ready.
        let names = Client::connect(server.name_server()).await;
        for (topic, queues) in [("changed", Some(5)), ("deleted", None), ("again", Some(1))] {
            let answer = names.ask::<GetRoute>(&GetRouteHeader { topic, accept_standard_json_only: true }).await;
            let route: Option<TopicRoute> = (answer.code == 0).then(|| json::parse(&answer.body).expect("a route"));
            assert_eq!(route.map(|route| route.queue_datas[0].write_queue_nums), queues, "{topic}");
        }
        client.delete_topic("changed").await.expect("it is deleted");
        client.delete_topic("again").await.expect("it is deleted");
        command = server.kill();
    }
}

#[tokio::test]
async fn offsets_survive_an_end_exactly_and_a_kill_nearly() {
    let server = rocketmq().start();
    let client = server.client().await;
    client.create_topic("T", 4).await.expect("it is made");
    for queue in 0..4 {
        client.commit("G", "T", queue, 10 + i64::from(queue)).await.expect("it is committed");
    }
    let server = server.terminate().1.start();
    let client = server.client().await;
    for queue in 0..4 {
        assert_eq!(client.committed("G", "T", queue).await, Ok(10 + i64::from(queue)));
    }
    client.commit("G", "T", 0, 20).await.expect("it is committed");
    // Several times the 200 ms between two saves: this promise is one of time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.commit("G", "T", 0, 30).await.expect("it is committed");
    client.commit("G", "T", 1, 30).await.expect("it is committed");
    let server = server.kill().start();
    let client = server.client().await;
    let first = client.committed("G", "T", 0).await.expect("it stands somewhere");
    assert!(first == 20 || first == 30, "{first}");
    let second = client.committed("G", "T", 1).await.expect("it stands somewhere");
    assert!(second == 11 || second == 30, "{second}");
    assert_eq!(client.committed("G", "T", 2).await, Ok(12));
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis() as i64
}

/// Waits for the message of an offset.
async fn arrival(client: &Client, topic: &str, offset: i64) -> Stored {
    let pull = Pull { wait: Some(Duration::from_secs(20)), ..Pull::from(topic, 0, offset) };
    let mut pulled = client.pull(&pull).await.expect("the queue can be read");
    assert_eq!(pulled.code, 0, "nothing came: {pulled:?}");
    pulled.messages.remove(0)
}

#[tokio::test]
async fn delayed_messages_come_in_time_across_restarts() {
    // Later than promised by this much is the machine's fault.
    const LATE_MAX: i64 = 3000;
    let mut command = rocketmq().set("messageDelayLevel", "1s 3s");
    let mut offset = 0;
    let server = command.start();
    let client = server.client().await;
    client.create_topic("T", 1).await.expect("it is made");
    let begin = now_ms();
    client.send("T", 0, &Message::new("in one life").delay(1)).await.expect("it is stored");
    let message = arrival(&client, "T", offset).await;
    let after = message.store_timestamp - begin;
    assert_eq!(message.text(), "in one life");
    assert!((1000..1000 + LATE_MAX).contains(&after), "after {after} ms");
    offset += 1;
    client.close().await;
    command = server.kill();

    for end in ENDS {
        // Due while the server runs again.
        let server = command.start();
        let client = server.client().await;
        let begin = now_ms();
        client.send("T", 0, &Message::new("due later").delay(2)).await.expect("it is stored");
        let server = end(server).start();
        let back = now_ms() - begin;
        let client = server.client().await;
        let message = arrival(&client, "T", offset).await;
        let after = message.store_timestamp - begin;
        assert_eq!(message.text(), "due later");
        let due = 3000.max(back);
        assert!((3000..due + LATE_MAX).contains(&after), "after {after} ms, the server was back after {back} ms");
        offset += 1;

        // Due while the server does not run.
        client.send("T", 0, &Message::new("overdue").delay(1)).await.expect("it is stored");
        let sent = Instant::now();
        command = end(server);
        tokio::time::sleep(Duration::from_millis(1100).saturating_sub(sent.elapsed())).await;
        let server = command.start();
        let begin = now_ms();
        let client = server.client().await;
        let message = arrival(&client, "T", offset).await;
        assert_eq!(message.text(), "overdue");
        let after = message.store_timestamp - begin;
        assert!(after < 1000, "{after} ms after the start");
        offset += 1;

        // Once each.
        let server = end(server).start();
        assert_eq!(server.client().await.read("T", 0, 0).await.len() as i64, offset);
        command = end(server);
    }
}
