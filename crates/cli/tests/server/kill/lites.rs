//! Lite topics: many small queues of one topic, popped in order by one client, and read from front to back.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::body::{GroupConfig, LiteSubscriptionEntry, LiteSubscriptions};
use protocol::receipt::{ORDER_REVIVE_QUEUE, Receipt, Retry};
use protocol::request::{
    AckMessage, AckMessageHeader, ChangeInvisibleTime, ChangeInvisibleTimeHeader, ChangeInvisibleTimeReply,
    CreateGroup, CreateTopic, CreateTopicHeader, LiteSubscriptionCtl, PopLiteMessage, PopLiteMessageHeader,
    PopLiteMessageReply, Request,
};
use protocol::{Frame, code, json, name, properties};
use rand::RngExt;
use rand::rngs::SmallRng;
use testkit::{Client, Id, Message, Pull, Sent, Stored, Wire};

use super::lives::{Lives, now_ms};
use super::plain::QUEUES;

const TOPIC: &str = "chats";
const GROUP: &str = "chatters";
const CLIENT: &str = "chatter";
/// Lite topics of the first round; each one more adds one.
const NAMES: u64 = 12;
/// Of one round: what is left alone holds up the others of its lite topic.
const MESSAGES_MAX: u64 = 200;
const INVISIBLE_MS_MAX: u64 = 1000;

/// Everything about them, of all rounds.
#[derive(Clone)]
pub(super) struct Lites {
    lives: Lives,
    model: Arc<Mutex<Model>>,
}

#[derive(Default)]
struct Model {
    names: u64,
    /// Lite topic, and whether its producer heard that it is stored.
    sent: HashMap<Id, (String, bool)>,
    lines: BTreeMap<String, Line>,
    again: usize,
}

/// One lite topic.
#[derive(Debug, Default)]
struct Line {
    /// As they were read by pulls.
    read: Vec<Id>,
    /// By offset, as they were popped.
    popped: BTreeMap<i64, Seen>,
}

/// What the client may believe of a message it has popped.
#[derive(Debug)]
struct Seen {
    id: Id,
    /// Nobody sees it before.
    visible_ms: i64,
    ack_asked: bool,
    /// When that was, if the broker said so in time.
    acked_ms: Option<i64>,
}

/// A message that was popped: its lite topic, and what it is settled with.
struct Popped {
    name: String,
    id: Id,
    receipt: Receipt,
}

fn lite_topic(number: u64) -> String {
    format!("chat-{number}")
}

impl Lites {
    pub(super) fn new(lives: &Lives) -> Lites {
        Lites { lives: lives.clone(), model: Arc::default() }
    }

    pub(super) async fn set_up(client: &Client) {
        let header = CreateTopicHeader {
            topic: TOPIC,
            read_queue_nums: QUEUES,
            write_queue_nums: QUEUES,
            perm: 6,
            topic_filter_type: Some("SINGLE_TAG"),
            topic_sys_flag: Some(0),
            order: false,
            attributes: Some("+message.type=LITE"),
        };
        assert_eq!(client.ask::<CreateTopic>(&header).await.code, code::SUCCESS.0);
        let attributes = [("+lite.bind.topic".to_owned(), TOPIC.to_owned())].into();
        let group = GroupConfig { group_name: GROUP.into(), attributes, ..GroupConfig::default() };
        let frame = Frame { code: CreateGroup::CODE, ..Frame::default() }.with_body(json::to_vec(&group));
        assert_eq!(client.call(frame).await.code, code::SUCCESS.0);
    }

    /// Sends until the connection ends.
    pub(super) async fn produce(self, address: SocketAddr, round: u64, mut rng: SmallRng) {
        let Some(mut wire) = Wire::try_connect(address).await else { return };
        let names = {
            let mut model = self.model.lock();
            model.names = NAMES + round;
            model.names
        };
        let mut numbers = round * MESSAGES_MAX..(round + 1) * MESSAGES_MAX;
        while !numbers.is_empty() {
            let some = numbers.by_ref().take(rng.random_range(1..20));
            let ids: Vec<Id> = some.map(|number| Id { producer: 0, number }).collect();
            let send = |id: &Id| {
                let name = lite_topic(rng.random_range(0..names));
                let message = Message::new(id.body(rng.random_range(0..500))).property(properties::LITE_TOPIC, &name);
                self.model.lock().sent.insert(*id, (name, false));
                message.frame(TOPIC, rng.random_range(0..QUEUES))
            };
            let frames: Vec<Frame> = ids.iter().map(send).collect();
            let Some(answers) = wire.ask_all(&frames).await else { return };
            for (id, answer) in ids.iter().zip(&answers) {
                match Sent::from_answer(answer) {
                    Ok(_) => self.model.lock().sent.get_mut(id).expect("it was sent").1 = true,
                    Err(refused) => panic!("{id}: {refused:?}"),
                }
            }
        }
    }

    /// Pops until the connection ends.
    pub(super) async fn consume(self, address: SocketAddr, mut rng: SmallRng) {
        let Some(mut wire) = Wire::try_connect(address).await else { return };
        let mut subscribed = 0;
        loop {
            let names = self.model.lock().names;
            if names != subscribed && self.subscribe(&mut wire, names).await.is_none() {
                return;
            }
            subscribed = names;
            let invisible = Duration::from_millis(rng.random_range(200..=INVISIBLE_MS_MAX));
            let wait = Duration::from_millis(if rng.random_ratio(1, 3) { rng.random_range(1..300) } else { 0 });
            let Some(popped) = self.pop(&mut wire, rng.random_range(1..=32), invisible, wait).await else { return };
            if popped.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let mut wanted = Vec::new();
            for popped in popped {
                match rng.random_range(0..10) {
                    0..8 => wanted.push((popped, None)),
                    8 => wanted.push((popped, Some(rng.random_range(0..INVISIBLE_MS_MAX as i64)))),
                    _ => {}
                }
            }
            if self.settle(&mut wire, wanted).await.is_none() {
                return;
            }
        }
    }

    /// `None` when the connection ended.
    async fn subscribe(&self, wire: &mut Wire, names: u64) -> Option<()> {
        let entry = LiteSubscriptionEntry {
            action: "COMPLETE_ADD".into(),
            client_id: Some(CLIENT.into()),
            group: Some(GROUP.into()),
            lite_topic_set: Some((0..names).map(lite_topic).collect()),
            offset_option: None,
            topic: Some(TOPIC.into()),
            version: 0,
        };
        let body = json::to_vec(&LiteSubscriptions { subscription_set: vec![entry] });
        let frame = Frame { code: LiteSubscriptionCtl::CODE, ..Frame::default() }.with_body(body);
        let answer = wire.ask(&frame).await?;
        assert_eq!(answer.code, code::SUCCESS.0, "{:?}", answer.remark);
        Some(())
    }

    /// `None` when the connection ended.
    async fn pop(&self, wire: &mut Wire, max: i32, invisible: Duration, wait: Duration) -> Option<Vec<Popped>> {
        let header = PopLiteMessageHeader {
            client_id: CLIENT,
            consumer_group: GROUP,
            topic: TOPIC,
            max_msg_num: max,
            invisible_time: invisible.as_millis() as i64,
            poll_time: wait.as_millis() as i64,
            born_time: None,
            attempt_id: None,
        };
        let answer = wire.ask(&Frame::request(PopLiteMessage::CODE, &header)).await?;
        if answer.code == code::POLLING_TIMEOUT.0 {
            return Some(Vec::new());
        }
        assert_eq!(answer.code, code::SUCCESS.0, "{:?}", answer.remark);
        let reply: PopLiteMessageReply<'_> = answer.header().expect("a pop says what it brought");
        let popped: Vec<_> = Stored::all(&answer.body).iter().map(|message| popped(message, &reply)).collect();
        self.delivered(&popped);
        Some(popped)
    }

    /// Of each lite topic come, in order, the first messages that are not acked.
    fn delivered(&self, popped: &[Popped]) {
        let mut model = self.model.lock();
        let at_ms = now_ms();
        let mut again = 0;
        for of_line in popped.chunk_by(|one, next| one.name == next.name) {
            let line = model.lines.entry(of_line[0].name.clone()).or_default();
            let mut next = 0;
            for Popped { name, id, receipt } in of_line {
                let offset = receipt.queue_offset;
                let is_done = |offset: &i64| line.popped.get(offset).is_some_and(|seen| seen.ack_asked);
                assert!(offset >= next, "{name}: offset {offset} came behind {next}");
                let passed = (next..offset).find(|offset| !is_done(offset));
                assert_eq!(passed, None, "{name}: offset {offset} came first, {:?}", self.lives);
                next = offset + 1;
                if let Some(seen) = line.popped.get(&offset) {
                    let context = format!("{name}: offset {offset} came again at {at_ms}: {seen:?}, {:?}", self.lives);
                    assert_eq!(seen.id, *id, "{context}");
                    assert!(seen.acked_ms.is_none() && at_ms >= seen.visible_ms, "{context}");
                    again += 1;
                }
                let ack_asked = line.popped.get(&offset).is_some_and(|seen| seen.ack_asked);
                let visible_ms = receipt.visible_ms();
                line.popped.insert(offset, Seen { id: *id, visible_ms, ack_asked, acked_ms: None });
            }
        }
        model.again += again;
    }

    /// Acks messages, or changes their times to so many milliseconds. `None` when the connection ended.
    async fn settle(&self, wire: &mut Wire, wanted: Vec<(Popped, Option<i64>)>) -> Option<()> {
        let frame = |(popped, change): &(Popped, Option<i64>)| match change {
            Some(invisible_ms) => popped.change(*invisible_ms),
            None => {
                self.with(popped, |seen| seen.ack_asked = true);
                popped.ack()
            }
        };
        let frames: Vec<Frame> = wanted.iter().map(frame).collect();
        // Answers may be read when the server is dead already.
        let asked_ms = now_ms();
        for ((popped, change), answer) in wanted.iter().zip(wire.ask_all(&frames).await?) {
            assert_eq!(answer.code, code::SUCCESS.0, "{}: {:?}", popped.name, answer.remark);
            // Otherwise it may have been too late.
            if now_ms() >= popped.receipt.visible_ms() {
                continue;
            }
            self.with(popped, |seen| match change {
                None => seen.acked_ms = Some(asked_ms),
                Some(_) => {
                    let reply: ChangeInvisibleTimeReply =
                        answer.header().expect("a change says from when on it counts");
                    seen.visible_ms = reply.pop_time + reply.invisible_time;
                }
            });
        }
        Some(())
    }

    fn with(&self, popped: &Popped, change: impl FnOnce(&mut Seen)) {
        let mut model = self.model.lock();
        let line = model.lines.get_mut(&popped.name).expect("it was delivered");
        change(line.popped.get_mut(&popped.receipt.queue_offset).expect("it was delivered"));
    }

    /// The server was killed, and all that it said was heard. What was in flight is forgotten, and so are acks: those
    /// behind a message that is not acked, and what was not saved yet of where the group stands.
    pub(super) fn crashed(&self) {
        for line in self.model.lock().lines.values_mut() {
            let mut is_firm = true;
            for seen in line.popped.values_mut() {
                is_firm &= seen.acked_ms.is_some_and(|acked_ms| !self.lives.may_forget(acked_ms));
                if !is_firm {
                    (seen.acked_ms, seen.visible_ms) = (None, 0);
                }
            }
        }
    }

    /// Reads what is new in each lite topic. Nothing that was there before may be gone.
    pub(super) async fn verify(&self, client: &Client, when: &str) {
        let names = self.model.lock().names;
        for name in (0..names).map(lite_topic) {
            let known = self.model.lock().lines.get(&name).map_or(0, |line| line.read.len() as i64);
            let (_, max) = client.range(&name::lite_queue(TOPIC, &name), 0).await;
            assert!(max >= known, "{when}: lite topic {name} shrank from {known} to {max}");
            let mut next = known;
            while next < max {
                let pull = Pull { lite_topic: Some(&name), ..Pull::from(TOPIC, 0, next) };
                let pulled = client.pull(&pull).await.expect("it may be pulled");
                assert_eq!(pulled.code, code::SUCCESS.0, "{when}: lite topic {name} at {next}: {}", pulled.remark);
                pulled.messages.iter().for_each(|message| self.read(&name, message, when));
                next = pulled.next;
            }
        }
        let model = self.model.lock();
        for (id, (name, acknowledged)) in &model.sent {
            let is_there = || model.lines.get(name).is_some_and(|line| line.read.binary_search(id).is_ok());
            assert!(!acknowledged || is_there(), "{when}: {id} of lite topic {name} is lost");
        }
    }

    fn read(&self, name: &str, message: &Stored, when: &str) {
        let id = Id::of_body(&message.body).expect("every message says who it is");
        let mut model = self.model.lock();
        assert_eq!(model.sent[&id].0, name, "{when}: {id} is in another lite topic");
        let line = model.lines.entry(name.to_owned()).or_default();
        let before = line.read.last();
        assert!(before.is_none_or(|before| *before < id), "{when}: {id} of {name} behind {before:?}");
        let popped = line.popped.get(&(line.read.len() as i64));
        assert!(popped.is_none_or(|seen| seen.id == id), "{when}: {id} of {name} where {popped:?} was");
        line.read.push(id);
    }

    /// Pops and acks until nothing comes any more, and everything that was acknowledged was consumed.
    pub(super) async fn finish(&self, client: &Client) {
        let mut wire = Wire::connect(client.address()).await;
        let names = self.model.lock().names;
        self.subscribe(&mut wire, names).await.expect("the server lives");
        loop {
            let wait = Duration::from_millis(INVISIBLE_MS_MAX + 500);
            let popped = self.pop(&mut wire, 32, Duration::from_secs(10), wait).await.expect("the server lives");
            if popped.is_empty() {
                break;
            }
            let all = popped.into_iter().map(|popped| (popped, None)).collect();
            self.settle(&mut wire, all).await.expect("the server lives");
        }
        let model = self.model.lock();
        for (name, line) in &model.lines {
            let done: Vec<Id> = line.popped.values().filter(|seen| seen.ack_asked).map(|seen| seen.id).collect();
            let lost: Vec<_> = line.read.iter().filter(|id| done.binary_search(id).is_err()).collect();
            assert!(lost.is_empty(), "{name}: {lost:?} were never consumed");
        }
    }
}

fn popped(message: &Stored, reply: &PopLiteMessageReply<'_>) -> Popped {
    let property = |name| message.property(name).unwrap_or_else(|| panic!("{name} is missing: {message:?}"));
    Popped {
        name: property(properties::LITE_TOPIC).to_owned(),
        id: Id::of_body(&message.body).expect("every message says who it is"),
        receipt: Receipt {
            start_offset: 0,
            pop_ms: reply.pop_time,
            invisible_ms: reply.invisible_time,
            revive_queue: ORDER_REVIVE_QUEUE,
            retry: Retry::None,
            broker_name: "broker-a".into(),
            queue_id: 0,
            queue_offset: property(properties::INNER_MULTI_QUEUE_OFFSET).parse().expect("a number"),
            log_offset: None,
        },
    }
}

impl Popped {
    fn ack(&self) -> Frame {
        let header = AckMessageHeader {
            consumer_group: GROUP,
            topic: TOPIC,
            queue_id: 0,
            extra_info: &self.receipt.to_string(),
            offset: self.receipt.queue_offset,
            lite_topic: Some(&self.name),
        };
        Frame::request(AckMessage::CODE, &header)
    }

    fn change(&self, invisible_ms: i64) -> Frame {
        let header = ChangeInvisibleTimeHeader {
            consumer_group: GROUP,
            topic: TOPIC,
            queue_id: 0,
            extra_info: &self.receipt.to_string(),
            offset: self.receipt.queue_offset,
            invisible_time: invisible_ms,
            lite_topic: Some(&self.name),
            suspend: false,
        };
        Frame::request(ChangeInvisibleTime::CODE, &header)
    }
}

impl fmt::Display for Lites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.lock();
        let acknowledged = model.sent.values().filter(|(_, acknowledged)| *acknowledged).count();
        let read: usize = model.lines.values().map(|line| line.read.len()).sum();
        write!(
            f,
            "lite topics: {}, acknowledged {acknowledged}, read {read}, popped again {}",
            model.lines.len(),
            model.again
        )
    }
}
