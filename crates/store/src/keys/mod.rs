//! The key index: which records carry a key.
//!
//! An entry is a 64-bit hash of topic, kind and key, and the log offset of a record. Entries are collected in memory
//! in the order of the log; a checkpoint sorts what came since the last one and writes it as a *run*, a file that
//! never changes; a thread merges runs that lie side by side. Who finds a record by hash checks its properties, so a
//! collision, or a damaged run, shows nothing that is not true.
//!
//! ```text
//!  log   ...........................................................|..................|........ end
//!        | run (merged) | run (merged)     | run | run | run        | frozen chunks     | active
//! ```

mod hash;
mod merge;
mod query;
mod run;

pub use hash::IndexKey;
pub(crate) use hash::{KeyHashes, hashes};

use crate::error::{Doing, Error};
use crate::io::Io;
use crate::limits::{ACTIVE_KEYS, FROZEN_KEYS_MAX};
use parking_lot::{Mutex, RwLock};
pub(crate) use run::Run;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;

/// Sorts by hash, then by log offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) hash: u64,
    pub(crate) log: u64,
}

/// Keys in the order of the log.
#[derive(Debug)]
pub(crate) struct Chunk {
    keys: Vec<Key>,
    times: Times,
}

/// First and last store time, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    min: i64,
    max: i64,
}

impl Times {
    const NONE: Self = Self { min: i64::MAX, max: i64::MIN };

    fn join(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    fn overlaps(self, begin: i64, end: i64) -> bool {
        self.min <= end && self.max >= begin
    }
}

/// Keys being collected under the append lock.
#[derive(Debug)]
pub(crate) struct Active(Chunk);

impl Default for Active {
    fn default() -> Self {
        Self(Chunk { keys: Vec::new(), times: Times::NONE })
    }
}

impl Active {
    /// Adds the keys of a record; true if it is time to call [`Keys::freeze`].
    pub(crate) fn push(&mut self, hashes: &[u64], log: u64, store_ms: i64) -> bool {
        if hashes.is_empty() {
            return false;
        }
        self.0.keys.extend(hashes.iter().map(|&hash| Key { hash, log }));
        self.0.times = self.0.times.join(Times { min: store_ms, max: store_ms });
        self.0.keys.len() >= ACTIVE_KEYS
    }
}

/// All keys but the active ones.
pub(crate) struct Keys {
    io: Arc<dyn Io>,
    dir: PathBuf,
    /// Not in a run yet, oldest first.
    frozen: Mutex<Vec<Arc<Chunk>>>,
    /// Oldest first, side by side in the log.
    runs: RwLock<Vec<Arc<Run>>>,
    /// End of the newest run, also if that is gone.
    saved_to: AtomicU64,
    given_up: AtomicBool,
    merging: Mutex<()>,
    pub(crate) merger: std::sync::OnceLock<Thread>,
}

impl Keys {
    /// Opens the runs of a log that begins at `log_min`, and says up to where they are complete.
    pub(crate) fn open(io: Arc<dyn Io>, dir: PathBuf, log_min: u64) -> Result<(Self, u64), Error> {
        io.make_dir(&dir).doing("make", &dir)?;
        let runs = run::open_all(&*io, &dir, log_min)?;
        let end = runs.last().map_or(log_min, |run| run.to);
        let keys = Self {
            io,
            dir,
            frozen: Mutex::default(),
            runs: RwLock::new(runs),
            saved_to: end.into(),
            given_up: false.into(),
            merging: Mutex::default(),
            merger: std::sync::OnceLock::new(),
        };
        Ok((keys, end))
    }

    /// Takes over what the append lock collected.
    pub(crate) fn freeze(&self, active: &mut Active) {
        let chunk = std::mem::take(active).0;
        if chunk.keys.is_empty() || self.given_up.load(Ordering::Relaxed) {
            return;
        }
        active.0.keys.reserve_exact(ACTIVE_KEYS + 16);
        let mut frozen = self.frozen.lock();
        frozen.push(Arc::new(chunk));
        if frozen.len() > FROZEN_KEYS_MAX / ACTIVE_KEYS {
            tracing::warn!("the key index cannot be saved, it is given up until the next start");
            self.given_up.store(true, Ordering::Relaxed);
            frozen.clear();
        }
    }

    /// What is not in a run at this moment of the log, for [`Keys::save`].
    pub(crate) fn cut(&self, active: &mut Active) -> Vec<Arc<Chunk>> {
        self.freeze(active);
        active.0.keys.shrink_to(0);
        self.frozen.lock().clone()
    }

    /// Writes a run of all keys before `to` that are in no run yet.
    pub(crate) fn save(&self, chunks: Vec<Arc<Chunk>>, to: u64) -> Result<(), Error> {
        let from = self.saved_to.load(Ordering::Relaxed);
        if from >= to || self.given_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut keys: Vec<Key> = chunks.iter().flat_map(|chunk| chunk.keys.iter().copied()).collect();
        keys.sort_unstable();
        let times = chunks.iter().fold(Times::NONE, |times, chunk| times.join(chunk.times));
        let run = run::write(&*self.io, &self.dir, from, to, times, keys.into_iter().map(Ok))?;
        {
            let mut frozen = self.frozen.lock();
            let mut runs = self.runs.write();
            let saved = chunks.len().min(frozen.len());
            frozen.drain(..saved);
            runs.push(Arc::new(run));
            self.saved_to.store(to, Ordering::Relaxed);
        }
        if let Some(merger) = self.merger.get() {
            merger.unpark();
        }
        Ok(())
    }

    /// Drops the runs that only know deleted records, and returns them.
    pub(crate) fn forget_before(&self, log_min: u64) -> Vec<Arc<Run>> {
        let mut gone: Vec<Arc<Run>> = {
            let mut runs = self.runs.write();
            let gone = runs.iter().take_while(|run| run.to <= log_min).count();
            runs.drain(..gone).collect()
        };
        self.remove(&mut gone);
        gone
    }

    /// Removes the files of runs. Those that stay are left out; the next start finds that they are not needed.
    fn remove(&self, runs: &mut Vec<Arc<Run>>) {
        runs.retain(|run| match self.io.remove(&run.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %run.path.display(), %error, "an old run of keys was not deleted");
                false
            }
            _ => true,
        });
    }

    /// Forgets everything: the index is made again from the log, which begins at `log_min`.
    pub(crate) fn clear(&self, log_min: u64) -> Result<(), Error> {
        self.saved_to.store(log_min, Ordering::Relaxed);
        for run in self.runs.write().drain(..) {
            self.io.remove(&run.path).doing("delete", &run.path)?;
        }
        Ok(())
    }
}
