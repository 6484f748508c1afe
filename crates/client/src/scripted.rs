//! The client against servers that answer what a test tells them to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::body::{BrokerData, ConsumerIdList, HeartbeatData, QueueData, TopicRoute};
use protocol::code::{self, Code};
use protocol::request::{self, OffsetReply, PullMessageReply, Request, SendMessageReply};
use protocol::{Frame, json};
use remoting::{Answer, NoParked, Peer, Response, Service};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::message::tests::{record, sample};
use crate::{Client, Config, ConsumerConfig, Error, Message, Received, Select, Start};

/// A server, its name, and what it was asked.
struct Scripted {
    address: SocketAddr,
    asked: Mutex<Vec<Frame>>,
    script: Box<Script>,
}

type Script = dyn Fn(&Scripted, &Frame) -> Response + Send + Sync;

impl Scripted {
    /// Values of a field in all requests of a kind.
    fn values<R: Request>(&self, field: &str) -> Vec<String> {
        let asked = self.asked.lock();
        let same = asked.iter().filter(|request| request.code == R::CODE);
        same.filter_map(|request| request.fields.get(field)).map(str::to_owned).collect()
    }

    fn count<R: Request>(&self) -> usize {
        self.asked.lock().iter().filter(|request| request.code == R::CODE).count()
    }

    /// Client ids of all heartbeats.
    fn members(&self) -> Vec<String> {
        let asked = self.asked.lock();
        let beats = asked.iter().filter(|request| request.code == request::HeartBeat::CODE);
        beats.map(|beat| json::parse::<HeartbeatData>(&beat.body).unwrap().client_id).collect()
    }
}

impl Service for Scripted {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame, _arrived: tokio::time::Instant) -> Answer<NoParked> {
        self.asked.lock().push(request.clone());
        let response = (self.script)(self, &request);
        if response.code == code::PULL_NOT_FOUND {
            // As if it had been held.
            return Answer::later(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(response)
            });
        }
        response.into()
    }
}

fn serve(script: impl Fn(&Scripted, &Frame) -> Response + Send + Sync + 'static) -> (Arc<Scripted>, DropGuard) {
    let socket = remoting::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let server = Arc::new(Scripted { address, asked: Mutex::default(), script: Box::new(script) });
    let stop = CancellationToken::new();
    tokio::spawn(remoting::Listener::new(socket, server.clone(), Arc::default()).run(stop.clone()));
    (server, stop.drop_guard())
}

/// A name server that knows the topic `T` with two queues at each of these brokers.
fn name_server(brokers: &[(&str, SocketAddr)]) -> (Arc<Scripted>, DropGuard) {
    let data = |(name, address): &(&str, SocketAddr)| BrokerData {
        broker_addrs: [(0, address.to_string())].into(),
        broker_name: (*name).to_owned(),
        ..BrokerData::default()
    };
    let queues = |(name, _): &(&str, SocketAddr)| QueueData {
        broker_name: (*name).to_owned(),
        perm: 6,
        read_queue_nums: 2,
        write_queue_nums: 2,
        ..QueueData::default()
    };
    let broker_datas = brokers.iter().map(data).collect();
    let queue_datas = brokers.iter().map(queues).collect();
    let route = TopicRoute { broker_datas, queue_datas, ..TopicRoute::default() };
    serve(move |_, request| match (request.code, request.fields.get("topic")) {
        (request::GetRoute::CODE, Some("T")) => Response::ok().with_body(json::to_vec(&route)),
        (request::GetRoute::CODE, _) => Response::error(code::TOPIC_NOT_EXIST, "No topic route info"),
        _ => Response::ok(),
    })
}

/// A broker that answers every send like this.
fn sends(code: Code) -> (Arc<Scripted>, DropGuard) {
    serve(move |_, request| {
        if request.code != request::SendMessageV2::CODE {
            return Response::ok();
        }
        let queue_id = request.fields.get("e").and_then(|id| id.parse().ok()).unwrap_or_default();
        let reply = SendMessageReply {
            recall_handle: None,
            msg_id: "0A",
            queue_id,
            queue_offset: 5,
            transaction_id: None,
            msg_region: None,
            trace_on: None,
        };
        Response { code, ..Response::of(&reply) }
    })
}

async fn connect(name_server: &Scripted) -> Client {
    Client::connect(Config::new([name_server.address.to_string()])).await.unwrap()
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_at_another_broker() {
    let ((busy, _a), (good, _b)) = (sends(code::SYSTEM_BUSY), sends(code::SUCCESS));
    let (names, _n) = name_server(&[("busy", busy.address), ("good", good.address)]);
    let client = connect(&names).await;
    let producer = client.producer("P");
    for _ in 0..4 {
        let receipt = producer.send(&Message::new("T", "x")).await.unwrap();
        assert_eq!((receipt.queue.broker_name.as_str(), receipt.offset), ("good", 5));
    }
    assert!(busy.count::<request::SendMessageV2>() > 0);
    client.close().await;
    assert_eq!(good.values::<request::UnregisterClient>("producerGroup"), ["P"]);
}

#[tokio::test]
async fn a_refusal_for_good_and_a_chosen_queue_are_not_tried_elsewhere() {
    let ((illegal, _a), (busy, _b)) = (sends(code::MESSAGE_ILLEGAL), sends(code::SYSTEM_BUSY));
    let (names, _n) = name_server(&[("illegal", illegal.address)]);
    let client = connect(&names).await;
    let error = client.producer("P").send(&Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.code(), Some(code::MESSAGE_ILLEGAL));
    assert_eq!(illegal.count::<request::SendMessageV2>(), 1);

    let (names, _n) = name_server(&[("busy", busy.address)]);
    let client = connect(&names).await;
    let error = client.producer("P").send_to(&Message::new("T", "x"), Select::Key("k")).await.unwrap_err();
    assert_eq!(error.code(), Some(code::SYSTEM_BUSY));
    assert_eq!(busy.count::<request::SendMessageV2>(), 1);
}

#[tokio::test]
async fn messages_of_one_key_go_to_one_queue() {
    let (good, _b) = sends(code::SUCCESS);
    let (names, _n) = name_server(&[("a", good.address), ("b", good.address)]);
    let client = connect(&names).await;
    let producer = client.producer("P");
    let mut queues = HashMap::new();
    for key in ["k0", "k1", "k0", "k2", "k1", "k0", "k3"] {
        let receipt = producer.send_to(&Message::new("T", "x"), Select::Key(key)).await.unwrap();
        let first = queues.entry(key).or_insert_with(|| receipt.queue.clone());
        assert_eq!(*first, receipt.queue);
    }
}

#[tokio::test]
async fn a_silent_name_server_is_passed_over() {
    let (good, _b) = sends(code::SUCCESS);
    let (names, _n) = name_server(&[("good", good.address)]);
    let client = Client::connect(Config::new([format!("127.0.0.1:1;{}", names.address)])).await.unwrap();
    assert!(client.producer("P").send(&Message::new("T", "x")).await.is_ok());

    let nobody = Client::connect(Config::new(["127.0.0.1:1"])).await.err().unwrap();
    assert!(matches!(nobody, Error::NameServer { .. }), "{nobody}");
}

#[tokio::test]
async fn an_unknown_topic_is_named() {
    let (names, _n) = name_server(&[]);
    let client = connect(&names).await;
    let error = client.producer("P").send(&Message::new("other", "x")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic(topic) if topic == "other"));
}

/// A broker whose queue 0 of `T` holds four messages, the first of them at offset 10.
fn four_messages() -> (Arc<Scripted>, DropGuard) {
    let message = |offset| {
        let mut message = sample();
        (message.queue_id, message.offset, message.log_offset) = (0, offset, offset * 100);
        message
    };
    let messages: Vec<Received> = (10..14).map(message).collect();
    serve(move |server, request| match request.code {
        request::GetConsumerList::CODE => {
            let ids = ConsumerIdList { consumer_id_list: server.members() };
            Response::ok().with_body(json::to_vec(&ids))
        }
        request::QueryConsumerOffset::CODE => Response::error(code::QUERY_NOT_FOUND, "not found"),
        request::GetMinOffset::CODE => Response::of(&OffsetReply { offset: 10 }),
        request::GetMaxOffset::CODE => Response::of(&OffsetReply { offset: 14 }),
        request::PullMessage::CODE => pull(&messages, request),
        _ => Response::ok(),
    })
}

fn pull(messages: &[Received], request: &Frame) -> Response {
    let from: i64 = request.fields.get("queueOffset").and_then(|offset| offset.parse().ok()).unwrap_or_default();
    let here = request.fields.get("queueId") == Some("0");
    let found: Vec<u8> =
        messages.iter().filter(|m| here && m.offset >= from).flat_map(|m| record(m, 0, &m.body)).collect();
    let reply = PullMessageReply {
        suggest_which_broker_id: 0,
        next_begin_offset: 14,
        min_offset: 10,
        max_offset: 14,
        topic_sys_flag: None,
        group_sys_flag: None,
        forbidden_type: None,
    };
    let code = if found.is_empty() { code::PULL_NOT_FOUND } else { code::SUCCESS };
    Response { code, ..Response::of(&reply) }.with_body(found)
}

#[tokio::test]
async fn a_reader_of_all_queues_ends_where_they_end() {
    let (broker, _b) = four_messages();
    let (names, _n) = name_server(&[("broker-a", broker.address)]);
    let client = connect(&names).await;
    let config = ConsumerConfig::all_queues().topic("T").start(Start::First).until_end();
    let mut consumer = client.consumer(config).await.unwrap();
    let mut offsets = Vec::new();
    while let Some(batch) = consumer.recv().await {
        offsets.extend(batch.messages().iter().map(|message| message.offset));
    }
    consumer.close().await;
    assert_eq!(offsets, [10, 11, 12, 13]);
    assert_eq!(broker.count::<request::UpdateConsumerOffset>(), 0);
    assert_eq!(broker.count::<request::HeartBeat>(), 0);
}

/// Starts a member of a group, waits for its batch, lets `finish` deal with it and closes the consumer.
async fn member(finish: impl FnOnce(crate::Batch)) -> (Arc<Scripted>, DropGuard) {
    let (broker, guard) = four_messages();
    let (names, _n) = name_server(&[("broker-a", broker.address)]);
    let client = connect(&names).await;
    let mut consumer = client.consumer(ConsumerConfig::group("G").topic("T").start(Start::First)).await.unwrap();
    let batch = consumer.recv().await.unwrap();
    assert_eq!(batch.messages().len(), 4);
    finish(batch);
    consumer.close().await;
    client.close().await;
    (broker, guard)
}

/// The last offset of queue 0 that was committed, with a pull or by itself.
fn committed(broker: &Scripted) -> Option<i64> {
    let asked = broker.asked.lock();
    let commits = asked.iter().filter(|request| {
        let fields = &request.fields;
        let with_pull = request.code == request::PullMessage::CODE && fields.get("sysFlag") == Some("7");
        fields.get("queueId") == Some("0") && (with_pull || request.code == request::UpdateConsumerOffset::CODE)
    });
    commits.filter_map(|request| request.fields.get("commitOffset")?.parse().ok()).next_back()
}

#[tokio::test]
async fn what_is_acknowledged_is_committed_when_the_member_leaves() {
    let (broker, _guard) = member(crate::Batch::ack).await;
    assert_eq!(committed(&broker), Some(14));
    assert_eq!(broker.count::<request::ConsumerSendBack>(), 0);
    assert_eq!(broker.values::<request::UnregisterClient>("consumerGroup"), ["G"]);
}

#[tokio::test]
async fn what_failed_is_given_back_and_then_committed() {
    let (broker, _guard) = member(|mut batch| {
        batch.fail(2);
        batch.ack();
    })
    .await;
    assert_eq!(broker.values::<request::ConsumerSendBack>("offset"), ["1200"]);
    assert_eq!(committed(&broker), Some(14));
}

#[tokio::test]
async fn a_batch_that_is_dropped_has_failed() {
    let (broker, _guard) = member(drop).await;
    assert_eq!(broker.values::<request::ConsumerSendBack>("offset"), ["1000", "1100", "1200", "1300"]);
    assert_eq!(committed(&broker), Some(14));
}

#[tokio::test]
async fn what_is_left_of_a_batch_is_not_committed() {
    let (broker, _guard) = member(|batch| batch.ack_first(3)).await;
    assert_eq!(committed(&broker), Some(13));
    assert_eq!(broker.count::<request::ConsumerSendBack>(), 0);
}
