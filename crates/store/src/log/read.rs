//! Reading records and entries: from the tail cache, then from what the system has cached, then from the device.

use crate::core::Core;
use crate::error::Error;
use crate::io::File;
use crate::limits::{CLAIMED_BYTES, READ_BYTES_MAX};
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

impl Core {
    pub(crate) async fn read(&self, ranges: &[(LogOffset, u32)]) -> Result<Vec<Slice>, Error> {
        // The tail may still hold what retention has deleted.
        let log_min = self.segments.range().0;
        let mut slices = Vec::new();
        let mut first = 0;
        // The piece of the tail that was found last: what follows in a queue is mostly in it as well.
        let (mut piece_at, mut piece) = (0, Bytes::new());
        while let Some(&(LogOffset(start), size)) = ranges.get(first) {
            if start < piece_at || start >= piece_at + piece.len() as u64 {
                (piece_at, piece) = (start, self.tail.get(start).unwrap_or_default());
            }
            let cached = piece.get((start - piece_at) as usize..).filter(|bytes| bytes.len() >= size as usize);
            // Adjacent ranges join as long as they lie in one piece of memory, or in one file.
            let (segment, limit) = match &cached {
                Some(bytes) => (None, start + bytes.len() as u64),
                None => {
                    let segment = self.segments.find(start);
                    let limit = segment.as_ref().map_or(0, |s| s.end()).min(start + READ_BYTES_MAX);
                    (segment, limit)
                }
            };
            let mut end = start + u64::from(size);
            let mut count = 1;
            while let Some(&(LogOffset(next), size)) = ranges.get(first + count)
                && next == end
                && end + u64::from(size) <= limit
            {
                end += u64::from(size);
                count += 1;
            }
            let len = (end - start) as usize;
            let bytes = match (cached, segment) {
                _ if start < log_min || end > self.progress.visible() => None,
                (Some(bytes), _) => Some(piece.slice_ref(&bytes[..len])),
                (None, Some(segment)) if end <= segment.end() => {
                    Some(self.read_file(&segment.file, start - segment.base, len).await?)
                }
                _ => None,
            };
            slices.push(Slice { first, count, bytes });
            first += count;
        }
        Ok(slices)
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
            entries.extend((next..).zip(slots).filter(|(_, slot)| !slot.is_hole()).map(|(at, slot)| slot.entry(at)));
            next += count as u64;
        }
        Ok(entries)
    }

    /// Reads without waiting if that is possible, else on a thread that may block, of which there is a bounded
    /// number: a group that catches up must not slow those who read the tail.
    pub(crate) async fn read_file(&self, file: &Arc<dyn File>, at: u64, len: usize) -> Result<Bytes, Error> {
        let mut buf = BytesMut::zeroed(len);
        let failed = |source: std::io::Error| Error::Io { doing: "read the store".into(), source: source.into() };
        if let Some(n) = file.read_now(&mut buf, at).map_err(failed)?
            && n == len
        {
            return Ok(buf.freeze());
        }
        self.stats.cold_reads.fetch_add(1, Ordering::Relaxed);
        let _permit = self.blocking_reads.acquire().await.map_err(|_| Error::Closed)?;
        let file = file.clone();
        let read = tokio::task::spawn_blocking(move || file.read_at(&mut buf, at).map(|n| (buf, n)));
        let (mut buf, n) = read.await.map_err(|_| Error::Closed)?.map_err(failed)?;
        // A file that ends early holds zeros, which are not records; who reads them finds out.
        buf[n..].fill(0);
        Ok(buf.freeze())
    }
}
