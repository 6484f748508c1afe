//! When servers lived.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// What a crash may take of what is written a few times a second: where groups stand, and which popped messages were
/// acked. That is every 200 ms, but on a busy machine the write waits for the sync before it: 700 ms were seen.
const SAVED_AFTER_MS: i64 = 1500;

/// What a crash may take of what is written at once: that a batch was delivered.
const WRITTEN_AFTER_MS: i64 = 200;

/// The lives of one server after the other, each ended by a kill. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Lives(Arc<Mutex<Vec<Life>>>);

#[derive(Debug)]
struct Life {
    /// `None` if it was killed before.
    ready_ms: Option<i64>,
    end_ms: i64,
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as i64
}

impl Lives {
    /// A server is dead that was ready at `ready_ms`.
    pub(super) fn ended(&self, ready_ms: Option<i64>) {
        self.0.lock().push(Life { ready_ms, end_ms: now_ms() });
    }

    /// Whether what was done at `ms` may have been forgotten by a crash soon after.
    pub(super) fn may_forget(&self, ms: i64) -> bool {
        self.0.lock().iter().any(|life| (ms..=ms + SAVED_AFTER_MS).contains(&life.end_ms))
    }

    /// Whether what was due at `due_ms` may have been done twice by `now_ms`: done in one life, which then forgot it,
    /// and again in the next.
    pub(super) fn may_repeat(&self, due_ms: i64, now_ms: i64) -> bool {
        // What is overdue at the start is done then.
        let begin_ms = |life: &Life| life.ready_ms.unwrap_or(life.end_ms).max(due_ms);
        let forgot = |life: &Life| (0..=WRITTEN_AFTER_MS).contains(&(life.end_ms - begin_ms(life)));
        self.0.lock().iter().any(|life| life.end_ms < now_ms && forgot(life))
    }
}
