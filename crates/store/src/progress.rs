//! What is known of the end of the log, and who must hear when it moves.

use crate::mark::Mark;
use crate::queue::Queue;
use crate::{Error, LogOffset};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The marks of one log.
///
/// ```text
///  deleted |  readable ............................ | written, not synced | appended, in memory
///          ^ log start                    visible ^   ^ flushed             ^ written            ^ appended
/// ```
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) written: Mark,
    pub(crate) flushed: Mark,
    visible: AtomicU64,
    /// Queues somebody waits for, with the end of the record that will end the wait.
    arrivals: Mutex<Vec<(u64, Arc<Queue>)>>,
}

impl Progress {
    pub(crate) fn new(end: u64) -> Self {
        Self { written: Mark::new(end), flushed: Mark::new(end), visible: end.into(), arrivals: Mutex::default() }
    }

    pub(crate) fn visible(&self) -> u64 {
        self.visible.load(Ordering::SeqCst)
    }

    /// Announces an append to a queue on which somebody waits.
    pub(crate) fn announce(&self, end: u64, queue: Arc<Queue>) {
        self.arrivals.lock().push((end, queue));
    }

    /// Lets consumers see the log up to `at`. Called before the mark that senders wait for is raised, so that who
    /// was told that a message is stored also finds it.
    pub(crate) fn show(&self, at: u64) {
        self.visible.fetch_max(at, Ordering::SeqCst);
        // The list is looked at after `visible` was raised, and a waiter looks at `visible` again after it joined
        // the list: one of the two sees the other.
        let ready = {
            let mut arrivals = self.arrivals.lock();
            if arrivals.is_empty() {
                return;
            }
            arrivals.extract_if(.., |(end, _)| *end <= at).collect::<Vec<_>>()
        };
        for (_, queue) in ready {
            queue.wake();
        }
    }

    /// Nothing moves any more.
    pub(crate) fn end(&self, error: &Error) {
        self.written.end(error.clone());
        self.flushed.end(error.clone());
    }

    pub(crate) fn visible_offset(&self) -> LogOffset {
        LogOffset(self.visible())
    }
}
