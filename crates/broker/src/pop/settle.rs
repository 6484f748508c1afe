//! What becomes of a popped message: acked, or given more or less time.
//!
//! Source: `AckMessageProcessor`, `ChangeInvisibleTimeProcessor`, in the order of their checks.

use std::sync::Arc;

use protocol::receipt::Receipt;

use super::flight::detail;
use super::order::Acked;
use super::{Ack, ChangeInvisible, Invisible};
use crate::limits::INVISIBLE_MS_MAX;
use crate::{Broker, Error, Topic};

/// A message that a receipt names.
struct Named<'a> {
    topic: Arc<Topic>,
    group: &'a str,
    queue_id: i32,
    offset: i64,
    receipt: &'a Receipt,
}

impl Broker {
    /// Says that a popped message was consumed. Saying it twice does no harm, nor does a stale receipt: its message
    /// was acked, or is visible again.
    ///
    /// # Errors
    /// The receipt names something that never was.
    pub fn ack(&self, ack: &Ack<'_>) -> Result<(), Error> {
        self.check_running()?;
        let named = self.named(ack.topic, ack.group, ack.queue_id, ack.queue_offset, ack.receipt, true)?;
        if ack.receipt.is_order() {
            return self.ack_in_order(&named);
        }
        let Some(owner) = self.pop.owners.find(named.topic.name(), named.group) else { return Ok(()) };
        if let Some(key) = self.flight_key(&owner, named.queue_id, named.offset, ack.receipt.visible_ms()) {
            self.pop.flights.end(&self.due.change(), &key);
        }
        Ok(())
    }

    /// Changes for how long, from now on, a popped message is invisible. The old receipt is dead then; a receipt that
    /// was stale already changes nothing.
    ///
    /// # Errors
    /// The receipt names something that never was.
    pub fn change_invisible(&self, change: &ChangeInvisible<'_>) -> Result<Invisible, Error> {
        self.check_running()?;
        let receipt = change.receipt;
        let named = self.named(change.topic, change.group, change.queue_id, change.queue_offset, receipt, false)?;
        let invisible_ms = i64::try_from(change.invisible.as_millis()).unwrap_or(i64::MAX);
        if invisible_ms > INVISIBLE_MS_MAX {
            return Err(Error::Parameter(format!("invisibleTime[{invisible_ms}] is longer than {INVISIBLE_MS_MAX}")));
        }
        let now_ms = self.now_ms();
        if receipt.is_order() {
            self.change_in_order(&named, now_ms + invisible_ms);
            let invisible_ms = now_ms + invisible_ms - receipt.pop_ms;
            return Ok(Invisible { pop_ms: receipt.pop_ms, invisible_ms, revive_queue: receipt.revive_queue });
        }
        let changed = Invisible { pop_ms: now_ms, invisible_ms, revive_queue: receipt.revive_queue };
        let Some(owner) = self.pop.owners.find(named.topic.name(), named.group) else { return Ok(changed) };
        let key = |visible_ms| self.flight_key(&owner, named.queue_id, named.offset, visible_ms);
        let (Some(old), Some(new)) = (key(receipt.visible_ms()), key(now_ms + invisible_ms)) else {
            return Ok(changed);
        };
        let begun = self.due.change();
        // Where Java makes an acked message visible once more, nothing happens here.
        if self.pop.flights.end(&begun, &old).is_some() {
            self.pop.flights.begin(&begun, &[new], detail(invisible_ms, change.suspend));
        }
        Ok(changed)
    }

    fn named<'a>(
        &self,
        topic: &str,
        group: &'a str,
        queue_id: i32,
        offset: i64,
        receipt: &'a Receipt,
        last_counts: bool,
    ) -> Result<Named<'a>, Error> {
        let topic = self.topics.require(&receipt.real_topic(topic, group))?;
        let queues = topic.config().read_queue_nums;
        if !(0..queues).contains(&queue_id) {
            return Err(Error::MessageIllegal(format!(
                "queueId[{queue_id}] is illegal, topic:[{}] topicConfig.readQueueNums:[{queues}] consumer:[{group}]",
                topic.name()
            )));
        }
        let (min, max) = self.queue_range(topic.name(), queue_id);
        // Java's ack allows one behind the last, its change does not.
        if offset < min || offset > max || offset == max && !last_counts {
            return Err(Error::NoMessage(format!(
                "offset is illegal, key:{}@{queue_id}, commit:{offset}, store:{min}~{max}",
                topic.name()
            )));
        }
        Ok(Named { topic, group, queue_id, offset, receipt })
    }

    fn ack_in_order(&self, named: &Named<'_>) -> Result<(), Error> {
        let Named { topic, group, queue_id, offset, receipt } = named;
        let stands = self.offsets.get(topic.name(), group, *queue_id);
        if stands.is_some_and(|stands| *offset < stands) {
            return Ok(());
        }
        let Some(line) = self.pop.orders.find(topic.name(), group) else { return Ok(()) };
        let free = {
            let mut queues = line.lock();
            let Some(batch) = queues.batches.get_mut(queue_id) else { return Ok(()) };
            match batch.ack(*offset, receipt.pop_ms, self.now_ms()) {
                Acked::Stale => return Ok(()),
                Acked::NotPopped => {
                    return Err(Error::MessageIllegal(format!(
                        "offset is illegal, key:{}@{group}, queue:{queue_id}, commit:{offset}",
                        topic.name()
                    )));
                }
                Acked::Next(next) => {
                    let free = batch.blocked_until(None, self.now_ms()).is_none();
                    queues.touch(*queue_id);
                    // A pending reset wins.
                    self.offsets.commit(topic.name(), group, *queue_id, next);
                    free
                }
            }
        };
        if free {
            self.pop.waiting.wake(topic.name(), group, *queue_id);
        }
        Ok(())
    }

    fn change_in_order(&self, named: &Named<'_>, visible_ms: i64) {
        let Named { topic, group, queue_id, offset, receipt } = named;
        let Some(line) = self.pop.orders.find(topic.name(), group) else { return };
        let free = {
            let mut queues = line.lock();
            let Some(batch) = queues.batches.get_mut(queue_id) else { return };
            if !batch.set_visible(*offset, receipt.pop_ms, visible_ms) {
                return;
            }
            let free = batch.blocked_until(None, self.now_ms()).is_none();
            queues.touch(*queue_id);
            free
        };
        // Whoever waits counts on the time at which the queue was to be free: it may be earlier now.
        if free {
            self.pop.waiting.wake(topic.name(), group, *queue_id);
        } else {
            self.pop.waiting.wake_all(topic.name(), group, *queue_id);
        }
    }
}
