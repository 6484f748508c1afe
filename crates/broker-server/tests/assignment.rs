//! Which queues consumers are told to consume, where a topic lies at several brokers.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::body::{
    MessageRequestMode, QueryAssignmentBody, QueryAssignmentReply, SetMessageRequestModeBody, TopicConfig,
};
use protocol::request::{QueryAssignment, Request, SetMessageRequestMode};
use protocol::{Frame, code, json};
use settings::Setting;
use testkit::{Client, Message, Node, Pop, eventually, name_server};

async fn node(name: &str, name_server: &str) -> Node {
    let name_server = Setting::parse(name_server).expect("an address");
    Node::start_with(Default::default(), |settings| {
        settings.broker_name = name.to_owned();
        settings.broker_ip1 = Some("127.0.0.1".into());
        settings.namesrv_addr = vec![name_server];
    })
    .await
}

/// What a broker assigns to the client `c0`: broker and queue, and how; `None` for "keep what you have".
async fn assigned(client: &Client) -> Option<(Vec<(String, i32)>, MessageRequestMode)> {
    let asked = QueryAssignmentBody {
        client_id: "c0".into(),
        consumer_group: "G".into(),
        strategy_name: "AVG".into(),
        topic: "T".into(),
        ..QueryAssignmentBody::default()
    };
    let frame = Frame { code: QueryAssignment::CODE, ..Frame::default() }.with_body(json::to_vec(&asked));
    let answer = client.call(frame).await;
    assert_eq!(answer.code, code::SUCCESS.0, "{:?}", answer.remark);
    let reply: QueryAssignmentReply = json::parse(&answer.body).expect("a reply");
    let assignments = reply.message_queue_assignments?;
    let mode = assignments.first()?.mode;
    let queues = assignments.into_iter().map(|one| (one.message_queue.broker_name, one.message_queue.queue_id));
    let mut queues: Vec<_> = queues.collect();
    queues.sort();
    Some((queues, mode))
}

async fn set_mode(client: &Client, mode: MessageRequestMode) {
    let row = SetMessageRequestModeBody { consumer_group: "G".into(), mode, pop_share_queue_num: 0, topic: "T".into() };
    let frame = Frame { code: SetMessageRequestMode::CODE, ..Frame::default() }.with_body(json::to_vec(&row));
    let answer = client.call(frame).await;
    assert_eq!(answer.code, code::SUCCESS.0, "{:?}", answer.remark);
}

fn all(pairs: &[(&str, i32)]) -> Vec<(String, i32)> {
    pairs.iter().map(|(broker, queue)| ((*broker).to_owned(), *queue)).collect()
}

#[tokio::test]
async fn every_broker_shares_out_the_queues_of_all() {
    let (name_server, _dir) = name_server().await;
    let address = name_server.address().to_string();
    let nodes = [node("a", &address).await, node("b", &address).await];
    let mut clients = Vec::new();
    for node in &nodes {
        node.inner().broker().topics().put(TopicConfig::new("T", 2)).expect("a topic is made");
        let client = node.client().await;
        for id in ["c0", "c1"] {
            let member = node.client().await;
            member.heartbeat(id, "G", &["T"]).await;
            clients.push(member);
        }
        clients.push(client);
    }
    for client in [&clients[2], &clients[5]] {
        // The first of two clients has the queues of the first of two brokers.
        let known = async || assigned(client).await.filter(|(queues, _)| *queues == all(&[("a", 0), ("a", 1)]));
        let (_, mode) = eventually("both brokers know of both", known).await;
        assert_eq!(mode, MessageRequestMode::Pull);
        set_mode(client, MessageRequestMode::Pop).await;
        let everything = (all(&[("a", -1), ("b", -1)]), MessageRequestMode::Pop);
        assert_eq!(assigned(client).await, Some(everything));
    }

    // Who follows it gets everything.
    let mut sent = BTreeSet::new();
    for (at, client) in [&clients[2], &clients[5]].into_iter().enumerate() {
        for number in 0..10 {
            let body = format!("{at}-{number}");
            client.send("T", number % 2, &Message::new(body.clone())).await.expect("it is stored");
            sent.insert(body);
        }
    }
    let mut got = BTreeSet::new();
    for client in [&clients[2], &clients[5]] {
        let pop = Pop {
            group: "G",
            topic: "T",
            max: 32,
            invisible: Duration::from_secs(60),
            wait: Duration::from_secs(5),
            order: false,
        };
        let popped = pop.messages(&client.call(pop.frame()).await).expect("it may pop");
        got.extend(popped.into_iter().map(|(message, _)| message.text().to_owned()));
    }
    assert_eq!(got, sent);
    for node in nodes {
        node.stop().await;
    }
    name_server.stop().await;
}

#[tokio::test]
async fn without_an_answer_of_a_name_server_clients_keep_what_they_have() {
    let (name_server, _dir) = name_server().await;
    let address = name_server.address().to_string();
    let node = node("a", &address).await;
    name_server.stop().await;
    node.inner().broker().topics().put(TopicConfig::new("T", 2)).expect("a topic is made");
    let client = node.client().await;
    client.heartbeat("c0", "G", &["T"]).await;
    assert_eq!(assigned(&client).await, None);
    node.stop().await;
}
