//! Merging runs, so that a query asks few of them.
//!
//! Runs of about the same size that lie side by side become one. A run beyond [`MERGED_KEYS_MAX`] is left alone: it
//! is cheap to ask, would be dear to write again, and can be dropped as a whole when the log behind it is deleted.

use super::run::{self, KEY_BYTES, PAGE_KEYS, Run};
use super::{Key, Keys, Times};
use crate::core::Core;
use crate::error::Error;
use crate::limits::MERGED_KEYS_MAX;
use std::io::Result as IoResult;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const FAN_IN: usize = 4;
/// Runs below this size count as equal.
const SMALL_KEYS: u64 = 4096;

impl Core {
    /// The merger's thread.
    pub(crate) fn run_merger(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            let merged = self.keys.merge_once(self.segments.range().0);
            match merged.and_then(|merged| merged.map(|runs| self.free_runs(runs)).transpose()) {
                Ok(Some(())) => {}
                Ok(None) => std::thread::park(),
                Err(error) => {
                    tracing::warn!(%error, "runs of keys could not be merged, trying again with the next one");
                    std::thread::park();
                }
            }
        }
    }
}

impl Keys {
    /// Merges some runs if there are enough of one size, and returns them; `None` if there is nothing to do.
    pub(crate) fn merge_once(&self, log_min: u64) -> Result<Option<Vec<Arc<Run>>>, Error> {
        let _one_at_a_time = self.merging.lock();
        let Some(mut inputs) = choose(&self.runs.read()) else { return Ok(None) };
        let (first, last) = (&inputs[0], &inputs[inputs.len() - 1]);
        let times = inputs.iter().fold(Times::NONE, |times, run| times.join(run.times));
        let merged = Merged::new(&inputs).filter(|key| key.as_ref().map_or(true, |key| key.log >= log_min));
        let merged = Arc::new(run::write(&*self.io, &self.dir, first.from, last.to, times, merged)?);
        {
            let mut runs = self.runs.write();
            // Retention may have dropped the first ones meanwhile, and a checkpoint may have added some.
            let at = runs.iter().position(|run| run.from >= first.from).unwrap_or(runs.len());
            let count = runs[at..].iter().take_while(|run| run.to <= last.to).count();
            runs.splice(at..at + count, [merged]);
        }
        self.remove(&mut inputs);
        Ok(Some(inputs))
    }
}

/// The newest runs that are alike, of the lowest level at which there are enough.
fn choose(runs: &[Arc<Run>]) -> Option<Vec<Arc<Run>>> {
    let mut limit = SMALL_KEYS;
    while limit <= MERGED_KEYS_MAX {
        let alike = runs.iter().rev().take_while(|run| run.count < limit).count();
        if alike >= FAN_IN {
            return Some(runs[runs.len() - alike..].to_vec());
        }
        limit *= FAN_IN as u64;
    }
    None
}

/// The keys of several runs in order. There are few runs, so looking at all of them is the quickest way to the least.
struct Merged<'a> {
    heads: Vec<(Key, Cursor<'a>)>,
    failed: Option<std::io::Error>,
}

struct Cursor<'a> {
    run: &'a Run,
    page: u64,
    keys: std::vec::IntoIter<Key>,
}

/// Pages read at once.
const READ_PAGES: u64 = 64;

impl<'a> Merged<'a> {
    fn new(runs: &'a [Arc<Run>]) -> Self {
        let mut merged = Self { heads: Vec::new(), failed: None };
        for run in runs {
            let mut cursor = Cursor { run, page: 0, keys: Vec::new().into_iter() };
            match cursor.next() {
                Ok(Some(key)) => merged.heads.push((key, cursor)),
                Ok(None) => {}
                Err(error) => merged.failed = Some(error),
            }
        }
        merged
    }
}

impl Iterator for Merged<'_> {
    type Item = IoResult<Key>;

    fn next(&mut self) -> Option<IoResult<Key>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let (least, _) = self.heads.iter().enumerate().min_by_key(|(_, (key, _))| key)?;
        let (head, cursor) = &mut self.heads[least];
        let key = *head;
        match cursor.next() {
            Ok(Some(next)) => *head = next,
            Ok(None) => drop(self.heads.swap_remove(least)),
            Err(error) => self.failed = Some(error),
        }
        Some(Ok(key))
    }
}

impl Cursor<'_> {
    fn next(&mut self) -> IoResult<Option<Key>> {
        if let Some(key) = self.keys.next() {
            return Ok(Some(key));
        }
        let first = self.page * PAGE_KEYS;
        let count = self.run.count.saturating_sub(first).min(READ_PAGES * PAGE_KEYS);
        let mut bytes = vec![0; count as usize * KEY_BYTES];
        self.run.file.read_at(&mut bytes, first * KEY_BYTES as u64)?;
        self.page += READ_PAGES;
        let keys: Vec<Key> = bytes.as_chunks().0.iter().map(Key::from_bytes).collect();
        self.keys = keys.into_iter();
        Ok(self.keys.next())
    }
}
