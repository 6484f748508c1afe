//! Messages whose invisible time ended without an ack: each is stored again in the group's retry topic, from which it
//! is popped as any other.
//!
//! What was stored again is said in the log right behind a batch, so that a crash delivers at most one batch twice.
//! Source: `PopReviveService.reviveRetry`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::name::RETRY_PREFIX;
use protocol::record::{NewRecord, RecordView};
use protocol::{name, properties, sysflag};
use store::QueueOffset;
use tracing::{debug, error, warn};

use super::flight::{Flight, is_suspended, popped_ms};
use super::owner::Owner;
use crate::deliver::copy_of;
use crate::due::{Detail, Key, Kind};
use crate::limits::{REVIVE_BATCH, TIMER_BATCH_BYTES};
use crate::{Broker, Error, Topic};

/// An entry that is due, whose it is, and its record; `None` where that is gone.
type Due = (Key, Detail, Option<(Arc<Owner>, Bytes)>);

impl Broker {
    /// Makes messages visible again when it is time, until the broker stops.
    pub(crate) async fn run_invisible(self: Arc<Self>) {
        let stopping = self.stopping.clone();
        let work = async {
            loop {
                self.due.wait(Kind::Invisible, &*self.clock).await;
                match self.revive_due().await {
                    Ok(()) => {}
                    Err(Error::Store(store::Error::Busy { .. })) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => {
                        warn!(%error, "popped messages not made visible again, trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        };
        stopping.run_until_cancelled(work).await;
    }

    /// Deals with one batch of what is due.
    async fn revive_due(self: &Arc<Self>) -> Result<(), Error> {
        let due = self.due.due(Kind::Invisible, self.now_ms(), REVIVE_BATCH);
        // A message that was invisible for a moment only: if the log does not say yet that the group has passed it, a
        // crash would bring it from its own queue, too.
        let saved_ms = *self.pop.saved_ms.lock();
        if due.iter().any(|(key, detail)| popped_ms(key, detail) >= saved_ms) {
            self.save_offsets()?;
        }
        let batch = self.read_flights(due).await?;
        // From here on without waiting: an ack comes before all of this, or after it.
        let change = self.due.change();
        let mut result = Ok(());
        for (key, detail, found) in batch {
            // Acked while it was read.
            if self.pop.flights.end(&change, &key).is_none() {
                continue;
            }
            let Some((owner, stored)) = found else {
                debug!(?key, "popped message dropped: it, its topic or its group is gone");
                continue;
            };
            if let Err(error) = self.revive(&owner, &stored, &key, &detail) {
                self.pop.flights.begin(&change, &[key], detail);
                result = Err(error);
                break;
            }
        }
        self.record_flights().and(result)
    }

    /// The records of some entries, in their order, as many as fit into one batch.
    async fn read_flights(&self, due: Vec<(Key, Detail)>) -> Result<Vec<Due>, Error> {
        // Neighbours in a queue are found together.
        let mut order: Vec<usize> = (0..due.len()).collect();
        order.sort_unstable_by_key(|at| (due[*at].0.owner, due[*at].0.place));
        let mut owners: HashMap<u32, Option<Arc<Owner>>> = HashMap::new();
        let mut places = vec![None; due.len()];
        let next_to = |a: &usize, b: &usize| {
            let (a, b) = (&due[*a].0, &due[*b].0);
            a.owner == b.owner && (a.place == b.place || a.place + 1 == b.place)
        };
        for run in order.chunk_by(next_to) {
            let first = Flight::of(&due[run[0]].0);
            let owner = owners.entry(first.owner).or_insert_with(|| self.living_owner(first.owner));
            let Some(owner) = owner else { continue };
            let Some(queue) = self.store.find_queue(&owner.topic, first.queue_id.cast_unsigned()) else { continue };
            let entries = self.store.entries(&queue, QueueOffset(first.offset), run.len()).await?;
            for at in run {
                let offset = Flight::of(&due[*at].0).offset;
                places[*at] = entries.iter().find(|entry| entry.queue_offset.0 == offset).copied();
            }
        }
        let mut bytes = 0;
        let fits = |place: &&Option<store::Entry>| {
            let size = place.map_or(0, |entry| u64::from(entry.size));
            bytes += size;
            bytes == size || bytes <= TIMER_BATCH_BYTES
        };
        let fitting = places.iter().take_while(fits).count();
        let mut order: Vec<usize> = (0..fitting).filter(|at| places[*at].is_some()).collect();
        order.sort_unstable_by_key(|at| places[*at].map(|entry| entry.log_offset));
        let ranges: Vec<_> =
            order.iter().filter_map(|at| places[*at]).map(|entry| (entry.log_offset, entry.size)).collect();
        let mut stored: Vec<Option<Bytes>> = vec![None; fitting];
        for slice in self.store.read(&ranges).await? {
            let mut rest = slice.bytes;
            for at in slice.first..slice.first + slice.count {
                stored[order[at]] = rest.as_mut().map(|rest| rest.split_to(ranges[at].1 as usize));
            }
        }
        let found = due.into_iter().zip(stored).map(|((key, detail), stored)| {
            let owner = owners.get(&key.owner).cloned().flatten();
            (key, detail, owner.zip(stored))
        });
        Ok(found.collect())
    }

    /// An owner whose topic and group are still there. Source: `PopReviveService.reviveMsgFromCk`.
    fn living_owner(&self, number: u32) -> Option<Arc<Owner>> {
        let owner = self.pop.owners.get(number)?;
        let lives = self.topics.get(&owner.topic).is_some() && self.groups.get(&owner.group).is_some();
        lives.then_some(owner)
    }

    /// Stores a message again.
    ///
    /// # Errors
    /// The log takes no records now; nothing was stored.
    fn revive(self: &Arc<Self>, owner: &Owner, stored: &Bytes, key: &Key, detail: &Detail) -> Result<(), Error> {
        let Ok(record) = RecordView::parse(stored) else {
            error!(topic = owner.topic, ?key, "the record of a popped message is not readable");
            return Ok(());
        };
        let topic = self.retry_topic_of(owner)?;
        let Some(queue) = topic.queue(&self.store, 0) else {
            warn!(topic = topic.name(), "popped message dropped, its retry topic has no queues");
            return Ok(());
        };
        let mut text = record.properties().to_owned();
        let first = record.reconsume_times() == 0 || properties::get(&text, properties::FIRST_POP_TIME).is_none();
        properties::set(&mut text, properties::POP_CK, None);
        if first {
            properties::set(&mut text, properties::FIRST_POP_TIME, Some(&popped_ms(key, detail).to_string()));
        }
        properties::set(&mut text, properties::ORIGIN_GROUP, Some(&owner.group));
        if self.check_properties(text.len()).is_err() {
            // Two figures are not worth a message.
            text = record.properties().to_owned();
        }
        let again = NewRecord {
            topic: topic.name(),
            queue_id: 0,
            sys_flag: record.sys_flag() & !sysflag::TRANSACTION_MASK,
            born_host: record.store_host(),
            reconsume_times: record.reconsume_times().saturating_add(i32::from(!is_suspended(detail))),
            prepared_transaction_offset: 0,
            ..copy_of(&record, &text)
        };
        let from = queue.max_offset();
        match self.store.append(queue, &again) {
            // It will never fit, and must not keep the others waiting.
            Err(reason @ (store::Error::Limit(_) | store::Error::TooLarge { .. })) => {
                error!(topic = owner.topic, error = %reason, "popped message dropped, it is too large by now");
                return Ok(());
            }
            appended => drop(appended?),
        }
        let original = original_topic(owner);
        if self.pop.waiting.any(original, &owner.group) {
            self.watch_retry(original, &owner.group, queue.clone(), from);
        }
        Ok(())
    }

    fn retry_topic_of(&self, owner: &Owner) -> Result<Arc<Topic>, Error> {
        let retry = match owner.topic.starts_with(RETRY_PREFIX) {
            true => owner.topic.clone(),
            false if self.config().pop.retry_topic_v2 => name::pop_retry_topic_v2(&owner.group, &owner.topic),
            false => name::pop_retry_topic_v1(&owner.group, &owner.topic),
        };
        let topic = self.topics.get_or_create(&retry, 1)?;
        if self.offsets.get(&retry, &owner.group, 0).is_none() {
            self.offsets.begin(&retry, &owner.group, 0, 0);
        }
        Ok(topic)
    }
}

/// The topic of a retry topic, or the topic itself.
fn original_topic(owner: &Owner) -> &str {
    let rest = owner.topic.strip_prefix(RETRY_PREFIX).and_then(|rest| rest.strip_prefix(owner.group.as_str()));
    rest.and_then(|rest| rest.strip_prefix(['_', name::POP_RETRY_SEPARATOR_V2])).unwrap_or(&owner.topic)
}
