//! Where each group stands in each queue.
//!
//! A commit changes memory at once. A few times a second everything that changed is written to the log as one record,
//! only the newest offset of each queue in it. A crash makes a group see a moment's messages again, never lose one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use protocol::body::OffsetTable;

use crate::Error;
use crate::state::{Change, Journal, OffsetChange};

/// Offsets of one group in one topic.
struct Standing {
    topic: String,
    group: String,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    offsets: BTreeMap<i32, i64>,
    /// Queues whose offset the log does not have yet.
    unsaved: Vec<i32>,
    /// One-shot resets by an operator: the next pull of the queue is sent there.
    resets: BTreeMap<i32, i64>,
}

/// What a look-up of an offset found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryOffset {
    /// The group stands here.
    At(i64),
    /// It has never committed, and starts here.
    StartAt(i64),
    /// It has never committed, and the client decides.
    Unknown,
}

/// All consumer offsets.
pub struct Offsets {
    table: papaya::HashMap<String, Arc<Standing>, RandomState>,
    unsaved: Mutex<Vec<Arc<Standing>>>,
    journal: Arc<Journal>,
}

pub(crate) fn key(topic: &str, group: &str) -> String {
    [topic, group].join("@")
}

impl Offsets {
    pub(crate) fn new(journal: Arc<Journal>) -> Offsets {
        Offsets { table: papaya::HashMap::default(), unsaved: Mutex::default(), journal }
    }

    fn find(&self, topic: &str, group: &str) -> Option<Arc<Standing>> {
        self.table.pin().get(&key(topic, group)).cloned()
    }

    fn find_or_make(&self, topic: &str, group: &str) -> Arc<Standing> {
        let table = self.table.pin();
        let make = || Arc::new(Standing { topic: topic.to_owned(), group: group.to_owned(), queues: Mutex::default() });
        table.get_or_insert_with(key(topic, group), make).clone()
    }

    /// The offset a group committed.
    pub fn get(&self, topic: &str, group: &str, queue: i32) -> Option<i64> {
        self.find(topic, group)?.queues.lock().offsets.get(&queue).copied()
    }

    /// Offsets of a group in all queues of a topic.
    pub fn of_topic(&self, topic: &str, group: &str) -> BTreeMap<i32, i64> {
        self.find(topic, group).map(|standing| standing.queues.lock().offsets.clone()).unwrap_or_default()
    }

    /// Shows the offsets of every group in every topic.
    pub(crate) fn each(&self, mut show: impl FnMut(&str, &str, &BTreeMap<i32, i64>)) {
        for standing in self.table.pin().values() {
            let offsets = standing.queues.lock().offsets.clone();
            show(&standing.topic, &standing.group, &offsets);
        }
    }

    /// Commits an offset. Moving back is allowed; a pending reset wins, and then nothing changes: `false`.
    pub fn commit(&self, topic: &str, group: &str, queue: i32, offset: i64) -> bool {
        let standing = self.find_or_make(topic, group);
        {
            let mut queues = standing.queues.lock();
            if queues.resets.contains_key(&queue) {
                return false;
            }
            if !queues.put(queue, offset) {
                return true;
            }
        }
        self.unsaved.lock().push(standing);
        true
    }

    /// Where a group stands; if it never stood anywhere, here.
    pub(crate) fn begin(&self, topic: &str, group: &str, queue: i32, offset: i64) -> i64 {
        let standing = self.find_or_make(topic, group);
        {
            let mut queues = standing.queues.lock();
            if let Some(stands) = queues.offsets.get(&queue) {
                return *stands;
            }
            if !queues.put(queue, offset) {
                return offset;
            }
        }
        self.unsaved.lock().push(standing);
        offset
    }

    /// Moves a group on, if it still stands at `from`; `with` is done in one step with that.
    pub(crate) fn advance(
        &self,
        topic: &str,
        group: &str,
        queue: i32,
        from: i64,
        to: i64,
        with: impl FnOnce(),
    ) -> bool {
        let Some(standing) = self.find(topic, group) else { return false };
        {
            let mut queues = standing.queues.lock();
            if queues.offsets.get(&queue) != Some(&from) || queues.resets.contains_key(&queue) {
                return false;
            }
            with();
            if !queues.put(queue, to) {
                return true;
            }
        }
        self.unsaved.lock().push(standing);
        true
    }

    /// Moves a group: its next pull of this queue is sent to `offset`.
    pub fn reset(&self, topic: &str, group: &str, queue: i32, offset: i64) {
        let standing = self.find_or_make(topic, group);
        {
            let mut queues = standing.queues.lock();
            queues.resets.insert(queue, offset);
            queues.put(queue, offset);
        }
        self.unsaved.lock().push(standing);
    }

    /// Takes the pending reset of a queue.
    pub(crate) fn take_reset(&self, topic: &str, group: &str, queue: i32) -> Option<i64> {
        self.find(topic, group)?.queues.lock().resets.remove(&queue)
    }

    /// Pairs of topic and group with offsets.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Topics in which a group has offsets.
    pub fn topics_of(&self, group: &str) -> Vec<String> {
        self.matching(|standing| standing.group == group).map(|standing| standing.topic.clone()).collect()
    }

    /// Groups that have offsets in a topic.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        self.matching(|standing| standing.topic == topic).map(|standing| standing.group.clone()).collect()
    }

    /// Copies what one group has to another, in one topic or in all.
    pub fn clone_group(&self, from: &str, to: &str, topic: Option<&str>) {
        let sources = self.matching(|standing| standing.group == from);
        for source in sources.filter(|standing| topic.is_none_or(|topic| topic == standing.topic)) {
            let offsets = source.queues.lock().offsets.clone();
            for (queue, offset) in offsets {
                self.commit(&source.topic, to, queue, offset);
            }
        }
    }

    /// Forgets the offsets of a group.
    pub(crate) fn remove_group(&self, group: &str) -> Result<(), Error> {
        self.replay_group_deleted(group);
        self.journal.append(&Change::GroupOffsetsDeleted(group.to_owned())).map(drop)
    }

    /// Forgets the offsets in a topic.
    pub(crate) fn remove_topic(&self, topic: &str) -> Result<(), Error> {
        self.replay_topic_deleted(topic);
        self.journal.append(&Change::TopicOffsetsDeleted(topic.to_owned())).map(drop)
    }

    fn matching(&self, wanted: impl Fn(&Standing) -> bool) -> impl Iterator<Item = Arc<Standing>> {
        let table = self.table.pin();
        let found: Vec<_> = table.values().filter(|standing| wanted(standing)).cloned().collect();
        found.into_iter()
    }

    fn remove_matching(&self, wanted: impl Fn(&Standing) -> bool) {
        for standing in self.matching(wanted) {
            self.table.pin().remove(&key(&standing.topic, &standing.group));
        }
    }

    /// What changed since the last call, to be written into the log.
    pub(crate) fn take_unsaved(&self) -> Vec<OffsetChange> {
        let standings = std::mem::take(&mut *self.unsaved.lock());
        let mut changes = HashMap::new();
        for standing in &standings {
            let mut queues = standing.queues.lock();
            for queue in std::mem::take(&mut queues.unsaved) {
                if let Some(offset) = queues.offsets.get(&queue) {
                    changes.insert((standing.topic.as_str(), standing.group.as_str(), queue), *offset);
                }
            }
        }
        let change = |((topic, group, queue), offset): ((&str, &str, i32), i64)| {
            OffsetChange(topic.to_owned(), group.to_owned(), queue, offset)
        };
        changes.into_iter().map(change).collect()
    }

    /// Takes back what could not be written.
    pub(crate) fn unsave(&self, changes: &[OffsetChange]) {
        for OffsetChange(topic, group, queue, _) in changes {
            let Some(standing) = self.find(topic, group) else { continue };
            let newly_listed = standing.queues.lock().list(*queue);
            if newly_listed {
                self.unsaved.lock().push(standing);
            }
        }
    }

    /// Writes into the log what [`Offsets::take_unsaved`] returned.
    pub(crate) fn append(&self, changes: &[OffsetChange]) -> Result<(), Error> {
        for part in changes.chunks(OFFSETS_OF_A_RECORD) {
            let appended = self.journal.append(&Change::Offsets(part.to_vec()));
            appended.inspect_err(|_| self.unsave(changes))?;
        }
        Ok(())
    }

    /// All offsets, in the shape of `consumerOffset.json`.
    pub fn to_table(&self) -> OffsetTable {
        let table = self.table.pin();
        let offsets = table.iter().map(|(key, standing)| (key.clone(), standing.queues.lock().offsets.clone()));
        OffsetTable { offset_table: offsets.collect(), ..OffsetTable::default() }
    }

    // Loading: not journaled.

    pub(crate) fn load(&self, table: OffsetTable) {
        for (key, offsets) in table.offset_table {
            // A topic has no '@' in its name.
            let Some((topic, group)) = key.split_once('@') else { continue };
            self.find_or_make(topic, group).queues.lock().offsets = offsets;
        }
    }

    pub(crate) fn replay(&self, OffsetChange(topic, group, queue, offset): OffsetChange) {
        self.find_or_make(&topic, &group).queues.lock().offsets.insert(queue, offset);
    }

    pub(crate) fn replay_group_deleted(&self, group: &str) {
        self.remove_matching(|standing| standing.group == group);
    }

    pub(crate) fn replay_topic_deleted(&self, topic: &str) {
        self.remove_matching(|standing| standing.topic == topic);
    }
}

/// Bounds a record to some hundred KiB; names have up to 255 characters.
const OFFSETS_OF_A_RECORD: usize = 1000;

impl Queues {
    /// Whether the group's standing must be listed as unsaved.
    fn put(&mut self, queue: i32, offset: i64) -> bool {
        if self.offsets.insert(queue, offset) == Some(offset) {
            return false;
        }
        self.list(queue)
    }

    /// Lists a queue as unsaved.
    fn list(&mut self, queue: i32) -> bool {
        let newly_listed = self.unsaved.is_empty();
        if !self.unsaved.contains(&queue) {
            self.unsaved.push(queue);
        }
        newly_listed
    }
}
