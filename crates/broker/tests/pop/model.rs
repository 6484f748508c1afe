//! Pops, acks and changes at random, and what the outside world may believe of the messages.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, PopRequest, PoppedMessage};
use protocol::receipt::Receipt;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::help::*;
use crate::popping::*;

/// What the outside world may believe of a message, for one group.
#[derive(Debug, Default, Clone)]
pub(crate) struct Message {
    /// Its producer heard that it is stored.
    pub(crate) stored: bool,
    /// The last delivery: receipt, and until when nobody else may see it.
    last: Option<(Receipt, i64)>,
    /// When anything was last done with it.
    touched_ms: i64,
    /// Acked in time.
    pub(crate) acked: bool,
    /// Acked too late, which counts if it was not handed out again meanwhile.
    pub(crate) acked_late: bool,
    /// Something was done with it right before a crash: it may come early, or twice.
    unsure: bool,
    /// A crash may have made two of it.
    pub(crate) doubled: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) plain: BTreeMap<String, Message>,
    pub(crate) ordered: BTreeMap<String, Message>,
}

impl Model {
    pub(crate) fn side(&mut self, order: bool) -> &mut BTreeMap<String, Message> {
        if order { &mut self.ordered } else { &mut self.plain }
    }

    /// In order, what was acked behind a message that is handed out may come again, and at any time.
    fn reopen_behind(&mut self, open: &Receipt) {
        for message in self.ordered.values_mut().filter(|message| message.acked) {
            let Some((receipt, visible_ms)) = &mut message.last else { continue };
            if receipt.queue_id == open.queue_id && receipt.queue_offset > open.queue_offset {
                (message.acked, message.acked_late, *visible_ms) = (false, true, 0);
            }
        }
    }

    pub(crate) fn crashed(&mut self, at_ms: i64) {
        let last_moment = at_ms - LAST_MOMENT_MS..=at_ms;
        for message in self.plain.values_mut().chain(self.ordered.values_mut()) {
            let ended = message.last.as_ref().is_some_and(|(_, visible_ms)| last_moment.contains(visible_ms));
            message.unsure |= ended || last_moment.contains(&message.touched_ms);
        }
    }
}

/// What a crash takes: offsets are saved every 200 ms, and the log is written at least every 40.
pub(crate) const LAST_MOMENT_MS: i64 = 260;

pub(crate) fn delivered(model: &mut Model, order: bool, found: &[PoppedMessage], now_ms: i64) {
    for one in found {
        let text = body(one);
        let message = model.side(order).get_mut(&text).unwrap_or_else(|| panic!("{text} was never sent"));
        if !message.unsure && !message.doubled {
            assert!(!message.acked, "{text} came at {now_ms} and was acked: {message:?}");
            let early = message.last.as_ref().is_some_and(|(_, visible_ms)| now_ms < *visible_ms);
            assert!(!early, "{text} came at {now_ms}, early: {message:?}");
        }
        (message.acked, message.acked_late, message.touched_ms) = (false, false, now_ms);
        message.last = Some((one.receipt.clone(), one.receipt.visible_ms()));
        if order {
            model.reopen_behind(&one.receipt);
        }
    }
}

/// Messages of one queue come in the order in which they were sent, and none before one that is not acked.
pub(crate) fn check_order(model: &Model, found: &[PoppedMessage]) {
    for of_queue in found.chunk_by(|one, next| one.receipt.queue_id == next.receipt.queue_id) {
        assert!(of_queue.windows(2).all(|two| two[0].receipt.queue_offset < two[1].receipt.queue_offset));
        let (queue_id, first) = (of_queue[0].receipt.queue_id, of_queue[0].receipt.queue_offset);
        for (text, message) in &model.ordered {
            let Some((receipt, _)) = &message.last else { continue };
            let before = receipt.queue_id == queue_id && receipt.queue_offset < first;
            let done = message.acked || message.acked_late || message.unsure;
            assert!(!before || done, "{text} was passed over");
        }
    }
}

pub(crate) async fn step(broker: &Arc<Broker>, model: &RefCell<Model>, random: &mut SmallRng, number: usize) {
    let order = random.random_bool(0.4);
    let topic = if order { "O" } else { "T" };
    match random.random_range(0..10) {
        0..3 => {
            let text = format!("m{number}");
            model.borrow_mut().side(order).insert(text.clone(), Message::default());
            let sent = broker::NewMessage { queue_id: random.random_range(0..2), ..message(topic, "", &text) };
            let receipt = broker.send(&sent).unwrap();
            if random.random_bool(0.9) {
                broker.store().acknowledged().wait(receipt.appended.end).await.unwrap();
                model.borrow_mut().side(order).get_mut(&text).unwrap().stored = true;
            }
        }
        3..7 => {
            let wanted = PopRequest {
                queue_id: random.random_range(-1..2),
                max_messages: random.random_range(1..6),
                invisible: Duration::from_millis(random.random_range(100..1500)),
                wait: Duration::from_millis(if random.random_bool(0.3) { random.random_range(1..400) } else { 0 }),
                order,
                ..request(topic, "G")
            };
            let found = pop(broker, &wanted).await.messages;
            let mut model = model.borrow_mut();
            if order {
                check_order(&model, &found);
            }
            delivered(&mut model, order, &found, broker.now_ms());
        }
        7..9 => {
            let mut model = model.borrow_mut();
            let now_ms = broker.now_ms();
            let mut flying: Vec<_> = model.side(order).values_mut().filter(|message| message.last.is_some()).collect();
            if flying.is_empty() {
                return;
            }
            let at = random.random_range(0..flying.len());
            let message = &mut flying[at];
            let (receipt, visible_ms) = message.last.clone().unwrap();
            ack(broker, topic, "G", &receipt).unwrap();
            message.touched_ms = now_ms;
            (message.acked, message.acked_late) = (message.acked || now_ms < visible_ms, now_ms >= visible_ms);
        }
        _ => {
            let mut model = model.borrow_mut();
            let now_ms = broker.now_ms();
            let wanted = |message: &&mut Message| message.last.is_some() && !message.acked;
            let Some(message) = model.side(order).values_mut().find(wanted) else { return };
            let (receipt, visible_ms) = message.last.clone().unwrap();
            if now_ms < visible_ms {
                let invisible_ms = random.random_range(0..2000);
                let changed = change(broker, topic, "G", &receipt, invisible_ms, false).unwrap();
                let visible_ms = now_ms + invisible_ms as i64;
                message.last = Some((changed, visible_ms));
                message.touched_ms = now_ms;
            }
        }
    }
}

/// Pops and acks until nothing comes any more.
pub(crate) async fn drain(broker: &Arc<Broker>, model: &RefCell<Model>) {
    let mut idle = 0;
    // Two seconds is the longest that anything is invisible, and what is stored again waits for the next write.
    while idle < 7 {
        for order in [false, true] {
            let topic = if order { "O" } else { "T" };
            let found = pop(broker, &PopRequest { order, ..request(topic, "G") }).await.messages;
            idle = if found.is_empty() { idle } else { 0 };
            let mut model = model.borrow_mut();
            if order {
                check_order(&model, &found);
            }
            delivered(&mut model, order, &found, broker.now_ms());
            for one in &found {
                ack(broker, topic, "G", &one.receipt).unwrap();
                model.side(order).get_mut(&body(one)).unwrap().acked = true;
            }
        }
        idle += 1;
        sleep_ms(500).await;
    }
}
