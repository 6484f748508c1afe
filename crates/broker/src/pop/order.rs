//! Ordered (FIFO) pops: what of each queue was handed out last, and what of that is acked.
//!
//! The group's offset stays before the first message that is not acked; nothing more of the queue is handed out while
//! one of the last batch is invisible. What was not acked in time comes again from the queue itself.
//!
//! Source: `ConsumerOrderInfoManager`. A message that was acked is handed out again when one of its message group
//! before it is, so that whoever reads a group always reads it in order; messages without a group are one group. With
//! Java it comes again whatever its group.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::limits::{ATTEMPT_ID_BYTES_MAX, ORDER_IDLE_MS};
use crate::offset::key;

/// State of one queue, in Java's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Batch {
    #[serde(rename = "popTime")]
    pop_ms: i64,
    #[serde(rename = "i")]
    invisible_ms: i64,
    /// The first offset, then distances from it.
    #[serde(rename = "o")]
    offsets: Vec<i64>,
    /// When a message is visible again, if that was changed.
    #[serde(rename = "ot", skip_serializing_if = "BTreeMap::is_empty")]
    visible_ms: BTreeMap<i64, i64>,
    /// How often a message was handed out before.
    #[serde(rename = "oc", skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<i64, i32>,
    #[serde(rename = "l")]
    used_ms: i64,
    /// A bit for each message that is acked.
    #[serde(rename = "cm")]
    acked: i64,
    /// Messages behind this batch that were acked as part of an earlier, longer one. Ours; Java has no such field.
    #[serde(rename = "aheadAcked", skip_serializing_if = "Vec::is_empty")]
    ahead: Vec<i64>,
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    attempt_id: Option<String>,
}

/// What an ack led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// Of a pop that is over: nothing changed.
    Stale,
    /// The message was not handed out by that pop.
    NotPopped,
    /// The group's offset is this now.
    Next(i64),
}

impl Batch {
    fn offset(&self, at: usize) -> i64 {
        if at == 0 { self.offsets[0] } else { self.offsets[0].saturating_add(self.offsets[at]) }
    }

    fn place_of(&self, offset: i64) -> Option<usize> {
        (0..self.offsets.len().min(64)).find(|at| self.offset(*at) == offset)
    }

    fn is_acked(&self, at: usize) -> bool {
        self.acked & 1 << at != 0
    }

    /// Until when the queue is blocked for somebody with this attempt id; `None` when it is free.
    pub(crate) fn blocked_until(&self, attempt_id: Option<&str>, now_ms: i64) -> Option<i64> {
        if attempt_id.is_some() && self.attempt_id.as_deref() == attempt_id {
            return None;
        }
        let open = (0..self.offsets.len()).filter(|at| !self.is_acked(*at));
        let visible = open.map(|at| {
            let ends = self.pop_ms.saturating_add(self.invisible_ms);
            self.visible_ms.get(&self.offset(at)).copied().unwrap_or(ends)
        });
        visible.max().filter(|visible_ms| now_ms < *visible_ms)
    }

    /// Whether an offset was acked although one before it was not.
    pub(crate) fn has_acked(&self, offset: i64) -> bool {
        self.place_of(offset).is_some_and(|at| self.is_acked(at)) || self.ahead.contains(&offset)
    }

    /// Whether everything that was handed out is acked.
    pub(super) fn is_done(&self) -> bool {
        (0..self.offsets.len()).all(|at| self.is_acked(at))
    }

    /// How often a message was handed out before.
    pub(crate) fn count(&self, offset: i64) -> i32 {
        self.counts.get(&offset).copied().unwrap_or(0)
    }

    /// Hands out messages: the state becomes that of the new batch. Those that were acked before stay acked, but for
    /// those behind an open one of their group. The groups are asked for if that matters: one for each message, or none
    /// where that does not count.
    pub(crate) fn hand_out(
        &mut self,
        attempt_id: Option<&str>,
        pop_ms: i64,
        invisible_ms: i64,
        offsets: &[i64],
        groups: impl FnOnce() -> Vec<String>,
    ) -> &BTreeMap<i64, i32> {
        let first = offsets.first().copied().unwrap_or(0);
        let again = attempt_id.is_some() && self.attempt_id.as_deref() == attempt_id;
        let mut counts = BTreeMap::new();
        let mut acked = 0;
        let last = offsets.last().copied().unwrap_or(0);
        let acked_before = (0..self.offsets.len()).filter(|at| self.is_acked(*at)).map(|at| self.offset(at));
        let known: Vec<i64> = acked_before.chain(self.ahead.iter().copied()).collect();
        let groups = if known.is_empty() { Vec::new() } else { groups() };
        let mut open: Vec<&str> = Vec::new();
        for (at, offset) in offsets.iter().enumerate() {
            let group = groups.get(at).map(String::as_str);
            match known.contains(offset) && !group.is_some_and(|group| open.contains(&group)) {
                true => acked |= 1 << at,
                false => open.extend(group),
            }
            if self.place_of(*offset).is_none() {
                continue;
            }
            let known = self.counts.get(offset).copied();
            match known {
                _ if !again => drop(counts.insert(*offset, known.unwrap_or(0).saturating_add(1))),
                Some(count) => drop(counts.insert(*offset, count)),
                None => {}
            }
        }
        let distance = |(at, offset): (usize, &i64)| if at == 0 { *offset } else { offset - first };
        *self = Batch {
            pop_ms,
            invisible_ms,
            offsets: offsets.iter().enumerate().map(distance).collect(),
            visible_ms: BTreeMap::new(),
            counts,
            used_ms: pop_ms,
            acked,
            // Nobody knows the groups of those, so where there are groups they come again.
            ahead: known.into_iter().filter(|offset| *offset > last && open.is_empty()).collect(),
            // One that is longer only loses its effect.
            attempt_id: attempt_id.filter(|id| id.len() <= ATTEMPT_ID_BYTES_MAX).map(str::to_owned),
        };
        &self.counts
    }

    /// Takes an ack of a pop.
    pub(crate) fn ack(&mut self, offset: i64, pop_ms: i64, now_ms: i64) -> Acked {
        if self.offsets.is_empty() || pop_ms != self.pop_ms {
            return Acked::Stale;
        }
        let Some(at) = self.place_of(offset) else { return Acked::NotPopped };
        self.acked |= 1 << at;
        self.used_ms = now_ms;
        let open = (0..self.offsets.len()).find(|at| !self.is_acked(*at));
        Acked::Next(match open {
            Some(at) => self.offset(at),
            None => {
                let mut next = self.offset(self.offsets.len() - 1) + 1;
                while self.ahead.contains(&next) {
                    next += 1;
                }
                next
            }
        })
    }

    /// Changes when a message of a pop is visible again. Returns whether that is one of ours.
    pub(crate) fn set_visible(&mut self, offset: i64, pop_ms: i64, visible_ms: i64) -> bool {
        let known = pop_ms == self.pop_ms && self.place_of(offset).is_some();
        if known {
            self.visible_ms.insert(offset, visible_ms);
        }
        known
    }

    /// Takes the whole batch back for a while: the delivery did not count, and all of it comes again at once.
    ///
    /// Source: `MemoryConsumerOrderInfoManager.suspendQueue`.
    pub(crate) fn suspend(&mut self, pop_ms: i64, visible_ms: i64) {
        if pop_ms != self.pop_ms {
            return;
        }
        self.counts.values_mut().for_each(|count| *count = (*count - 1).max(0));
        self.visible_ms.clear();
        self.invisible_ms = visible_ms.saturating_sub(pop_ms);
    }

    /// Whether nothing was handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }
}

/// The queues of a group in one topic.
pub(super) struct Line {
    topic: String,
    group: String,
    queues: Mutex<Queues>,
}

#[derive(Default)]
pub(super) struct Queues {
    pub(super) batches: BTreeMap<i32, Batch>,
    /// Queues whose state the log does not have yet.
    unsaved: Vec<i32>,
}

impl Queues {
    pub(super) fn touch(&mut self, queue_id: i32) {
        if !self.unsaved.contains(&queue_id) {
            self.unsaved.push(queue_id);
        }
    }
}

impl Line {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }
}

/// A state as a record of the log: topic, group, queue, state; `None` when it is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OrderChange(String, String, i32, Option<Batch>);

/// `config/consumerOrderInfo.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderTable {
    table: BTreeMap<String, BTreeMap<i32, Batch>>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Orders {
    table: papaya::HashMap<String, Arc<Line>, RandomState>,
}

impl Orders {
    pub(super) fn find(&self, topic: &str, group: &str) -> Option<Arc<Line>> {
        self.table.pin().get(&key(topic, group)).cloned()
    }

    pub(super) fn find_or_make(&self, topic: &str, group: &str) -> Arc<Line> {
        let make = || Arc::new(Line { topic: topic.into(), group: group.into(), queues: Mutex::default() });
        self.table.pin().get_or_insert_with(key(topic, group), make).clone()
    }

    /// Frees a queue whose group was moved elsewhere.
    pub(super) fn clear(&self, topic: &str, group: &str, queue_id: i32) {
        let Some(line) = self.find(topic, group) else { return };
        let mut queues = line.lock();
        if queues.batches.remove(&queue_id).is_some() {
            queues.touch(queue_id);
        }
    }

    /// What changed since the last call, to be written into the log.
    pub(super) fn take_unsaved(&self) -> Vec<OrderChange> {
        let mut changes = Vec::new();
        for line in self.table.pin().values() {
            let mut queues = line.lock();
            for queue_id in std::mem::take(&mut queues.unsaved) {
                let batch = queues.batches.get(&queue_id).cloned();
                changes.push(OrderChange(line.topic.clone(), line.group.clone(), queue_id, batch));
            }
        }
        changes
    }

    /// Takes back what could not be written.
    pub(super) fn unsave(&self, changes: &[OrderChange]) {
        for OrderChange(topic, group, queue_id, _) in changes {
            self.find_or_make(topic, group).lock().touch(*queue_id);
        }
    }

    /// Forgets what nobody used for long.
    pub(super) fn sweep(&self, now_ms: i64) {
        let table = self.table.pin();
        for (name, line) in &table {
            let mut queues = line.lock();
            let idle = |batch: &Batch| now_ms - batch.used_ms > ORDER_IDLE_MS;
            let gone: Vec<i32> = queues.batches.iter().filter(|(_, batch)| idle(batch)).map(|(id, _)| *id).collect();
            for queue_id in gone {
                queues.batches.remove(&queue_id);
                queues.touch(queue_id);
            }
            if queues.batches.is_empty() && queues.unsaved.is_empty() {
                table.remove(name);
            }
        }
    }

    pub(crate) fn remove_topic(&self, topic: &str) {
        self.table.pin().retain(|_, line| line.topic != topic);
    }

    pub(crate) fn remove_group(&self, group: &str) {
        self.table.pin().retain(|_, line| line.group != group);
    }

    pub(crate) fn to_table(&self) -> OrderTable {
        let table = self.table.pin();
        let batches = table.iter().map(|(name, line)| (name.clone(), line.lock().batches.clone()));
        OrderTable { table: batches.filter(|(_, batches)| !batches.is_empty()).collect() }
    }

    // Loading: not journaled.

    pub(crate) fn load(&self, table: OrderTable) {
        for (name, batches) in table.table {
            let Some((topic, group)) = name.split_once('@') else { continue };
            self.find_or_make(topic, group).lock().batches = batches;
        }
    }

    pub(crate) fn replay(&self, OrderChange(topic, group, queue_id, batch): OrderChange) {
        let line = self.find_or_make(&topic, &group);
        match batch {
            Some(batch) => drop(line.lock().batches.insert(queue_id, batch)),
            None => drop(line.lock().batches.remove(&queue_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_blocks_until_it_is_acked_or_visible() {
        let mut batch = Batch::default();
        assert_eq!(batch.blocked_until(None, 0), None);
        assert!(batch.hand_out(Some("a"), 100, 50, &[7, 8, 10], Vec::new).is_empty());
        assert_eq!(batch.blocked_until(None, 149), Some(150));
        assert_eq!(batch.blocked_until(Some("b"), 149), Some(150));
        assert_eq!(batch.blocked_until(Some("a"), 100), None);
        assert_eq!(batch.blocked_until(None, 150), None);
        assert_eq!(batch.ack(8, 99, 101), Acked::Stale);
        assert_eq!(batch.ack(9, 100, 101), Acked::NotPopped);
        assert_eq!(batch.ack(8, 100, 101), Acked::Next(7));
        assert_eq!(batch.ack(8, 100, 101), Acked::Next(7));
        assert_eq!(batch.ack(7, 100, 101), Acked::Next(10));
        assert!(batch.set_visible(10, 100, 500));
        assert!(!batch.set_visible(11, 100, 500));
        assert_eq!(batch.blocked_until(None, 499), Some(500));
        assert_eq!(batch.ack(10, 100, 102), Acked::Next(11));
        assert_eq!(batch.blocked_until(None, 102), None);
    }

    #[test]
    fn what_comes_again_is_counted_and_what_was_acked_stays_so() {
        let mut batch = Batch::default();
        batch.hand_out(Some("a"), 100, 50, &[7, 8], Vec::new);
        batch.ack(8, 100, 110);
        assert!(batch.hand_out(Some("a"), 120, 50, &[7, 8, 9], Vec::new).is_empty(), "the same attempt");
        assert!(batch.has_acked(8) && !batch.has_acked(7) && !batch.has_acked(9));
        let counts = batch.hand_out(Some("b"), 200, 50, &[7, 8, 9], Vec::new).clone();
        assert_eq!(counts, BTreeMap::from([(7, 1), (8, 1), (9, 1)]));
        assert_eq!(batch.hand_out(None, 300, 50, &[7, 8], Vec::new).get(&7), Some(&2));
        assert_eq!(batch.ack(7, 300, 301), Acked::Next(9));
    }

    #[test]
    fn a_shorter_batch_does_not_forget_what_was_acked_behind_it() {
        let mut batch = Batch::default();
        batch.hand_out(None, 100, 50, &[0, 1, 2, 3, 5], Vec::new);
        for offset in [1, 3, 5] {
            assert_eq!(batch.ack(offset, 100, 101), Acked::Next(0));
        }
        batch.hand_out(None, 200, 50, &[0], Vec::new);
        assert!(batch.has_acked(1) && !batch.has_acked(2));
        assert_eq!(batch.ack(0, 200, 201), Acked::Next(2));
        batch.hand_out(None, 300, 50, &[2], Vec::new);
        assert_eq!(batch.ack(2, 300, 301), Acked::Next(4));
        batch.hand_out(None, 400, 50, &[4, 5, 6], Vec::new);
        assert!(batch.has_acked(5) && !batch.has_acked(6));
        assert!(batch.ahead.is_empty());
    }

    #[test]
    fn what_was_acked_comes_again_behind_an_open_message_of_its_group() {
        let groups = |names: &'static str| move || names.split(' ').map(str::to_owned).collect();
        let mut batch = Batch::default();
        batch.hand_out(None, 100, 50, &[0, 1, 2, 3], || panic!("nothing was acked yet"));
        for offset in [1, 2, 3] {
            batch.ack(offset, 100, 101);
        }
        batch.hand_out(None, 200, 50, &[0, 1, 2, 3, 4], groups("x y x y y"));
        assert_eq!([0, 1, 2, 3, 4].map(|offset| batch.has_acked(offset)), [false, true, false, true, false]);
        assert_eq!(batch.ack(0, 200, 201), Acked::Next(2));
        assert_eq!(batch.ack(4, 200, 201), Acked::Next(2));
        // There is no room for the others: what is said about them would not hold for their groups.
        batch.hand_out(None, 300, 50, &[2], groups("x"));
        assert!(!batch.has_acked(3) && !batch.has_acked(4));
        assert_eq!(batch.ack(2, 300, 301), Acked::Next(3));
    }

    #[test]
    fn a_batch_that_was_acked_is_done() {
        let mut batch = Batch::default();
        batch.hand_out(None, 100, 50, &[7, 8], Vec::new);
        batch.ack(7, 100, 101);
        assert!(!batch.is_done());
        batch.ack(8, 100, 101);
        assert!(batch.is_done());
        // The offset was lost with the end of the log, the state was not.
        batch.hand_out(None, 200, 50, &[7, 8], Vec::new);
        assert!(batch.is_done() && batch.blocked_until(None, 201).is_none());
    }

    #[test]
    fn the_table_has_the_names_of_java() {
        let orders = Orders::default();
        orders.find_or_make("T", "G").lock().batches.entry(3).or_default().hand_out(Some("x"), 5, 6, &[7, 9], Vec::new);
        let text = serde_json::to_string(&orders.to_table()).unwrap();
        assert_eq!(text, r#"{"table":{"T@G":{"3":{"popTime":5,"i":6,"o":[7,2],"l":5,"cm":0,"a":"x"}}}}"#);
        let again = Orders::default();
        again.load(protocol::json::parse(text.replace("\"3\"", "3").as_bytes()).unwrap());
        assert_eq!(again.to_table(), orders.to_table());
    }
}
