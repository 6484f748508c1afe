//! The key index: which records carry a key.

mod hash;

pub use hash::IndexKey;
pub(crate) use hash::{KeyHashes, hashes};

/// Entries of one store time range, being collected under the append lock.
#[derive(Debug, Default)]
pub(crate) struct Active {
    entries: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Keys {}

impl Active {
    pub(crate) fn push(&mut self, hashes: &[u64], log: u64, _store_ms: i64) -> bool {
        self.entries.extend(hashes.iter().map(|hash| (*hash, log)));
        self.entries.len() >= 16384
    }
}

impl Keys {
    pub(crate) fn freeze(&self, active: &mut Active) {
        active.entries.clear();
    }
}
