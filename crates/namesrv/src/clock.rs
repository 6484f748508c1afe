//! Time as a value, so that tests move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A clock that only goes forward, from 0. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System(Instant),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Real time, from now.
    pub fn system() -> Clock {
        Clock(Kind::System(Instant::now()))
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn manual() -> Clock {
        Clock(Kind::Manual(Arc::default()))
    }

    /// Time since the clock was made.
    pub fn now(&self) -> Duration {
        match &self.0 {
            Kind::System(start) => start.elapsed(),
            Kind::Manual(millis) => Duration::from_millis(millis.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock; real time moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(millis) = &self.0 {
            millis.fetch_add(by.as_millis() as u64, Ordering::AcqRel);
        }
    }
}
