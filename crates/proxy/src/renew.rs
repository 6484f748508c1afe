//! Messages that push consumers work on: they stay invisible as long as their consumer is there.
//!
//! A push consumer does not say how long it will take; it gets messages for a minute, and here that is made longer as
//! often as needed. Its client knows the first receipt only, so whatever it does with a message is turned into the
//! current one here. Source: `DefaultReceiptHandleManager`, `RenewStrategyPolicy`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use protocol::receipt::Receipt;
use tracing::{debug, warn};

use crate::agree::Backoff;
use crate::context::Context;
use crate::limits::{RENEWED_MAX, RENEWING_MAX};
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

struct Held {
    client_id: String,
    lite_topic: Option<String>,
    first_pop_ms: i64,
    deliveries: i32,
    /// When it becomes visible, to be looked at without the lock.
    visible_ms: AtomicI64,
    /// Held while the message is renewed: whoever acks it meanwhile waits for the receipt that counts then.
    now: tokio::sync::Mutex<Now>,
}

/// What changes with each renewal.
struct Now {
    receipt: Receipt,
    renewals: usize,
    failures: u32,
}

/// All messages that are renewed.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<HashMap<Key, Arc<Held>>>);

fn key(group: &str, topic: &str, handle: &str) -> Key {
    Key { group: group.to_owned(), topic: topic.to_owned(), handle: handle.to_owned() }
}

fn place<'a>(key: &'a Key, held: &'a Held) -> Place<'a> {
    Place { group: &key.group, topic: &key.topic, lite_topic: held.lite_topic.as_deref() }
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
        let mut all = self.0.lock();
        if all.len() >= RENEWED_MAX {
            debug!(client = client_id, topic, "message not renewed, there are {RENEWED_MAX} already");
            return;
        }
        let held = Held {
            client_id: client_id.to_owned(),
            lite_topic: lite_topic.map(str::to_owned),
            first_pop_ms: receipt.pop_ms,
            deliveries,
            visible_ms: AtomicI64::new(receipt.visible_ms()),
            now: tokio::sync::Mutex::new(Now { receipt, renewals: 0, failures: 0 }),
        };
        all.insert(key(group, topic, handle), Arc::new(held));
    }

    /// The current receipt of a message, which is not renewed any more; `None` if it was not.
    pub(crate) async fn take(&self, group: &str, topic: &str, handle: &str) -> Option<Receipt> {
        let held = self.0.lock().remove(&key(group, topic, handle))?;
        let receipt = held.now.lock().await.receipt.clone();
        Some(receipt)
    }

    /// Gives back what a client holds.
    pub(crate) fn release(&self, context: &Context, client_id: &str) {
        let gone: Vec<_> = self.0.lock().extract_if(|_, held| held.client_id == client_id).collect();
        for (key, held) in gone {
            // One that is renewed this moment stays away as long as that says; its client left without a word.
            if let Ok(now) = held.now.try_lock() {
                context.backend.give_back(place(&key, &held), &now.receipt, WHEN_GONE);
            }
        }
    }

    /// The server stops, and nobody will know the receipts of now: what was renewed comes again soon. What was not keeps
    /// the receipt that its client has, and may still be acked.
    pub(crate) fn end(&self, context: &Context) {
        let gone: Vec<_> = self.0.lock().drain().collect();
        for (key, held) in gone {
            if let Ok(now) = held.now.try_lock()
                && now.renewals > 0
            {
                context.backend.give_back(place(&key, &held), &now.receipt, WHEN_GONE);
            }
        }
    }

    /// Renews what is about to become visible.
    pub(crate) async fn round(&self, context: &Context) {
        let now_ms = context.backend.now_ms();
        let due: Vec<_> = {
            let all = self.0.lock();
            let due = all.iter().filter(|(_, held)| held.visible_ms.load(Ordering::Relaxed) - now_ms <= AHEAD_MS);
            due.map(|(key, held)| (key.clone(), held.clone())).collect()
        };
        let renewing =
            stream::iter(due).map(|(key, held)| async move { self.renew(context, &key, &held, now_ms).await });
        renewing.buffer_unordered(RENEWING_MAX).for_each(|()| std::future::ready(())).await;
    }

    async fn renew(&self, context: &Context, key: &Key, held: &Arc<Held>, now_ms: i64) {
        let mut now = held.now.lock().await;
        // Acked in between, it is not ours any more.
        if !self.0.lock().get(key).is_some_and(|known| Arc::ptr_eq(known, held)) {
            return;
        }
        let client = context.clients.get(&held.client_id);
        let there = client.is_some_and(|client| client.is_there(now_ms - SILENCE_MS));
        let too_long = now_ms - held.first_pop_ms >= LONGEST_MS;
        if !there || too_long {
            let group = if too_long { context.backend.known_group(&key.group).await } else { None };
            let pause = group.map_or(WHEN_GONE, |group| Backoff::of(&group).pause(held.deliveries));
            if self.0.lock().remove(key).is_some() {
                context.backend.give_back(place(key, held), &now.receipt, pause);
            }
            return;
        }
        let invisible = NEXT[now.renewals.min(NEXT.len() - 1)];
        match context.backend.change_invisible(place(key, held), &now.receipt, invisible, false).await {
            Ok(receipt) => {
                held.visible_ms.store(receipt.visible_ms(), Ordering::Relaxed);
                *now = Now { receipt, renewals: now.renewals + 1, failures: 0 };
            }
            Err(refusal) => {
                let offset = now.receipt.queue_offset;
                debug!(group = key.group, topic = key.topic, offset, error = refusal.message, "receipt not renewed");
                now.failures += 1;
            }
        }
        if now.failures >= FAILURES_MAX || now.receipt.visible_ms() <= now_ms {
            warn!(client = held.client_id, topic = key.topic, "message not renewed, it will be delivered again");
            self.0.lock().remove(key);
        }
    }
}
