//! Reading records and entries: from the tail cache, then from what the system has cached, then from the device.

use crate::core::Core;
use crate::error::Error;
use crate::io::File;
use crate::limits::{CLAIMED_BYTES, STRETCH_BYTES, STRETCH_GAP};
use crate::queue::{Entry, Queue, SLOT_BYTES, Slot};
use crate::{LogOffset, QueueOffset};
use bytes::{Bytes, BytesMut};
use protocol::record::{self, BLANK_BYTES};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Consecutive records of one [`crate::Store::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Index of the first range that the slice answers.
    pub first: usize,
    /// How many ranges it answers.
    pub count: usize,
    /// The bytes of those ranges, without a gap; `None` if the log does not have them any more (or not visibly yet).
    pub bytes: Option<Bytes>,
}

/// Consecutive bytes of the log that are in memory.
#[derive(Default)]
struct Held {
    start: u64,
    bytes: Bytes,
    /// They are the tail's, which keeps them anyway.
    of_tail: bool,
}

impl Held {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn holds(&self, start: u64, end: u64) -> bool {
        self.start <= start && end <= self.end()
    }

    fn get(&self, start: u64, end: u64) -> Bytes {
        let wanted = (start - self.start) as usize..(end - self.start) as usize;
        // A consumer that is slow to take a small slice must not keep all that was read with it.
        if self.of_tail || wanted.len() * 2 >= self.bytes.len() {
            self.bytes.slice(wanted)
        } else {
            Bytes::copy_from_slice(&self.bytes[wanted])
        }
    }
}

impl Core {
    pub(crate) async fn read(&self, ranges: &[(LogOffset, u32)]) -> Result<Vec<Slice>, Error> {
        // The tail may still hold what retention has deleted.
        let log_min = self.segments.range().0;
        let visible = self.progress.visible();
        let mut slices = Vec::with_capacity(ranges.len());
        let mut first = 0;
        // What was found last: what follows in a queue is mostly in it as well.
        let mut held = Held::default();
        while let Some(&(LogOffset(start), size)) = ranges.get(first) {
            let mut end = start + u64::from(size);
            let mut count = 1;
            let is_there = start >= log_min && end <= visible;
            if is_there && !held.holds(start, end) {
                held = match self.tail.get(start) {
                    Some(bytes) if bytes.len() >= size as usize => Held { start, bytes, of_tail: true },
                    _ => self.read_stretch(&ranges[first..], visible).await?,
                };
            }
            let bytes = if is_there && held.holds(start, end) {
                // Adjacent ranges join as long as they lie in one piece of memory.
                let limit = held.end().min(visible);
                while let Some(&(LogOffset(next), size)) = ranges.get(first + count)
                    && next == end
                    && end + u64::from(size) <= limit
                {
                    end += u64::from(size);
                    count += 1;
                }
                Some(held.get(start, end))
            } else {
                None
            };
            slices.push(Slice { first, count, bytes });
            first += count;
        }
        Ok(slices)
    }

    /// Reads the first range from its file, and with it those that follow closely: a device is visited once for all
    /// of them.
    async fn read_stretch(&self, ranges: &[(LogOffset, u32)], visible: u64) -> Result<Held, Error> {
        let ends = |&(LogOffset(start), size): &(LogOffset, u32)| (start, start + u64::from(size));
        let (start, mut end) = ends(&ranges[0]);
        let segment = self.segments.find(start).filter(|segment| end <= segment.end());
        let Some(segment) = segment else { return Ok(Held::default()) };
        for (next, next_end) in ranges[1..].iter().map(ends) {
            let is_near = next >= end && next - end <= STRETCH_GAP && next_end - start <= STRETCH_BYTES;
            if !is_near || next_end > segment.end().min(visible) {
                break;
            }
            end = next_end;
        }
        let bytes = self.read_file(&segment.file, start - segment.base, (end - start) as usize).await?;
        Ok(Held { start, bytes, of_tail: false })
    }

    /// The record that begins exactly at `at`, which nobody vouches for.
    pub(crate) async fn record_at(&self, at: LogOffset) -> Result<Option<Bytes>, Error> {
        let visible = self.progress.visible();
        if at.0 < self.segments.range().0 || at.0.saturating_add(u64::from(BLANK_BYTES)) > visible {
            return Ok(None);
        }
        let bytes = if let Some(bytes) = self.tail.get(at.0) {
            bytes
        } else {
            let Some(segment) = self.segments.find(at.0) else { return Ok(None) };
            let room = segment.end().min(visible) - at.0;
            let head = self.read_file(&segment.file, at.0 - segment.base, room.min(8) as usize).await?;
            let size = match record::RecordView::parse(&head) {
                Err(record::Invalid::Incomplete { need, .. }) if need as u64 <= room.min(self.claimed_bytes_max()) => {
                    need
                }
                _ => return Ok(None),
            };
            self.read_file(&segment.file, at.0 - segment.base, size).await?
        };
        Ok(match record::validate(&bytes, true) {
            Ok(record) if record.log_offset() == at.0 => Some(bytes.slice(..record.len())),
            _ => None,
        })
    }

    /// What the size field at an offset that anybody may have made up can make us read.
    fn claimed_bytes_max(&self) -> u64 {
        u64::from(self.options.record_bytes_max).max(CLAIMED_BYTES)
    }

    pub(crate) async fn entries(&self, queue: &Queue, from: QueueOffset, max: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut next = from.0;
        while entries.len() < max {
            let wanted = max - entries.len();
            let (extent, count) = match queue.plan(&mut next, wanted, &mut entries) {
                Some(plan) => plan,
                None => break,
            };
            let file = self.queues.extents.file(extent.class);
            let bytes = self.read_file(file, extent.position(next), count * SLOT_BYTES).await?;
            // The extent may have been freed and given to another queue while it was read.
            if !queue.owns(&extent) {
                continue;
            }
            let slots = bytes.as_chunks::<SLOT_BYTES>().0.iter().map(Slot::from_bytes);
            // Entries carry no checksum, but they rise with the log; a stray one must not lead a consumer astray.
            let visible = self.progress.visible();
            if !slots.clone().is_sorted_by_key(|slot| slot.log) || slots.clone().any(|s| s.end() > visible) {
                let what = format!(
                    "entries of queue {} of {:?} are damaged; delete `queues`, and open again",
                    queue.id(),
                    queue.topic()
                );
                return Err(Error::Damaged(what.into()));
            }
            entries.reserve(count);
            entries.extend((next..).zip(slots).filter(|(_, slot)| !slot.is_hole()).map(|(at, slot)| slot.entry(at)));
            next += count as u64;
        }
        Ok(entries)
    }

    /// Reads without waiting if that is possible, else on a thread that may block, when it is its turn: a group that
    /// catches up must not slow those who read the tail, nor those who wait for syncs.
    pub(crate) async fn read_file(&self, file: &Arc<dyn File>, at: u64, len: usize) -> Result<Bytes, Error> {
        let mut buf = BytesMut::zeroed(len);
        let failed = |source: std::io::Error| Error::Io { doing: "read the store".into(), source: source.into() };
        if let Some(n) = file.read_now(&mut buf, at).map_err(failed)?
            && n == len
        {
            return Ok(buf.freeze());
        }
        let _turn = self.cold_reads.turn().await?;
        // Whoever had the turn before may have brought it.
        if let Some(n) = file.read_now(&mut buf, at).map_err(failed)?
            && n == len
        {
            return Ok(buf.freeze());
        }
        self.stats.cold_reads.fetch_add(1, Ordering::Relaxed);
        let file = file.clone();
        let read = tokio::task::spawn_blocking(move || file.read_at(&mut buf, at).map(|n| (buf, n)));
        let (mut buf, n) = read.await.map_err(|_| Error::Closed)?.map_err(failed)?;
        // A file that ends early holds zeros, which are not records; who reads them finds out.
        buf[n..].fill(0);
        Ok(buf.freeze())
    }
}
