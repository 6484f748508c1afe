//! Consume queues: which records of the log belong to a queue, in their order.
//!
//! The logical entry is RocketMQ's: log offset, size, tag code. Where entries lie is ours: the newest in memory (the
//! *tail*), the others in *extents* of a few files that all queues share. A queue costs no file, task or timer; one
//! with nothing new costs its row.
//!
//! ```text
//!  queue offsets   min                          tail_first                next
//!                   |  extent  |  extent ...  |  |  tail (in memory)       |
//!                                                        ^ max_offset: what is visible
//! ```

mod extent;
mod journal;
mod read;
mod save;
mod table;
mod time;
mod wait;

pub use wait::WaitBeyond;

pub(crate) use extent::{Extent, Extents};
pub(crate) use journal::Place;
pub(crate) use save::Queues;
pub(crate) use table::Table;

use crate::limits::HOLES_MAX;
use crate::progress::Progress;
use crate::{LogOffset, QueueOffset};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use wait::Waiters;

/// One entry of a queue: where its record is, and the number that tag filters compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Place in the queue.
    pub queue_offset: QueueOffset,
    /// Place in the log.
    pub log_offset: LogOffset,
    /// Bytes of the record.
    pub size: u32,
    /// Java hash of the TAGS property, 0 without tags; of a delayed message its delivery time, ms.
    pub tag_code: i64,
}

/// A queue of a topic. Found or made by [`crate::Store::queue`].
pub struct Queue {
    topic: Arc<str>,
    id: u32,
    progress: Arc<Progress>,
    pub(crate) state: Mutex<State>,
}

/// Entry without its queue offset, which follows from its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) log: u64,
    pub(crate) tag: i64,
    pub(crate) size: u32,
}

/// Bytes of a [`Slot`] in a file.
pub(crate) const SLOT_BYTES: usize = 20;

impl Slot {
    /// Fills a gap between queue offsets, which only a damaged log has. Never handed out.
    pub(crate) fn hole(log: u64) -> Self {
        Self { log, tag: 0, size: 0 }
    }

    pub(crate) fn is_hole(&self) -> bool {
        self.size == 0
    }

    pub(crate) fn end(&self) -> u64 {
        self.log + u64::from(self.size)
    }

    /// `log offset 8 | size 4 | tag code 8`, big endian, as in a consume queue of RocketMQ.
    pub(crate) fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&self.log.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tag.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> Self {
        let (log, rest) = bytes.split_first_chunk().expect("20 bytes");
        let (size, rest) = rest.split_first_chunk().expect("12 bytes");
        let (tag, _) = rest.split_first_chunk().expect("8 bytes");
        Self { log: u64::from_be_bytes(*log), size: u32::from_be_bytes(*size), tag: i64::from_be_bytes(*tag) }
    }

    pub(crate) fn entry(self, queue_offset: u64) -> Entry {
        Entry {
            queue_offset: QueueOffset(queue_offset),
            log_offset: LogOffset(self.log),
            size: self.size,
            tag_code: self.tag,
        }
    }
}

/// What changes in a queue. Taken after the append lock, never before it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// First offset that is still there.
    pub(crate) min: u64,
    /// Log offset of the entry at `min`, or a lower bound of it.
    pub(crate) min_log: u64,
    /// In order of their first offsets, without gaps up to `tail_first`.
    pub(crate) extents: Vec<Extent>,
    /// First offset of the tail: all before it are in extents.
    pub(crate) tail_first: u64,
    pub(crate) tail: VecDeque<Slot>,
    /// Extents to be freed with the next checkpoint.
    pub(crate) abandoned: Vec<Extent>,
    /// Extents at the front that the row still has.
    pub(crate) dropped: u32,
    /// Number of the row in the table file; 0 before the first checkpoint that saw the queue.
    pub(crate) row: u32,
    /// Listed for the next checkpoint.
    pub(crate) dirty: bool,
    /// The topic was deleted; nothing enters any more.
    pub(crate) removed: bool,
    /// A checkpoint has taken the queue out of the table file.
    pub(crate) forgotten: bool,
    pub(crate) waiters: Option<Box<Waiters>>,
}

impl State {
    /// Offset of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.tail_first + self.tail.len() as u64
    }

    /// Adds the entry `next()`.
    pub(crate) fn push(&mut self, slot: Slot) {
        if self.min == self.next() {
            self.min_log = slot.log;
        }
        // Most queues of a broker with very many get one entry between two checkpoints.
        if self.tail.capacity() == 0 {
            self.tail.reserve_exact(1);
        }
        self.tail.push_back(slot);
    }

    /// Adds an entry whose offset was decided when it was appended.
    pub(crate) fn replay(&mut self, at: u64, slot: Slot) {
        let next = self.next();
        if at != next {
            let empty = self.min == next;
            match at.checked_sub(next) {
                // A Java broker deletes and makes a topic again without a trace in the log, except this one.
                None if at == 0 => self.restart(0),
                // Known already: a rebuilt log may overlap.
                None => return,
                Some(gap) if gap <= HOLES_MAX && !empty => (0..gap).for_each(|_| self.push(Slot::hole(slot.log))),
                // The older records of the queue were deleted, or are beyond repair.
                Some(_) => self.restart(at),
            }
        }
        self.push(slot);
    }

    /// Forgets all entries; the next one is `at`.
    fn restart(&mut self, at: u64) {
        self.drop_extents(self.extents.len());
        self.tail.clear();
        self.tail_first = at;
        self.min = at;
    }

    /// Offset of the first entry that is not visible.
    pub(crate) fn max(&self, visible: u64) -> u64 {
        // Records are visible as a whole, so the start of one decides. Most of the time all are.
        match self.tail.back() {
            Some(last) if last.log >= visible => {
                self.tail_first + self.tail.partition_point(|slot| slot.log < visible) as u64
            }
            _ => self.next(),
        }
    }
}

impl Queue {
    pub(crate) fn new(topic: Arc<str>, id: u32, progress: Arc<Progress>, state: State) -> Arc<Self> {
        Arc::new(Self { topic, id, progress, state: Mutex::new(state) })
    }

    /// Topic of the queue.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Number of the queue in its topic.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// First offset whose record is still in the log; [`Queue::max_offset`] if none is.
    pub fn min_offset(&self) -> QueueOffset {
        QueueOffset(self.state.lock().min)
    }

    /// One past the newest visible entry.
    pub fn max_offset(&self) -> QueueOffset {
        QueueOffset(self.state.lock().max(self.progress.visible()))
    }

    /// Offset the next append gets.
    pub fn next_offset(&self) -> QueueOffset {
        QueueOffset(self.state.lock().next())
    }

    /// Whether the topic was deleted since this handle was looked up.
    pub fn is_removed(&self) -> bool {
        self.state.lock().removed
    }

    /// Resolves once [`Queue::max_offset`] is greater than `offset`, or the queue is removed. May be dropped at any
    /// time; costs the append path nothing while nobody waits.
    pub fn wait_beyond(self: &Arc<Self>, offset: QueueOffset) -> WaitBeyond {
        WaitBeyond::new(self.clone(), offset.0)
    }

    pub(crate) fn visible(&self) -> u64 {
        self.progress.visible()
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Wakes everybody who waits on the queue; who is not content waits again.
    pub(crate) fn wake(&self) {
        let Some(mut waiters) = self.state.lock().waiters.take() else { return };
        let mut wakers = Vec::new();
        waiters.wakers.take(u64::MAX, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Queue")
            .field("topic", &self.topic)
            .field("id", &self.id)
            .field("min", &state.min)
            .field("next", &state.next())
            .finish_non_exhaustive()
    }
}
