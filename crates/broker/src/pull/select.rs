//! Pulling with a filter that the queue entry cannot answer: records are read and those that do not match are left out.

use bytes::Bytes;
use protocol::record::RecordView;
use store::{Entry, LogOffset};

use super::{Pull, PullStatus, Pulled};
use crate::Error;
use crate::filter::Sql;
use crate::limits::{FILTER_BYTES_MAX, FILTER_STEP_BYTES, PULL_BYTES_MAX};

/// What was kept so far: slices of the log around what was left out.
#[derive(Default)]
struct Kept {
    slices: Vec<Bytes>,
    count: usize,
    bytes: usize,
}

impl Pull {
    pub(super) async fn read_matching(&self, sql: &Sql, entries: &[Entry]) -> Result<Pulled, Error> {
        let mut kept = Kept::default();
        let (mut examined, mut examined_bytes, mut removed) = (0, 0, 0);
        let mut room = true;
        while room && examined < entries.len() && examined_bytes < FILTER_BYTES_MAX {
            let step = step(&entries[examined..]);
            for slice in self.broker.store.read(&step).await? {
                let ranges = &step[slice.first..slice.first + slice.count];
                let taken = match slice.bytes {
                    Some(bytes) => kept.take(&bytes, ranges, self.max_messages, sql),
                    None => {
                        removed += slice.count;
                        slice.count
                    }
                };
                examined += taken;
                room = taken == slice.count;
                if !room {
                    break;
                }
            }
            examined_bytes += step.iter().map(|(_, size)| *size as usize).sum::<usize>();
        }
        let status = match () {
            () if kept.count > 0 => PullStatus::Found,
            () if removed > 0 => PullStatus::MessageWasRemoving,
            () => PullStatus::NoMatchedMessage,
        };
        let pulled = self.pulled(status, self.behind(&entries[..examined]));
        Ok(Pulled { records: kept.slices, count: kept.count, ..pulled })
    }
}

/// The first records, up to the bytes that are read at once; at least one.
fn step(entries: &[Entry]) -> Vec<(LogOffset, u32)> {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        let first = bytes == 0;
        bytes += entry.size as usize;
        first || bytes <= FILTER_STEP_BYTES
    };
    entries.iter().take_while(fits).map(|entry| (entry.log_offset, entry.size)).collect()
}

impl Kept {
    /// Takes the records of a slice that match as long as there is room. Returns how many were looked at.
    fn take(&mut self, slice: &Bytes, ranges: &[(LogOffset, u32)], max: usize, sql: &Sql) -> usize {
        let (mut run, mut end) = (0, 0);
        for (at, (_, size)) in ranges.iter().enumerate() {
            let size = *size as usize;
            let record = &slice[end..end + size];
            // Whether a record matches is asked only if it would fit: else the next pull asks again.
            let full = self.count == max || self.bytes + size > PULL_BYTES_MAX;
            if full && self.count > 0 {
                self.push(slice, run, end);
                return at;
            }
            let matches = RecordView::parse(record).is_ok_and(|record| sql.matches(record.properties()));
            if matches {
                self.count += 1;
                self.bytes += size;
            } else {
                self.push(slice, run, end);
                run = end + size;
            }
            end += size;
        }
        self.push(slice, run, end);
        ranges.len()
    }

    fn push(&mut self, slice: &Bytes, from: usize, to: usize) {
        if from < to {
            self.slices.push(slice.slice(from..to));
        }
    }
}
