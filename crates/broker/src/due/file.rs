//! The table as a file, `config/dueTable`, so that a start need not read the log from its beginning.
//!
//! Little endian:
//!
//! ```text
//! magic "RMQDUE01" 8 | crc of the rest 4 | zero 4 | place in the log 8 | entries 8
//! an entry:  kind 1 | due 8 | place 8 | owner 4 | detail 4 + 4
//! ```
//!
//! The file is the table as the log made it up to its place; opening applies what follows. It is written anew only
//! when that pays: see [`Snapshot::is_wanted`].

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use store::LogOffset;
use store::io::Disk;

use super::{Due, KINDS, Key};
use crate::Error;
use crate::limits::{DUE_REPLAY_BYTES, DUE_SNAPSHOT_AGE_MS};

const NAME: &str = "dueTable";
const MAGIC: &[u8; 8] = b"RMQDUE01";
const HEAD_BYTES: usize = 32;
const ENTRY_BYTES: usize = 29;

/// What the directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// The table up to a place of the log.
    UpTo(LogOffset),
    /// Nothing, or nothing usable: the whole log must tell.
    Nothing,
}

/// What is known of the file.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Place of the log that the file stands for.
    at: u64,
    changes: u64,
    written_ms: i64,
    there: bool,
}

impl Due {
    /// Fills the table from the directory.
    pub(crate) fn load(&self, dir: &Path) -> io::Result<Loaded> {
        let path = dir.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Nothing),
            Err(error) => return Err(io::Error::new(error.kind(), format!("read {}: {error}", path.display()))),
        };
        match self.decode(&bytes) {
            Some(at) => Ok(Loaded::UpTo(LogOffset(at))),
            None => {
                *self.trees.lock() = super::trees();
                tracing::warn!(path = %path.display(), "the file is damaged, the whole log is read instead");
                Ok(Loaded::Nothing)
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> Option<u64> {
        let (head, entries) = bytes.split_at_checked(HEAD_BYTES)?;
        let crc = u32::from_le_bytes(head[8..12].try_into().ok()?);
        if head[..8] != *MAGIC || crc32fast::hash(&bytes[12..]) != crc {
            return None;
        }
        let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let short = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        if number(head, 24).checked_mul(ENTRY_BYTES as u64)? != entries.len() as u64 {
            return None;
        }
        let mut trees = self.trees.lock();
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let kind = *KINDS.get(usize::from(entry[0]))?;
            let key = Key { due_ms: number(entry, 1).cast_signed(), place: number(entry, 9), owner: short(entry, 17) };
            trees[kind as usize].insert(key, [short(entry, 21), short(entry, 25)]);
        }
        Some(number(head, 16))
    }

    #[cfg(test)]
    pub(crate) fn encode_for_tests(&self) -> usize {
        self.encode(|| Ok(LogOffset(0))).expect("nothing can fail").2.len()
    }

    /// The table as bytes, at the place of the log that `at` answers while nobody changes anything.
    fn encode(&self, at: impl FnOnce() -> Result<LogOffset, Error>) -> Result<(u64, u64, Vec<u8>), Error> {
        let _nobody_changes = self.gate.write();
        let at = at()?.0;
        let trees = self.trees.lock();
        let entries: usize = trees.iter().map(|tree| tree.by_time.len()).sum();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + entries * ENTRY_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&(entries as u64).to_le_bytes());
        for (kind, tree) in KINDS.iter().zip(trees.iter()) {
            for (key, detail) in &tree.by_time {
                bytes.push(*kind as u8);
                bytes.extend_from_slice(&key.due_ms.to_le_bytes());
                bytes.extend_from_slice(&key.place.to_le_bytes());
                bytes.extend_from_slice(&key.owner.to_le_bytes());
                bytes.extend_from_slice(&detail[0].to_le_bytes());
                bytes.extend_from_slice(&detail[1].to_le_bytes());
            }
        }
        Ok((at, self.changes.load(Ordering::Relaxed), bytes))
    }
}

impl Snapshot {
    /// Of a start: what the file holds, and what the log added to it since.
    pub(crate) fn loaded(loaded: Loaded, now_ms: i64) -> Snapshot {
        match loaded {
            Loaded::UpTo(at) => Snapshot { at: at.0, changes: 0, written_ms: now_ms, there: true },
            Loaded::Nothing => Snapshot::default(),
        }
    }

    /// Whether it is time to write the file again, the log being at `end`: there is none yet; or a quarter of the table
    /// has changed; or a start would have to read [`DUE_REPLAY_BYTES`] of log, or [`DUE_SNAPSHOT_AGE_MS`] of it.
    fn is_wanted(&self, due: &Due, end: LogOffset, now_ms: i64) -> bool {
        let changed = due.changes() - self.changes;
        let entries: usize = KINDS.iter().map(|kind| due.len(*kind)).sum();
        !self.there
            || (changed > 0
                && (changed >= entries as u64 / 4
                    || end.0.saturating_sub(self.at) >= DUE_REPLAY_BYTES
                    || now_ms - self.written_ms >= DUE_SNAPSHOT_AGE_MS))
    }

    /// Writes the file if that is wanted, or `now`, and returns the place from which on a start must read the log.
    ///
    /// `record` writes into the log what it lacks of the table. The log is made durable before the file: a table that
    /// knows what a crash takes away would lose messages.
    pub(crate) fn save(
        &mut self,
        due: &Due,
        dir: &Path,
        store: &store::Store,
        record: impl FnOnce() -> Result<(), Error>,
        now: bool,
        now_ms: i64,
    ) -> Result<LogOffset, Error> {
        let (visible, changes) = {
            let _nobody_changes = due.gate.write();
            (store.log_range().1, due.changes())
        };
        if self.there && changes == self.changes {
            return Ok(visible);
        }
        if now || self.is_wanted(due, store.appended(), now_ms) {
            let (at, changes, mut bytes) = due.encode(|| record().map(|()| store.appended()))?;
            let crc = crc32fast::hash(&bytes[12..]);
            bytes[8..12].copy_from_slice(&crc.to_le_bytes());
            store.flush()?;
            let failed = |error: io::Error| Error::Settings(format!("write {NAME}: {error}"));
            store::io::replace(&Disk, dir, NAME, &bytes).map_err(failed)?;
            *self = Snapshot { at, changes, written_ms: now_ms, there: true };
        }
        Ok(LogOffset(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn a_table_comes_back_from_its_bytes_and_damage_is_seen() {
        let due = Due::default();
        let change = due.change();
        for i in 0..100u32 {
            let key = Key { due_ms: 7 - i64::from(i), place: u64::from(i) << 40, owner: !i };
            change.insert(Kind::Timed, key, [i, u32::MAX]);
            change.insert(Kind::Check, Key { owner: 0, ..key }, [i, 0]);
        }
        drop(change);
        let (_, changes, mut bytes) = due.encode(|| Ok(LogOffset(77))).unwrap();
        assert_eq!(changes, 200);
        let crc = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());

        let again = Due::default();
        assert_eq!(again.decode(&bytes), Some(77));
        for kind in KINDS {
            assert_eq!(again.due(kind, i64::MAX, 1000), due.due(kind, i64::MAX, 1000));
        }
        assert!(again.change().remove_at(Kind::Check, 5 << 40).is_some());
        for at in [0, 9, 20, 31, 40, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Due::default().decode(&bad), None, "byte {at}");
        }
        assert_eq!(Due::default().decode(&bytes[..bytes.len() - 1]), None);
    }
}
