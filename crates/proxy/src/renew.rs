//! Messages that push consumers work on: they stay invisible as long as their consumer is there.
//!
//! A push consumer does not say how long it will take; it gets messages for a minute, and here that is made longer as
//! often as needed. Its client knows the first receipt only, so whatever it does with a message is turned into the
//! current one here. Source: `DefaultReceiptHandleManager`, `RenewStrategyPolicy`.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::receipt::Receipt;
use tracing::{debug, warn};

use crate::agree::Backoff;
use crate::context::Context;
use crate::limits::RENEWED_MAX;
use crate::settle::Place;

/// For how long a push consumer gets a message at first. Source: `defaultInvisibleTimeMills`.
pub(crate) const FIRST: Duration = Duration::from_secs(60);

/// For how long then. Source: `RenewStrategyPolicy`.
const NEXT: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(180),
    Duration::from_secs(300),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];

/// What is left when a message is renewed. Source: `renewAheadTimeMillis`.
const AHEAD_MS: i64 = 10_000;
/// Source: `renewMaxTimeMillis`.
const LONGEST_MS: i64 = 3 * 3600 * 1000;
/// Source: `maxRenewRetryTimes`.
const FAILURES_MAX: u32 = 3;
/// When a client is gone, others see its messages this soon. Source: `invisibleTimeMillisWhenClear`.
pub(crate) const WHEN_GONE: Duration = Duration::from_secs(1);
/// Silence after which a client without a stream counts as gone: some send heartbeats every thirty seconds.
const SILENCE_MS: i64 = 40_000;

/// A message as its consumer knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    group: String,
    topic: String,
    handle: String,
}

#[derive(Debug, Clone)]
struct Held {
    client_id: String,
    lite_topic: Option<String>,
    receipt: Receipt,
    first_pop_ms: i64,
    deliveries: i32,
    renewals: usize,
    failures: u32,
}

/// All messages that are renewed.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<HashMap<Key, Held>>);

fn key(group: &str, topic: &str, handle: &str) -> Key {
    Key { group: group.to_owned(), topic: topic.to_owned(), handle: handle.to_owned() }
}

impl Renewals {
    /// Renews a message from now on, which a client knows under this handle.
    pub(crate) fn hold(
        &self,
        client_id: &str,
        Place { group, topic, lite_topic }: Place<'_>,
        handle: &str,
        receipt: Receipt,
        deliveries: i32,
    ) {
        let mut held = self.0.lock();
        if held.len() >= RENEWED_MAX {
            debug!(client = client_id, topic, "message not renewed, there are {RENEWED_MAX} already");
            return;
        }
        let first_pop_ms = receipt.pop_ms;
        let (client_id, lite_topic) = (client_id.to_owned(), lite_topic.map(str::to_owned));
        let message = Held { client_id, lite_topic, receipt, first_pop_ms, deliveries, renewals: 0, failures: 0 };
        held.insert(key(group, topic, handle), message);
    }

    /// The current receipt of a message, which is not renewed any more; `None` if it was not.
    pub(crate) fn take(&self, group: &str, topic: &str, handle: &str) -> Option<Receipt> {
        self.0.lock().remove(&key(group, topic, handle)).map(|held| held.receipt)
    }

    /// Gives back what a client holds.
    pub(crate) fn release(&self, context: &Context, client_id: &str) {
        let gone: Vec<_> = self.0.lock().extract_if(|_, held| held.client_id == client_id).collect();
        for (key, held) in gone {
            change(context, &key, &held, WHEN_GONE);
        }
    }

    /// The server stops, and nobody will know the receipts of now: what was renewed comes again soon. What was not keeps
    /// the receipt that its client has, and may still be acked.
    pub(crate) fn end(&self, context: &Context) {
        for (key, held) in self.0.lock().drain().filter(|(_, held)| held.renewals > 0) {
            change(context, &key, &held, WHEN_GONE);
        }
    }

    /// Renews what is about to become visible.
    pub(crate) fn round(&self, context: &Context) {
        let now_ms = context.broker.now_ms();
        let due: Vec<_> = {
            let held = self.0.lock();
            let due = held.iter().filter(|(_, held)| held.receipt.visible_ms() - now_ms <= AHEAD_MS);
            due.map(|(key, held)| (key.clone(), held.clone())).collect()
        };
        for (key, held) in due {
            self.renew(context, key, held, now_ms);
        }
    }

    fn renew(&self, context: &Context, key: Key, mut held: Held, now_ms: i64) {
        let client = context.clients.get(&held.client_id);
        let there = client.is_some_and(|client| client.is_there(now_ms - SILENCE_MS));
        let too_long = now_ms - held.first_pop_ms >= LONGEST_MS;
        if !there || too_long {
            // Acked in between, it is not ours any more.
            if self.0.lock().remove(&key).is_none() {
                return;
            }
            let pause = match context.broker.groups().get(&key.group) {
                Some(group) if too_long => Backoff::of(&group).pause(held.deliveries),
                _ => WHEN_GONE,
            };
            change(context, &key, &held, pause);
            return;
        }
        let invisible = NEXT[held.renewals.min(NEXT.len() - 1)];
        let mut all = self.0.lock();
        if !all.contains_key(&key) {
            return;
        }
        match change(context, &key, &held, invisible) {
            Some(receipt) => {
                held.receipt = receipt;
                held.renewals += 1;
                held.failures = 0;
            }
            None => held.failures += 1,
        }
        if held.failures >= FAILURES_MAX || held.receipt.visible_ms() <= now_ms {
            warn!(client = held.client_id, topic = key.topic, "message not renewed, it will be delivered again");
            all.remove(&key);
        } else {
            all.insert(key, held);
        }
    }
}

/// Changes the invisible time; the answer is the new receipt.
fn change(context: &Context, key: &Key, held: &Held, invisible: Duration) -> Option<Receipt> {
    let place = Place { group: &key.group, topic: &key.topic, lite_topic: held.lite_topic.as_deref() };
    let changed = place.change_invisible(context, &held.receipt, invisible, false);
    changed
        .inspect_err(|error| {
            let offset = held.receipt.queue_offset;
            debug!(group = key.group, topic = key.topic, offset, %error, "receipt not renewed");
        })
        .ok()
}
