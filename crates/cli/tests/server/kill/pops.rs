//! Messages that are popped: acked, given more or less time, or left alone so that they come again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::receipt::Receipt;
use protocol::{Frame, code};
use rand::RngExt;
use rand::rngs::SmallRng;
use testkit::{Client, History, Id, Pop, Stored, Wire};

use super::lives::{Lives, now_ms};

pub(super) const TASKS: &str = "tasks";
pub(super) const STEPS: &str = "steps";
pub(super) const TOPICS: [&str; 2] = [TASKS, STEPS];
/// Of one round: what is left alone comes later, and in order it holds up the others.
pub(super) const MESSAGES_MAX: u64 = 200;
const INVISIBLE_MS_MAX: u64 = 1000;

/// What one group may believe of a message.
#[derive(Debug, Default)]
struct Seen {
    /// Of the last delivery.
    receipt: Option<Receipt>,
    /// Nobody else may see it before.
    visible_ms: i64,
    /// When something was last done with it, or a little earlier: answers may be read when the server is dead.
    touched_ms: i64,
    /// The broker said so in time.
    acked: bool,
    /// Perhaps: it said so late, or nothing at all.
    perhaps_acked: bool,
    /// A crash may have forgotten what was done with it last: it may come early, or again, once.
    forgotten: bool,
    /// When what was delivered last was stored again, if it was.
    stored_again_ms: Option<i64>,
    /// A crash may have forgotten that it was stored again: there may be two of it from then on.
    doubled: bool,
    deliveries: u32,
    /// Came again although it was acked, as a crash had forgotten it.
    again: bool,
}

impl Seen {
    /// Before anything new is done with it.
    fn touch(&mut self, lives: &Lives, now_ms: i64) {
        self.forgotten |= lives.may_forget(self.touched_ms);
        // The one before as well: it may have been delivered before the crash that made a second one of it.
        let mut stored_again_ms = self.due_ms().into_iter().chain(self.stored_again_ms);
        self.doubled |= stored_again_ms.any(|due_ms| lives.may_repeat(due_ms, now_ms));
        self.touched_ms = now_ms;
    }

    /// When it is stored again. What is popped in order comes again from where it is.
    fn due_ms(&self) -> Option<i64> {
        let is_stored_again = self.receipt.as_ref().is_some_and(|receipt| !receipt.is_order()) && !self.acked;
        is_stored_again.then_some(self.visible_ms)
    }
}

/// One group that pops one topic, one thing after the other, in all rounds.
#[derive(Clone)]
pub(super) struct Pops {
    group: &'static str,
    topic: &'static str,
    order: bool,
    lives: Lives,
    model: Arc<Mutex<Model>>,
}

#[derive(Default)]
struct Model {
    seen: HashMap<Id, Seen>,
    /// Offsets by queue whose acks were asked for.
    done: BTreeMap<i32, BTreeSet<i64>>,
    /// By queue and offset, of what is popped in order.
    places: BTreeMap<(i32, i64), Id>,
}

impl Model {
    /// In order, what was acked behind a message that is handed out may come again, and at any time.
    fn reopen_behind(&mut self, id: Id, receipt: &Receipt) {
        let place = (receipt.queue_id, receipt.queue_offset);
        self.places.insert(place, id);
        for (_, behind) in self.places.range((Bound::Excluded(place), Bound::Included((receipt.queue_id, i64::MAX)))) {
            let seen = self.seen.get_mut(behind).expect("it was delivered");
            if seen.acked {
                (seen.acked, seen.perhaps_acked, seen.visible_ms) = (false, true, 0);
            }
        }
    }
}

impl Pops {
    pub(super) fn new(group: &'static str, topic: &'static str, order: bool, lives: &Lives) -> Pops {
        Pops { group, topic, order, lives: lives.clone(), model: Arc::default() }
    }

    /// Pops until the connection ends.
    pub(super) async fn run(self, address: SocketAddr, mut rng: SmallRng) {
        let Some(mut wire) = Wire::try_connect(address).await else { return };
        loop {
            let pop = self.pop(
                rng.random_range(1..=32),
                Duration::from_millis(rng.random_range(200..=INVISIBLE_MS_MAX)),
                Duration::from_millis(if rng.random_ratio(1, 3) { rng.random_range(1..300) } else { 0 }),
            );
            let Some(answer) = wire.ask(&pop.frame()).await else { return };
            let Some(popped) = self.popped(&pop, &answer) else { return };
            if popped.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let mut wanted = Vec::new();
            for (id, receipt) in popped {
                match rng.random_range(0..10) {
                    0..8 => wanted.push((id, receipt, None)),
                    8 => wanted.push((id, receipt, Some(Duration::from_millis(rng.random_range(0..INVISIBLE_MS_MAX))))),
                    _ => {}
                }
            }
            if self.settle(&mut wire, &pop, wanted).await.is_none() {
                return;
            }
        }
    }

    fn pop(&self, max: i32, invisible: Duration, wait: Duration) -> Pop<'static> {
        Pop { group: self.group, topic: self.topic, max, invisible, wait, order: self.order }
    }

    /// Takes the answer to a pop in. `None` when the server is leaving.
    fn popped(&self, pop: &Pop<'_>, answer: &Frame) -> Option<Vec<(Id, Receipt)>> {
        let found = match pop.messages(answer) {
            Ok(found) => found,
            Err(refused) if refused.code == code::SERVICE_NOT_AVAILABLE.0 => return None,
            Err(refused) => panic!("{}: {refused:?}", self.group),
        };
        if self.order {
            self.check_order(&found);
        }
        let popped = found.into_iter().map(|(message, receipt)| {
            let id = Id::of_body(&message.body).expect("every message says who it is");
            self.delivered(id, &receipt);
            (id, receipt)
        });
        Some(popped.collect())
    }

    fn delivered(&self, id: Id, receipt: &Receipt) {
        let mut model = self.model.lock();
        let seen = model.seen.entry(id).or_default();
        // The time of the pop may be a little before the broker looked, and that of the ack.
        let at_ms = now_ms();
        seen.touch(&self.lives, receipt.pop_ms);
        if !seen.forgotten && !seen.doubled {
            let (group, lives) = (self.group, &self.lives);
            assert!(!seen.acked, "{group}: {id} came again at {at_ms} and was acked: {seen:?}, {lives:?}");
            let early = at_ms < seen.visible_ms;
            assert!(!early, "{group}: {id} came again at {at_ms}, early: {seen:?}, {lives:?}");
        }
        seen.again |= seen.acked;
        seen.stored_again_ms = seen.due_ms();
        (seen.acked, seen.perhaps_acked, seen.forgotten) = (false, false, false);
        seen.visible_ms = receipt.visible_ms();
        seen.receipt = Some(receipt.clone());
        seen.deliveries += 1;
        if self.order {
            model.reopen_behind(id, receipt);
        }
    }

    /// Of each queue come, in order, the first messages that are not acked.
    fn check_order(&self, found: &[(Stored, Receipt)]) {
        let model = self.model.lock();
        for of_queue in found.chunk_by(|(_, one), (_, next)| one.queue_id == next.queue_id) {
            let (queue, first) = (of_queue[0].1.queue_id, of_queue[0].1.queue_offset);
            let rises = of_queue.windows(2).all(|two| two[0].1.queue_offset < two[1].1.queue_offset);
            assert!(rises, "{}: queue {queue} comes in order: {found:?}", self.group);
            let done = model.done.get(&queue);
            let passed = (0..first).find(|offset| !done.is_some_and(|done| done.contains(offset)));
            assert_eq!(passed, None, "{}: offset {first} of queue {queue} came first", self.group);
        }
    }

    /// Acks messages, or changes their times. `None` when the connection ended.
    async fn settle(&self, wire: &mut Wire, pop: &Pop<'_>, wanted: Vec<(Id, Receipt, Option<Duration>)>) -> Option<()> {
        let mut frames = Vec::new();
        for (id, receipt, change) in &wanted {
            let mut model = self.model.lock();
            let seen = model.seen.get_mut(id).expect("it was delivered");
            seen.touch(&self.lives, now_ms());
            frames.push(match change {
                Some(invisible) => pop.change(receipt, *invisible),
                None => {
                    seen.perhaps_acked = true;
                    model.done.entry(receipt.queue_id).or_default().insert(receipt.queue_offset);
                    pop.ack(receipt)
                }
            });
        }
        let answers = wire.ask_all(&frames).await?;
        for ((id, receipt, change), answer) in wanted.into_iter().zip(answers) {
            assert_eq!(answer.code, code::SUCCESS.0, "{}: {:?}", self.group, answer.remark);
            let mut model = self.model.lock();
            let seen = model.seen.get_mut(&id).expect("it was delivered");
            // Otherwise it may have been too late.
            let in_time = now_ms() < receipt.visible_ms();
            match change {
                None => seen.acked = in_time,
                Some(_) if in_time => {
                    let receipt = pop.changed(&receipt, &answer).expect("it was accepted");
                    seen.visible_ms = receipt.visible_ms();
                    seen.receipt = Some(receipt);
                }
                Some(_) => {}
            }
        }
        Some(())
    }

    /// Pops and acks until nothing comes any more, and everything that was acknowledged was consumed.
    pub(super) async fn finish(&self, client: &Client, history: &Mutex<History>) {
        let mut wire = Wire::connect(client.address()).await;
        loop {
            let wait = Duration::from_millis(INVISIBLE_MS_MAX + 500);
            let pop = self.pop(32, Duration::from_secs(10), wait);
            let answer = wire.ask(&pop.frame()).await.expect("the server lives");
            let popped = self.popped(&pop, &answer).expect("the server lives");
            if popped.is_empty() {
                break;
            }
            let all = popped.into_iter().map(|(id, receipt)| (id, receipt, None)).collect();
            self.settle(&mut wire, &pop, all).await.expect("the server lives");
        }
        let model = self.model.lock();
        for id in history.lock().acknowledged_in(self.topic) {
            let consumed = model.seen.get(&id).is_some_and(|seen| seen.acked || seen.perhaps_acked);
            assert!(consumed, "{}: {id} is lost: {:?}", self.group, model.seen.get(&id));
        }
    }
}

impl fmt::Display for Pops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.lock();
        let count = |wanted: fn(&Seen) -> bool| model.seen.values().filter(|seen| wanted(seen)).count();
        write!(
            f,
            "{}: messages {}, delivered more than once {}, after an ack that a crash forgot {}, perhaps stored twice {}",
            self.group,
            model.seen.len(),
            count(|seen| seen.deliveries > 1),
            count(|seen| seen.again),
            count(|seen| seen.doubled)
        )
    }
}
