//! Checkpoints: up to where everything that derives from the log is on disk as well.
//!
//! The queues and the key index each say themselves how complete they are. What concerns the log as a whole is in the
//! small file `progress`, little endian:
//!
//! ```text
//! magic "RMQPROG1" 8 | crc of the rest 4 | clean 1 | zero 3 | durable 8 | state 8 | start 8
//! ```
//!
//! `durable`: bytes before it were synced, so what is unreadable there was lost by the device, not by a crash.
//! `state`: replay state records from here on. `start`: first byte of the log, which the queues have heard of.
//! `clean`: the log ends at `durable`, in order.

use crate::LogOffset;
use crate::core::Core;
use crate::error::{Doing, Error};
use crate::io::{self, Io};
use crate::queue::{Place, Queue};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NAME: &str = "progress";
const MAGIC: &[u8; 8] = b"RMQPROG1";
const FILE_BYTES: usize = 40;

/// What the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) clean: bool,
    pub(crate) durable: u64,
    pub(crate) state: u64,
    pub(crate) start: u64,
}

impl Saved {
    /// `None` if the file is missing or damaged; then nothing is known.
    pub(crate) fn load(io: &dyn Io, dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(NAME);
        match io.open(&path).and_then(|file| io::read_all(&*file)) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing("read", &path),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FILE_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let crc = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes"));
        (bytes[..8] == *MAGIC && crc32fast::hash(&bytes[12..]) == crc).then(|| Self {
            clean: bytes[12] == 1,
            durable: number(16),
            state: number(24),
            start: number(32),
        })
    }

    fn encode(&self) -> [u8; FILE_BYTES] {
        let mut bytes = [0; FILE_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[12] = self.clean.into();
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.state.to_le_bytes());
        bytes[32..].copy_from_slice(&self.start.to_le_bytes());
        let crc = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// What only checkpoints change.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    saved: Saved,
    /// The broker's own snapshot covers the state records before it.
    state_at: u64,
    /// First byte of the log as queues and keys know it.
    pub(crate) start: u64,
}

impl Maintenance {
    pub(crate) fn new(saved: Saved) -> Self {
        Self { saved, state_at: saved.state, start: saved.start }
    }

    /// Bytes before it will not be read at the next start, whatever happens: they are durable, in all derived files,
    /// and the broker's state covers them.
    pub(crate) fn replayed_from(&self) -> u64 {
        self.saved.durable.min(self.saved.state)
    }
}

impl Core {
    /// Saves everything that derives from the log so far. With `state_at`, state records before that place are not
    /// replayed any more. With `clean`, the log has ended for this run.
    pub(crate) fn checkpoint(&self, state_at: Option<LogOffset>, clean: bool) -> Result<(), Error> {
        let mut maintenance = self.maintenance.lock();
        let maintenance = &mut *maintenance;
        maintenance.state_at = state_at.map_or(maintenance.state_at, |at| at.0.max(maintenance.state_at));

        // One moment of the log: what is dirty now is complete up to `place`.
        let (place, dirty, removed, chunks, last_state) = {
            let mut appender = self.appender.lock();
            let place = Place { log: appender.next, last_record: appender.last_record };
            let dirty = std::mem::take(&mut appender.dirty);
            let removed = std::mem::take(&mut appender.removed);
            let due = place.log.saturating_add(self.options.checkpoint_bytes);
            self.checkpoint_due.store(due, Ordering::Relaxed);
            (place, dirty, removed, self.keys.cut(&mut appender.keys), appender.last_state)
        };
        let state = match last_state {
            Some(last) if last >= maintenance.state_at => maintenance.state_at,
            _ => {
                // Nothing between the two places would be replayed, so the later one is as good, and less to read.
                maintenance.state_at = place.log;
                place.log
            }
        };
        let saved = Saved { clean, durable: place.log, state, start: maintenance.start };
        if dirty.is_empty() && removed.is_empty() && chunks.is_empty() && saved == maintenance.saved {
            return Ok(());
        }
        // A derived file that knows more than the log would have to be thrown away after a crash.
        self.save_queues(place, dirty, removed, || self.flush_to(LogOffset(place.log)))?;
        self.keys.save(chunks, place.log)?;

        self.save_progress(&saved)?;
        maintenance.saved = saved;
        Ok(())
    }

    pub(crate) fn save_progress(&self, saved: &Saved) -> Result<(), Error> {
        let dir = &self.options.dir;
        io::replace(&*self.io, dir, NAME, &saved.encode()).doing("write the progress file in", dir)
    }

    /// Saves what is derived while the log is still being read, so that a rebuild needs memory for a part only.
    pub(crate) fn checkpoint_rebuild(&self, place: Place, queues: bool) -> Result<(), Error> {
        let (dirty, removed, chunks) = {
            let mut appender = self.appender.lock();
            let (dirty, removed) = (std::mem::take(&mut appender.dirty), std::mem::take(&mut appender.removed));
            (dirty, removed, self.keys.cut(&mut appender.keys))
        };
        if queues {
            self.save_queues(place, dirty, removed, || Ok(()))?;
        }
        self.keys.save(chunks, place.log)
    }

    fn save_queues(
        &self,
        place: Place,
        dirty: Vec<Arc<Queue>>,
        removed: Vec<Arc<Queue>>,
        first: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let result = first().and_then(|()| self.queues.save(place, &dirty, &removed));
        let mut appender = self.appender.lock();
        match result {
            Ok(changed_again) => appender.dirty.extend(changed_again),
            Err(error) => {
                appender.dirty.extend(dirty);
                appender.removed.extend(removed);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Of an append: wakes the housekeeper when enough was appended since the last checkpoint.
    pub(crate) fn checkpoint_if_due(&self, end: u64) {
        if end >= self.checkpoint_due.load(Ordering::Relaxed) {
            self.checkpoint_due.store(u64::MAX, Ordering::Relaxed);
            self.checkpoint_wanted.store(true, Ordering::Release);
            self.wake_housekeeper();
        }
    }
}
