//! Messages that wait for their time, some of them recalled.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::properties;
use protocol::request::{RecallMessage, RecallMessageHeader, Request};
use protocol::{Frame, code};
use rand::RngExt;
use rand::rngs::SmallRng;
use testkit::{Client, Id, Message, Sent, Stored, Wire, eventually};

use super::lives::{Lives, now_ms};
use super::reader::Reader;

pub(super) const TOPIC: &str = "reminders";
/// All 18, and none that takes longer than the test.
pub(super) const LEVELS: &str = "1s 2s 3s 1s 2s 3s 1s 2s 3s 1s 2s 3s 1s 2s 3s 1s 2s 3s";
const LONGEST_MS: i64 = 3000;
/// Of one round.
const MESSAGES_MAX: u64 = 400;

/// What the outside world may believe of a message.
#[derive(Debug)]
struct Timer {
    /// Not before.
    due_ms: i64,
    acknowledged: bool,
    handle: Option<String>,
    recall_asked: bool,
    /// The broker said that it is recalled.
    recalled: bool,
    /// When it was delivered.
    delivered: Vec<i64>,
}

/// Everything about them, of all rounds.
#[derive(Clone)]
pub(super) struct Timers {
    lives: Lives,
    timers: Arc<Mutex<HashMap<Id, Timer>>>,
    reader: Arc<Mutex<Reader>>,
}

impl Timers {
    pub(super) fn new(lives: &Lives) -> Timers {
        Timers { lives: lives.clone(), timers: Arc::default(), reader: Arc::new(Mutex::new(Reader::of(TOPIC))) }
    }

    /// Sends and recalls until the connection ends.
    pub(super) async fn run(self, address: SocketAddr, round: u64, mut rng: SmallRng) {
        let Some(mut wire) = Wire::try_connect(address).await else { return };
        let mut numbers = round * MESSAGES_MAX..(round + 1) * MESSAGES_MAX;
        while !numbers.is_empty() {
            let some = numbers.by_ref().take(rng.random_range(1..20));
            let ids: Vec<Id> = some.map(|number| Id { producer: 0, number }).collect();
            let frames: Vec<Frame> = ids.iter().map(|id| self.timer(*id, &mut rng)).collect();
            let Some(answers) = wire.ask_all(&frames).await else { return };
            for (id, answer) in ids.iter().zip(&answers) {
                let sent = match Sent::from_answer(answer) {
                    Ok(sent) => sent,
                    Err(refused) => panic!("{id}: {refused:?}"),
                };
                let mut timers = self.timers.lock();
                let timer = timers.get_mut(id).expect("it was sent");
                (timer.acknowledged, timer.handle) = (true, sent.recall_handle);
            }
            let recalled: Vec<Id> = ids.into_iter().filter(|_| rng.random_ratio(1, 5)).collect();
            if self.recall(&mut wire, &recalled).await.is_none() {
                return;
            }
        }
    }

    /// The request that sends one.
    fn timer(&self, id: Id, rng: &mut SmallRng) -> Frame {
        let message = Message::new(id.body(rng.random_range(0..500))).unique_key(&format!("timer-{id}"));
        let (now_ms, delay_ms) = (now_ms(), rng.random_range(0..LONGEST_MS));
        let (message, due_ms) = match rng.random_range(0..3) {
            0 => {
                let level = rng.random_range(1..=18);
                (message.delay(level), now_ms + i64::from((level - 1) % 3 + 1) * 1000)
            }
            1 => (message.property(properties::TIMER_DELAY_MS, &delay_ms.to_string()), now_ms + delay_ms),
            _ => {
                let due_ms = now_ms + delay_ms;
                (message.property(properties::TIMER_DELIVER_MS, &due_ms.to_string()), due_ms)
            }
        };
        let (handle, delivered) = (None, Vec::new());
        let timer = Timer { due_ms, acknowledged: false, handle, recall_asked: false, recalled: false, delivered };
        assert!(self.timers.lock().insert(id, timer).is_none(), "{id} is new");
        message.frame(TOPIC, rng.random_range(0..4))
    }

    /// `None` when the connection ended.
    async fn recall(&self, wire: &mut Wire, ids: &[Id]) -> Option<()> {
        let mut asked = Vec::new();
        let mut frames = Vec::new();
        for id in ids {
            let mut timers = self.timers.lock();
            let timer = timers.get_mut(id).expect("it was sent");
            // The delay levels have no handles.
            let Some(recall_handle) = &timer.handle else { continue };
            let header = RecallMessageHeader { producer_group: Some("P"), topic: TOPIC, recall_handle };
            frames.push(Frame::request(RecallMessage::CODE, &header));
            timer.recall_asked = true;
            asked.push(*id);
        }
        for (id, answer) in asked.iter().zip(wire.ask_all(&frames).await?) {
            // Refused when its time has come.
            let recalled = answer.code == code::SUCCESS.0;
            self.timers.lock().get_mut(id).expect("it was sent").recalled = recalled;
        }
        Some(())
    }

    /// Reads what was delivered since the last look.
    pub(super) async fn verify(&self, client: &Client, when: &str) {
        let mut reader = std::mem::replace(&mut *self.reader.lock(), Reader::of(TOPIC));
        for message in reader.read(client, when).await {
            self.delivered(&message, when);
        }
        *self.reader.lock() = reader;
    }

    fn delivered(&self, message: &Stored, when: &str) {
        let mut timers = self.timers.lock();
        let id = Id::of_body(&message.body).expect("every message says who it is");
        let timer = timers.get_mut(&id).expect("only what was sent is delivered");
        let at_ms = message.store_timestamp;
        assert!(!timer.recalled, "{when}: timer {id} came and was recalled: {timer:?}");
        assert!(at_ms >= timer.due_ms, "{when}: timer {id} came at {at_ms}, early: {timer:?}");
        let again = timer.delivered.last().is_none_or(|before_ms| self.lives.may_repeat(*before_ms, at_ms));
        assert!(again, "{when}: timer {id} came twice, at {at_ms} as well: {timer:?}, {:?}", self.lives);
        timer.delivered.push(at_ms);
    }

    /// Waits until everything that must come has come.
    pub(super) async fn finish(&self, client: &Client) {
        tokio::time::sleep(Duration::from_millis(LONGEST_MS as u64)).await;
        let is_missing = |timer: &Timer| timer.acknowledged && !timer.recall_asked && timer.delivered.is_empty();
        let all = async || {
            self.verify(client, "at the end").await;
            (!self.timers.lock().values().any(is_missing)).then_some(())
        };
        eventually("every timer is delivered", all).await;
    }
}

impl fmt::Display for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timers = self.timers.lock();
        let count = |wanted: fn(&Timer) -> bool| timers.values().filter(|timer| wanted(timer)).count();
        write!(
            f,
            "timers: acknowledged {}, recalled {}, delivered {}, of these again after a crash {}",
            count(|timer| timer.acknowledged),
            count(|timer| timer.recalled),
            count(|timer| !timer.delivered.is_empty()),
            count(|timer| timer.delivered.len() > 1)
        )
    }
}
