//! The table of queues on disk: `queues/rows-<generation>`, a journal of changed rows.
//!
//! ```text
//! header   magic "RMQROWS1" 8 | generation 8
//! batch    length of rows 4 | crc 4 | sequence 8 | log offset 8 | last record 8 | rows
//! create   1 | row 4 | queue id 4 | topic length 2, topic
//! change   2 | row 4 | min 8 | min log offset 8 | next 8 | extents dropped at the front 4
//!            | extents added 4, each: first 8, first log offset 8, slot 4, class 1
//! remove   3 | row 4
//! ```
//!
//! Little endian. A batch is what one checkpoint found changed: with it all queues are complete up to its log offset
//! (`last record` is the record that ends there). The CRC covers everything after itself. A batch that is torn, or
//! out of sequence, ends the journal: the checkpoint before it counts. A new generation begins with all rows.

use super::extent::CLASS_ENTRIES;
use super::{Extent, State};
use crate::error::{Doing, Error};
use crate::io::{self, File, Io};
use hashbrown::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"RMQROWS1";
const HEADER_BYTES: u64 = 16;
const BATCH_HEADER_BYTES: usize = 32;
const EXTENT_BYTES: usize = 21;
/// A journal shorter than this is not worth rewriting.
const COMPACT_BYTES_MIN: u64 = 4 << 20;

pub(crate) struct Journal {
    io: Arc<dyn Io>,
    dir: PathBuf,
    generation: u64,
    file: Option<Arc<dyn File>>,
    end: u64,
    sequence: u64,
    /// Where the first batch, which holds all rows, ended.
    snapshot_end: u64,
    next_row: u32,
    pub(crate) at: Place,
}

/// Up to where the queues are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) log: u64,
    pub(crate) last_record: u64,
}

/// The rows as they were found, in the order in which they were made: topics lie together.
#[derive(Default)]
pub(crate) struct Rows {
    /// The file.
    bytes: Vec<u8>,
    rows: Vec<Option<Row>>,
    by_number: HashMap<u32, usize, foldhash::fast::RandomState>,
}

struct Row {
    /// Where the name lies in the file.
    topic: Range<usize>,
    queue_id: u32,
    state: State,
}

/// What one checkpoint changes, being put together.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn create(&mut self, row: u32, queue_id: u32, topic: &str) {
        self.bytes.push(1);
        self.bytes.extend_from_slice(&row.to_le_bytes());
        self.bytes.extend_from_slice(&queue_id.to_le_bytes());
        self.bytes.extend_from_slice(&(topic.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(topic.as_bytes());
    }

    pub(crate) fn change(&mut self, row: u32, min: u64, min_log: u64, next: u64, dropped: u32, added: &[Extent]) {
        self.bytes.push(2);
        self.bytes.extend_from_slice(&row.to_le_bytes());
        for number in [min, min_log, next] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.extend_from_slice(&dropped.to_le_bytes());
        self.bytes.extend_from_slice(&(added.len() as u32).to_le_bytes());
        for extent in added {
            self.bytes.extend_from_slice(&extent.first.to_le_bytes());
            self.bytes.extend_from_slice(&extent.first_log.to_le_bytes());
            self.bytes.extend_from_slice(&extent.slot.to_le_bytes());
            self.bytes.push(extent.class);
        }
    }

    pub(crate) fn remove(&mut self, row: u32) {
        self.bytes.push(3);
        self.bytes.extend_from_slice(&row.to_le_bytes());
    }
}

impl Journal {
    /// Reads the newest generation. `None` for its rows if there is none that can be used.
    pub(crate) fn open(io: Arc<dyn Io>, dir: PathBuf) -> Result<(Self, Option<Rows>), Error> {
        let mut journal = Self {
            io,
            dir,
            generation: 0,
            file: None,
            end: 0,
            sequence: 0,
            snapshot_end: 0,
            next_row: 1,
            at: Place { log: 0, last_record: 0 },
        };
        let names = journal.io.list(&journal.dir).doing("list", &journal.dir)?;
        let mut generations: Vec<u64> =
            names.iter().filter_map(|name| name.strip_prefix("rows-")?.parse().ok()).collect();
        generations.sort_unstable();
        // A generation gets its name when it is complete, so the newest is the one that counts.
        let Some(&generation) = generations.last() else { return Ok((journal, None)) };
        journal.generation = generation;
        for old in &generations[..generations.len() - 1] {
            let path = journal.path(*old);
            journal.io.remove(&path).doing("delete", &path)?;
        }
        let path = journal.path(generation);
        let file = journal.io.open(&path).doing("open", &path)?;
        let bytes = io::read_all(&*file).doing("read", &path)?;
        let rows = journal.replay(bytes, generation);
        if rows.is_some() {
            // What is torn must not be taken for a batch when later ones lie in front of it.
            file.set_len(journal.end).doing("cut", &path)?;
            journal.file = Some(file);
        }
        Ok((journal, rows))
    }

    fn replay(&mut self, bytes: Vec<u8>, generation: u64) -> Option<Rows> {
        let header = bytes.get(..HEADER_BYTES as usize)?;
        if header[..8] != *MAGIC || header[8..] != generation.to_le_bytes() {
            return None;
        }
        let mut rows = Rows::default();
        self.end = HEADER_BYTES;
        while let Some((place, payload)) = next_batch(&bytes, self.end as usize, self.sequence) {
            self.end = payload.end as u64;
            rows.apply(&bytes, payload)?;
            self.at = place;
            self.sequence += 1;
            if self.sequence == 1 {
                self.snapshot_end = self.end;
            }
        }
        if has_batch_behind(&bytes, self.end as usize, self.sequence) {
            // Not the torn end, but a hole. Slots freed in it may belong to other queues by now.
            return None;
        }
        self.next_row = rows.by_number.keys().max().map_or(1, |row| row + 1);
        rows.bytes = bytes;
        (self.sequence > 0).then_some(rows)
    }

    /// Deletes all rows.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        self.file = None;
        self.at = Place { log: 0, last_record: 0 };
        for name in self.io.list(&self.dir).doing("list", &self.dir)? {
            if name.starts_with("rows-") {
                let path = self.dir.join(name);
                self.io.remove(&path).doing("delete", &path)?;
            }
        }
        self.io.sync_dir(&self.dir).doing("sync", &self.dir)
    }

    /// A number for a new row.
    pub(crate) fn new_row(&mut self) -> u32 {
        self.next_row += 1;
        self.next_row - 1
    }

    /// Whether the next thing to do is [`Journal::rewrite`].
    pub(crate) fn wants_rewrite(&self) -> bool {
        self.file.is_none() || self.end > COMPACT_BYTES_MIN.max(2 * self.snapshot_end)
    }

    /// Adds a batch, durably. After an error the journal must be rewritten, as nobody knows what the file holds.
    pub(crate) fn append(&mut self, batch: Batch, place: Place) -> Result<(), Error> {
        let path = self.path(self.generation);
        let file = self.file.take().expect("rewritten when there is no file");
        let bytes = seal(batch, self.sequence, place);
        io::write_all(&*file, &bytes, self.end).and_then(|()| file.sync()).doing("write", &path)?;
        self.end += bytes.len() as u64;
        self.sequence += 1;
        self.at = place;
        self.file = Some(file);
        Ok(())
    }

    /// Begins a new generation with a batch that holds all rows.
    pub(crate) fn rewrite(&mut self, batch: Batch, place: Place) -> Result<(), Error> {
        let generation = self.generation + 1;
        let name = format!("rows-{generation}");
        let mut bytes = Vec::from(*MAGIC);
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.append(&mut seal(batch, 0, place));
        io::replace(&*self.io, &self.dir, &name, &bytes).doing("write", &self.dir.join(&name))?;
        let path = self.path(generation);
        let file = self.io.open(&path).doing("open", &path)?;
        let _ = self.io.remove(&self.path(self.generation));
        self.generation = generation;
        self.file = Some(file);
        self.end = bytes.len() as u64;
        self.snapshot_end = self.end;
        self.sequence = 1;
        self.at = place;
        Ok(())
    }

    fn path(&self, generation: u64) -> PathBuf {
        path(&self.dir, generation)
    }
}

fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("rows-{generation}"))
}

fn seal(batch: Batch, sequence: u64, place: Place) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + batch.bytes.len());
    bytes.extend_from_slice(&(batch.bytes.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for number in [sequence, place.log, place.last_record] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&batch.bytes);
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The batch at a place of the file, and where its rows lie.
fn next_batch(bytes: &[u8], at: usize, sequence: u64) -> Option<(Place, Range<usize>)> {
    let mut reader = Reader { bytes, at };
    let (len, crc) = (reader.u32()?, reader.u32()?);
    let rows = at + BATCH_HEADER_BYTES..(at + BATCH_HEADER_BYTES).checked_add(len as usize)?;
    if crc32fast::hash(bytes.get(reader.at..rows.end)?) != crc || reader.u64()? != sequence {
        return None;
    }
    Some((Place { log: reader.u64()?, last_record: reader.u64()? }, rows))
}

/// Whether a batch with a later number lies anywhere behind a place where none can be read.
fn has_batch_behind(bytes: &[u8], end: usize, sequence: u64) -> bool {
    let later = sequence + 1..sequence + 1_000_000;
    (end..bytes.len().saturating_sub(BATCH_HEADER_BYTES)).any(|at| {
        let number = Reader { bytes, at: at + 8 }.u64().filter(|number| later.contains(number));
        number.is_some_and(|number| next_batch(bytes, at, number).is_some())
    })
}

impl Rows {
    /// `None` if the rows contradict each other, which the CRC makes a mistake of ours.
    fn apply(&mut self, bytes: &[u8], payload: Range<usize>) -> Option<()> {
        let mut reader = Reader { bytes: &bytes[..payload.end], at: payload.start };
        while reader.at < payload.end {
            let (kind, number) = (reader.u8()?, reader.u32()?);
            match kind {
                1 => {
                    let queue_id = reader.u32()?;
                    let len = usize::from(reader.u16()?);
                    let topic = reader.at..reader.at + len;
                    str::from_utf8(reader.take(len)?).ok()?;
                    let state = State { row: number, ..State::default() };
                    self.by_number.insert(number, self.rows.len());
                    self.rows.push(Some(Row { topic, queue_id, state }));
                }
                2 => reader.change(&mut self.rows[*self.by_number.get(&number)?].as_mut()?.state)?,
                3 => self.rows[self.by_number.remove(&number)?] = None,
                _ => return None,
            }
        }
        Some(())
    }

    /// All extents of all rows.
    pub(crate) fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.rows.iter().flatten().flat_map(|row| &row.state.extents)
    }

    /// Hands out topic, queue id and state of each row.
    pub(crate) fn for_each(self, mut visit: impl FnMut(&str, u32, State)) {
        for row in self.rows.into_iter().flatten() {
            let topic = str::from_utf8(&self.bytes[row.topic]).expect("checked when it was read");
            visit(topic, row.queue_id, row.state);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The part of a change that follows the row's number.
    fn change(&mut self, state: &mut State) -> Option<()> {
        state.min = self.u64()?;
        state.min_log = self.u64()?;
        state.tail_first = self.u64()?;
        let dropped = self.u32()? as usize;
        if dropped > state.extents.len() {
            return None;
        }
        state.extents.drain(..dropped);
        let added = self.u32()? as usize;
        if added > (self.bytes.len() - self.at) / EXTENT_BYTES {
            return None;
        }
        state.extents.reserve_exact(added);
        for _ in 0..added {
            let (first, first_log, slot) = (self.u64()?, self.u64()?, self.u32()?);
            let class = self.u8().filter(|class| usize::from(*class) < CLASS_ENTRIES.len())?;
            state.extents.push(Extent { first, first_log, slot, class });
        }
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
