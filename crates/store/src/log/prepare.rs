//! Zeros ahead of the writer.
//!
//! A sync into blocks that were written before costs about half of one that must allocate them. So a thread writes
//! zeros over the next stretch of the log while nothing needs it, and makes the next segment before it is needed.
//!
//! It must never write over records. The writer raises `floor` to the end of what it is about to write, and waits
//! for a claim that lies below; a claim starts at or above the floor. Both happen under one lock.

use super::segment::Segments;
use parking_lot::{Condvar, Mutex};
use std::io;

/// Zeros written with one call.
const STEP: u64 = 256 << 10;
/// How close to the writer zeros are still useful; nearer than that it is there first.
const MARGIN: u64 = 64 << 10;
const PAGE: u64 = 4096;
const STRETCH_MIN: u64 = 1 << 20;
const STRETCH_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Prepare {
    state: Mutex<State>,
    /// The claim was given up.
    released: Condvar,
    /// The writer has come so far that there may be something to do.
    wanted: Condvar,
}

#[derive(Debug)]
struct State {
    /// Everything before it belongs to the writer.
    floor: u64,
    /// Zeros are written up to here.
    done: u64,
    /// Start of the zeros being written now.
    claim: Option<u64>,
    /// How far ahead of the floor zeros are wanted. Starts small, so that an idle store stays small.
    stretch: u64,
    stretch_max: u64,
    /// The stretch is being filled; it begins again when half of it is used, so that the thread wakes seldom.
    filling: bool,
    stop: bool,
}

impl Prepare {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        // A quarter of a segment, so that tests with tiny segments do not make hundreds of them.
        let stretch_max = STRETCH_MAX.min(segment_bytes / 4);
        let stretch = STRETCH_MIN.min(stretch_max);
        let state = State { floor: 0, done: 0, claim: None, stretch, stretch_max, filling: true, stop: false };
        Self { state: Mutex::new(state), released: Condvar::new(), wanted: Condvar::new() }
    }

    /// Says where the log ends, before anything runs.
    pub(crate) fn begin_at(&self, end: u64) {
        let mut state = self.state.lock();
        (state.floor, state.done) = (end, end);
    }

    /// Of the writer, before it writes: keeps zeros away from everything before `end`.
    pub(crate) fn reserve(&self, end: u64) {
        let mut state = self.state.lock();
        while state.claim.is_some_and(|claim| claim < end) {
            self.released.wait(&mut state);
        }
        state.floor = state.floor.max(end);
        if state.wants_more() {
            self.wanted.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.wanted.notify_one();
    }

    /// The thread. Ends with [`Prepare::stop`] or the first error: zeros are a help, not a duty.
    pub(crate) fn run(&self, segments: &Segments) -> io::Result<()> {
        let zeros = vec![0_u8; STEP as usize];
        loop {
            let Some(start) = self.claim() else { return Ok(()) };
            let result = write_zeros(segments, start, &zeros);
            let mut state = self.state.lock();
            state.claim = None;
            state.done = *result.as_ref().unwrap_or(&start);
            self.released.notify_all();
            drop(state);
            result?;
        }
    }

    /// Waits until zeros are wanted, and says where.
    fn claim(&self) -> Option<u64> {
        let mut state = self.state.lock();
        while !state.stop && !state.wants_more() {
            self.wanted.wait(&mut state);
        }
        if state.stop {
            return None;
        }
        if state.done < state.floor + MARGIN {
            // Nothing is ahead of the writer (or this is the start): leave it some room, and look further from now.
            state.done = (state.floor + MARGIN).next_multiple_of(PAGE);
            state.stretch = (state.stretch * 2).min(state.stretch_max);
        }
        state.claim = Some(state.done);
        state.claim
    }
}

impl State {
    fn wants_more(&mut self) -> bool {
        let ahead = self.done.saturating_sub(self.floor);
        self.filling = if self.filling { ahead < self.stretch } else { ahead < self.stretch / 2 };
        self.filling
    }
}

/// Writes at most one step of zeros and returns where they end.
fn write_zeros(segments: &Segments, start: u64, zeros: &[u8]) -> io::Result<u64> {
    let segment = segments.find_or_make(start)?;
    let end = (start + STEP).min(segment.end());
    crate::io::write_all(&*segment.file, &zeros[..(end - start) as usize], start - segment.base)?;
    Ok(end)
}
