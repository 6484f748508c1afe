//! Counters, for runtime information and metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    sync_nanos_max: AtomicU64,
    pub(crate) cold_reads: AtomicU64,
}

/// What a store did since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Syncs of the log.
    pub syncs: u64,
    /// Time they took together.
    pub sync_time: Duration,
    /// The longest of them since the last call that asked.
    pub sync_time_max: Duration,
    /// Reads that had to wait for a device.
    pub cold_reads: u64,
}

impl Counters {
    pub(crate) fn synced(&self, elapsed: Duration) {
        let nanos = elapsed.as_nanos() as u64;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.sync_nanos_max.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            syncs: self.syncs.load(Ordering::Relaxed),
            sync_time: Duration::from_nanos(self.sync_nanos.load(Ordering::Relaxed)),
            sync_time_max: Duration::from_nanos(self.sync_nanos_max.swap(0, Ordering::Relaxed)),
            cold_reads: self.cold_reads.load(Ordering::Relaxed),
        }
    }
}
