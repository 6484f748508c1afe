//! Turns at the device: reads of what is not in memory, and their manners towards those who wait for syncs.
//!
//! A device serves what it is asked for in turn, so a sync waits for the reads in front of it. Many at once double the
//! throughput of some devices and multiply the time of a sync on all of them. So while the log is being synced, reads
//! that wait for the device go one after another, and the device rests from them for as long as each took.

use crate::error::Error;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// For so long after a sync the next one is expected.
const EXPECTED: Duration = Duration::from_millis(100);

/// A timer is no finer than this; shorter rests are added up.
const REST_MIN: Duration = Duration::from_millis(1);

pub(crate) struct ColdReads {
    turns: Semaphore,
    beside_syncs: Semaphore,
    rest_until: Mutex<Instant>,
    epoch: Instant,
    /// Microseconds since the epoch up to which reads have to mind syncs.
    mind_until: AtomicU64,
}

/// Leave to read; given back when it is dropped.
pub(crate) struct Turn<'a> {
    _any: SemaphorePermit<'a>,
    _beside_syncs: Option<Minding<'a>>,
}

struct Minding<'a> {
    _only: SemaphorePermit<'a>,
    reads: &'a ColdReads,
    since: Instant,
}

impl ColdReads {
    /// At most `max` at one time.
    pub(crate) fn new(max: usize) -> Self {
        let now = Instant::now();
        Self {
            turns: Semaphore::new(max),
            beside_syncs: Semaphore::new(1),
            rest_until: Mutex::new(now),
            epoch: now,
            mind_until: AtomicU64::new(0),
        }
    }

    /// Runs a sync of the log.
    pub(crate) fn minding<T>(&self, sync: impl FnOnce() -> T) -> T {
        self.mind_until.store(u64::MAX, Ordering::Relaxed);
        let result = sync();
        self.mind_until.store(self.micros() + EXPECTED.as_micros() as u64, Ordering::Relaxed);
        result
    }

    /// Waits for a turn, in the order of the calls.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Error> {
        let _any = self.turns.acquire().await.map_err(|_| Error::Closed)?;
        if !self.is_to_mind() {
            return Ok(Turn { _any, _beside_syncs: None });
        }
        let _only = self.beside_syncs.acquire().await.map_err(|_| Error::Closed)?;
        if !self.is_to_mind() {
            return Ok(Turn { _any, _beside_syncs: None });
        }
        let rest = self.rest_until.lock().saturating_duration_since(Instant::now());
        if rest >= REST_MIN {
            tokio::time::sleep(rest).await;
        }
        Ok(Turn { _any, _beside_syncs: Some(Minding { _only, reads: self, since: Instant::now() }) })
    }

    fn is_to_mind(&self) -> bool {
        self.micros() < self.mind_until.load(Ordering::Relaxed)
    }

    fn micros(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }
}

impl Drop for Minding<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut rest_until = self.reads.rest_until.lock();
        *rest_until = (*rest_until).max(now) + (now - self.since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const READ: Duration = Duration::from_millis(10);

    /// How long eight reads of 10 ms take, four at a time if that is allowed.
    async fn eight_reads(reads: &ColdReads) -> Duration {
        let started = Instant::now();
        let read = async || {
            let _turn = reads.turn().await.expect("a turn");
            sleep(READ).await;
        };
        tokio::join!(read(), read(), read(), read(), read(), read(), read(), read());
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn reads_go_one_by_one_and_rest_while_the_log_is_synced() {
        let reads = ColdReads::new(4);
        assert_eq!(eight_reads(&reads).await, 2 * READ);
        reads.minding(|| ());
        // Half of the time until no sync is expected any more; then four at a time again.
        let minding = eight_reads(&reads).await;
        assert!((10 * READ..=13 * READ).contains(&minding), "{minding:?}");
        sleep(EXPECTED).await;
        assert_eq!(eight_reads(&reads).await, 2 * READ);
    }
}
