//! Choosing the records of a queue that match a filter and fit into one answer.
//!
//! A tag filter is answered by the entries of the queue; for an expression the records are read, and those that do not
//! match are left out.

use bytes::Bytes;
use protocol::record::RecordView;
use store::{Entry, LogOffset, Queue, QueueOffset, Store};

use crate::Error;
use crate::filter::{Filter, Sql};
use crate::limits::{FILTER_BYTES_MAX, FILTER_STEP_BYTES, PULL_BYTES_MAX, PULL_ENTRIES_MAX};

/// What is wanted of a queue.
pub(crate) struct Selection<'a> {
    pub(crate) store: &'a Store,
    pub(crate) queue: &'a Queue,
    pub(crate) filter: &'a Filter,
    pub(crate) max_messages: usize,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Selected {
    /// The records in their order, neighbours in the log in one piece.
    pub(crate) slices: Vec<Bytes>,
    /// An entry for each record.
    pub(crate) entries: Vec<Entry>,
    /// Offset behind what was looked at.
    pub(crate) next: i64,
    /// Records that were wanted and are not there any more.
    pub(crate) removed: usize,
}

impl Selection<'_> {
    /// Selects among what is visible from an offset on. It looks at a bounded stretch, so the answer may be empty
    /// before the end of the queue.
    ///
    /// # Errors
    /// The store could not read.
    pub(crate) async fn from(&self, offset: u64) -> Result<Selected, Error> {
        let scan = if matches!(self.filter, Filter::All) { self.max_messages } else { PULL_ENTRIES_MAX };
        let entries = self.store.entries(self.queue, QueueOffset(offset), scan).await?;
        let (examined, mut selected) = match self.filter {
            Filter::Sql(sql) => self.matching(sql, &entries).await?,
            Filter::All | Filter::Tags(_) => self.tagged(&entries).await?,
        };
        let last = entries[..examined].last();
        selected.next = last.map_or(offset, |last| last.queue_offset.0 + 1) as i64;
        Ok(selected)
    }

    async fn tagged(&self, entries: &[Entry]) -> Result<(usize, Selected), Error> {
        let (wanted, examined) = self.choose(entries);
        let ranges: Vec<_> = wanted.iter().map(range).collect();
        let slices = self.store.read(&ranges).await?;
        let mut selected = Selected::with_capacity(slices.len(), wanted.len());
        for slice in slices {
            match slice.bytes {
                Some(bytes) => selected.push(bytes, &wanted[slice.first..slice.first + slice.count]),
                None => selected.removed += slice.count,
            }
        }
        Ok((examined, selected))
    }

    /// Entries that match and fit, and how many were looked at for them.
    fn choose(&self, entries: &[Entry]) -> (Vec<Entry>, usize) {
        let mut wanted = Vec::with_capacity(entries.len().min(self.max_messages));
        let mut bytes = 0;
        for (at, entry) in entries.iter().enumerate() {
            if !self.filter.may_match(entry.tag_code) {
                continue;
            }
            let full = wanted.len() == self.max_messages || bytes + entry.size as usize > PULL_BYTES_MAX;
            if full && !wanted.is_empty() {
                return (wanted, at);
            }
            bytes += entry.size as usize;
            wanted.push(*entry);
        }
        (wanted, entries.len())
    }

    async fn matching(&self, sql: &Sql, entries: &[Entry]) -> Result<(usize, Selected), Error> {
        let mut kept = Kept::default();
        let (mut examined, mut examined_bytes) = (0, 0);
        let mut room = true;
        while room && examined < entries.len() && examined_bytes < FILTER_BYTES_MAX {
            let step = step(&entries[examined..]);
            let ranges: Vec<_> = step.iter().map(range).collect();
            for slice in self.store.read(&ranges).await? {
                let read = &step[slice.first..slice.first + slice.count];
                let taken = match slice.bytes {
                    Some(bytes) => kept.take(&bytes, read, self.max_messages, sql),
                    None => {
                        kept.selected.removed += slice.count;
                        slice.count
                    }
                };
                examined += taken;
                room = taken == slice.count;
                if !room {
                    break;
                }
            }
            examined_bytes += step.iter().map(|entry| entry.size as usize).sum::<usize>();
        }
        Ok((examined, kept.selected))
    }
}

impl Selected {
    fn with_capacity(slices: usize, entries: usize) -> Selected {
        let (slices, entries) = (Vec::with_capacity(slices), Vec::with_capacity(entries));
        Selected { slices, entries, ..Selected::default() }
    }

    fn push(&mut self, bytes: Bytes, entries: &[Entry]) {
        self.slices.push(bytes);
        self.entries.extend_from_slice(entries);
    }

    /// Each record by itself, with its entry.
    pub(crate) fn records(&mut self) -> impl Iterator<Item = (Entry, Bytes)> {
        let mut slices = std::mem::take(&mut self.slices).into_iter();
        let mut rest = Bytes::new();
        std::mem::take(&mut self.entries).into_iter().map_while(move |entry| {
            if rest.is_empty() {
                rest = slices.next()?;
            }
            Some((entry, rest.split_to(entry.size as usize)))
        })
    }
}

fn range(entry: &Entry) -> (LogOffset, u32) {
    (entry.log_offset, entry.size)
}

/// The first entries, up to the bytes that are read at once; at least one.
fn step(entries: &[Entry]) -> &[Entry] {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        let first = bytes == 0;
        bytes += entry.size as usize;
        first || bytes <= FILTER_STEP_BYTES
    };
    &entries[..entries.iter().take_while(fits).count()]
}

/// What was kept so far: slices of the log around what was left out.
#[derive(Default)]
struct Kept {
    selected: Selected,
    bytes: usize,
}

impl Kept {
    /// Takes the records of a slice that match as long as there is room. Returns how many were looked at.
    fn take(&mut self, slice: &Bytes, entries: &[Entry], max: usize, sql: &Sql) -> usize {
        let (mut run, mut first, mut end) = (0, 0, 0);
        for (at, entry) in entries.iter().enumerate() {
            let size = entry.size as usize;
            let record = &slice[end..end + size];
            // Whether a record matches is asked only if it would fit: else the next pull asks again.
            let count = self.selected.entries.len() + (at - first);
            let full = count == max || self.bytes + size > PULL_BYTES_MAX;
            if full && count > 0 {
                self.push(slice, run..end, &entries[first..at]);
                return at;
            }
            let matches = RecordView::parse(record).is_ok_and(|record| sql.matches(record.properties()));
            if matches {
                self.bytes += size;
            } else {
                self.push(slice, run..end, &entries[first..at]);
                (run, first) = (end + size, at + 1);
            }
            end += size;
        }
        self.push(slice, run..end, &entries[first..]);
        entries.len()
    }

    fn push(&mut self, slice: &Bytes, bytes: std::ops::Range<usize>, entries: &[Entry]) {
        if !bytes.is_empty() {
            self.selected.push(slice.slice(bytes), entries);
        }
    }
}
