//! Saving queues: entries from memory into extents, and the rows that say so.
//!
//! First the entries are written where no row points yet, then the rows are made durable, then the queues in memory
//! follow. An error at any point leaves the queues as they were, to be saved by the next checkpoint.

use super::extent::CLASS_ENTRIES;
use super::journal::{Batch, Journal, Place};
use super::{Extent, Extents, Queue, SLOT_BYTES, Slot, State, Table};
use crate::error::{Doing, Error};
use crate::io::Io;
use crate::progress::Progress;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// All queues, and the files of their entries and rows.
pub(crate) struct Queues {
    pub(crate) table: Table,
    pub(crate) extents: Extents,
    pub(crate) journal: Mutex<Journal>,
    dir: PathBuf,
}

/// One queue's part of a checkpoint.
struct Plan {
    queue: Arc<Queue>,
    row: u32,
    /// Entries that leave the tail.
    saved: usize,
    added: Vec<Extent>,
    dropped: u32,
}

impl Queues {
    /// Loads the queues as the last checkpoint left them, and says up to where that was; `None` if they have to be
    /// made from the log.
    pub(crate) fn open(io: Arc<dyn Io>, dir: PathBuf, progress: Arc<Progress>) -> Result<(Self, Option<Place>), Error> {
        io.make_dir(&dir).doing("make", &dir)?;
        let (journal, rows) = Journal::open(io.clone(), dir.clone())?;
        let extents = Extents::open(&*io, &dir)?;
        let queues = Self { table: Table::new(progress), extents, journal: Mutex::new(journal), dir };
        let Some(rows) = rows else { return Ok((queues, None)) };

        let mut used: [Vec<u32>; CLASS_ENTRIES.len()] = Default::default();
        for extent in rows.extents() {
            used[usize::from(extent.class)].push(extent.slot);
        }
        if !queues.extents.occupy(used)? {
            tracing::warn!("a file of queue entries is incomplete, the queues are made from the log again");
            return Ok((queues, None));
        }
        rows.for_each(|topic, queue_id, state| drop(queues.table.make(topic, queue_id, state)));
        let place = queues.journal.lock().at;
        Ok((queues, Some(place)))
    }

    /// Forgets everything: the queues are made from the log again.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        self.table.clear();
        self.extents.clear();
        self.journal.lock().clear()
    }

    /// Makes everything the queues hold of the log before `place` durable. `dirty` and `removed` are what changed
    /// since the last time; on an error they have to be given again.
    pub(crate) fn save(
        &self,
        place: Place,
        dirty: &[Arc<Queue>],
        removed: &[Arc<Queue>],
    ) -> Result<Vec<Arc<Queue>>, Error> {
        let journal = &mut *self.journal.lock();
        if journal.wants_rewrite() {
            let at = journal.at;
            journal.rewrite(self.all_rows(removed), at)?;
        }
        let mut batch = Batch::default();
        for queue in removed {
            let mut state = queue.state.lock();
            state.forgotten = true;
            if state.row != 0 {
                batch.remove(state.row);
            }
            let state = &mut *state;
            state
                .extents
                .drain(..)
                .chain(state.abandoned.drain(..))
                .for_each(|extent| self.extents.free_later(&extent));
        }
        let mut plans = Vec::with_capacity(dirty.len());
        let written = self.write(place, dirty, journal, &mut batch, &mut plans);
        if let Err(error) = written.and_then(|()| journal.append(batch, place)) {
            // Rows that may or may not be durable could name the extents, so they are only free after the next
            // checkpoint that does not.
            plans.iter().flat_map(|plan| &plan.added).for_each(|extent| self.extents.free_later(extent));
            return Err(error);
        }
        self.extents.checkpointed();
        Ok(plans.into_iter().filter_map(Plan::apply).collect())
    }

    fn write(
        &self,
        place: Place,
        dirty: &[Arc<Queue>],
        journal: &mut Journal,
        batch: &mut Batch,
        plans: &mut Vec<Plan>,
    ) -> Result<(), Error> {
        let mut touched = [false; CLASS_ENTRIES.len()];
        for queue in dirty {
            let (slots, mut last, first, row) = {
                let state = &mut *queue.state.lock();
                if state.forgotten {
                    continue;
                }
                state.abandoned.drain(..).for_each(|extent| self.extents.free_later(&extent));
                let saved = state.tail.partition_point(|slot| slot.log < place.log);
                let slots: Vec<Slot> = state.tail.range(..saved).copied().collect();
                (slots, state.extents.last().copied(), state.tail_first, state.row)
            };
            let plan = Plan { queue: queue.clone(), row, saved: slots.len(), added: Vec::new(), dropped: 0 };
            // Listed before anything is taken for it, so that an error can return what was taken.
            plans.push(plan);
            let plan = plans.last_mut().expect("it was just added");
            let mut rest = &slots[..];
            while !rest.is_empty() {
                let at = first + (slots.len() - rest.len()) as u64;
                let extent = match last {
                    Some(last) if at < last.first + last.entries() => last,
                    _ => {
                        let class = class_for(last, rest.len());
                        let extent =
                            Extent { first: at, first_log: rest[0].log, slot: self.extents.take(class), class };
                        plan.added.push(extent);
                        extent
                    }
                };
                let count = rest.len().min((extent.first + extent.entries() - at) as usize);
                let bytes: Vec<u8> = rest[..count].iter().flat_map(|slot| slot.to_bytes()).collect();
                debug_assert_eq!(bytes.len(), count * SLOT_BYTES);
                self.extents.write(&extent, at, &bytes).doing("write queue entries in", &self.dir)?;
                touched[usize::from(extent.class)] = true;
                rest = &rest[count..];
                last = Some(extent);
            }
            if plan.row == 0 {
                plan.row = journal.new_row();
                batch.create(plan.row, queue.id(), queue.topic());
            }
            let state = queue.state.lock();
            plan.dropped = state.dropped;
            let next = state.tail_first + plan.saved as u64;
            batch.change(plan.row, state.min, state.min_log, next, state.dropped, &plan.added);
        }
        for (class, _) in touched.iter().enumerate().filter(|(_, touched)| **touched) {
            self.extents.file(class as u8).sync().doing("sync queue entries in", &self.dir)?;
        }
        Ok(())
    }

    /// The rows as they were at the last checkpoint, with those that the next one will remove.
    fn all_rows(&self, removed: &[Arc<Queue>]) -> Batch {
        let mut batch = Batch::default();
        let mut add = |queue: &Arc<Queue>| {
            let mut state = queue.state.lock();
            if state.row != 0 {
                batch.create(state.row, queue.id(), queue.topic());
                batch.change(state.row, state.min, state.min_log, state.tail_first, 0, &state.extents);
                state.dropped = 0;
            }
        };
        self.table.for_each(&mut add);
        removed.iter().for_each(add);
        batch
    }
}

impl Plan {
    /// What was saved leaves memory. Returns the queue if it changed again meanwhile.
    fn apply(self) -> Option<Arc<Queue>> {
        let dirty = {
            let state = &mut *self.queue.state.lock();
            state.row = self.row;
            state.dropped -= self.dropped;
            state.extents.reserve_exact(self.added.len());
            state.extents.extend(self.added);
            state.tail.drain(..self.saved);
            state.tail_first += self.saved as u64;
            if state.tail.is_empty() {
                state.tail = Default::default();
            }
            state.dirty = !state.tail.is_empty() || state.dropped > 0;
            state.dirty
        };
        dirty.then_some(self.queue)
    }
}

/// The class after the last one, or the first that takes all entries that are there.
fn class_for(last: Option<Extent>, entries: usize) -> u8 {
    let largest = CLASS_ENTRIES.len() - 1;
    let mut class = last.map_or(0, |last| usize::from(last.class) + 1).min(largest);
    while class < largest && entries > CLASS_ENTRIES[class] as usize {
        class += 1;
    }
    class as u8
}

impl State {
    /// Forgets the first `count` extents; the next checkpoint frees them.
    pub(crate) fn drop_extents(&mut self, count: usize) {
        self.dropped += count as u32;
        self.abandoned.extend(self.extents.drain(..count));
    }
}
