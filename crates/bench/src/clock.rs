//! Time of one run, and the stamp that a message carries in its body.

use std::time::{Duration, Instant, SystemTime};

/// First bytes of a stamped body; the stamp follows, nanoseconds since 1970, big-endian.
const MAGIC: [u8; 8] = *b"RMQBENCH";

/// Smallest body that can carry a stamp.
pub(crate) const STAMP_BYTES: usize = 16;

/// Nanoseconds since the start of the run. Steady, and tied to the wall clock once, so that stamps of one machine's
/// processes compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    begin: Instant,
    wall_ns: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock { begin: Instant::now(), wall_ns: wall.as_nanos() as u64 }
    }

    pub(crate) fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Nanoseconds since 1970 at a time of this run.
    pub(crate) fn wall_ns(&self, at: u64) -> u64 {
        self.wall_ns + at
    }

    /// The time of this run at which a stamp was made; what is older than the run is at 0.
    pub(crate) fn at(&self, stamp: u64) -> u64 {
        stamp.saturating_sub(self.wall_ns)
    }

    pub(crate) fn sleep_until(&self, at: u64) {
        std::thread::sleep(Duration::from_nanos(at.saturating_sub(self.now())));
    }
}

/// Writes a stamp to the front of a body that has the room.
pub(crate) fn put_stamp(body: &mut [u8], stamp: u64) {
    body[..8].copy_from_slice(&MAGIC);
    body[8..STAMP_BYTES].copy_from_slice(&stamp.to_be_bytes());
}

/// The stamp of a body that has one.
pub(crate) fn stamp(body: &[u8]) -> Option<u64> {
    let stamp = body.strip_prefix(&MAGIC)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*stamp))
}
