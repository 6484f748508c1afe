//! Zeros ahead of the writer.
//!
//! A sync into blocks that were written before costs about half of one that must allocate them. So a thread writes
//! zeros over the next stretch of the log while nothing needs it, and makes the next segment before it is needed.
//! Large batches gain little, and zeros for them would be half of all that is written: they are left alone.
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
/// Batches larger than this, on average, are not prepared for.
const BATCH_BYTES_MAX: u64 = 64 << 10;
const AVERAGED: u64 = 16;
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
    /// End of the newest segment.
    made: u64,
    /// Average size of the last batches, times [`AVERAGED`].
    batches: u64,
    stop: bool,
}

impl Prepare {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        // A quarter of a segment, so that tests with tiny segments do not make hundreds of them.
        let stretch_max = STRETCH_MAX.min(segment_bytes / 4);
        let stretch = STRETCH_MIN.min(stretch_max);
        let state = State {
            floor: 0,
            done: 0,
            claim: None,
            stretch,
            stretch_max,
            filling: true,
            made: 0,
            batches: 0,
            stop: false,
        };
        Self { state: Mutex::new(state), released: Condvar::new(), wanted: Condvar::new() }
    }

    /// Says where the log ends, before anything runs.
    pub(crate) fn begin_at(&self, end: u64, segment_end: u64) {
        let mut state = self.state.lock();
        (state.floor, state.done, state.made) = (end, end, segment_end);
    }

    /// Of the writer, before it writes: keeps zeros away from everything before `end`.
    pub(crate) fn reserve(&self, end: u64) {
        let mut state = self.state.lock();
        while state.claim.is_some_and(|claim| claim < end) {
            self.released.wait(&mut state);
        }
        let batch = end.saturating_sub(state.floor);
        state.batches = state.batches - state.batches / AVERAGED + batch;
        state.floor = state.floor.max(end);
        if state.wants_segment() || state.wants_zeros() {
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
            match self.next_work() {
                Work::Stop => return Ok(()),
                Work::Segment(at) => {
                    let segment = segments.find_or_make(at)?;
                    self.state.lock().made = segment.end();
                }
                Work::Zeros(start) => {
                    let result = write_zeros(segments, start, &zeros);
                    let mut state = self.state.lock();
                    state.claim = None;
                    state.done = *result.as_ref().unwrap_or(&start);
                    self.released.notify_all();
                    drop(state);
                    result?;
                }
            }
        }
    }

    /// Waits until there is something to do; zeros are claimed by that.
    fn next_work(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return Work::Stop;
            }
            if state.wants_segment() {
                return Work::Segment(state.made);
            }
            if state.wants_zeros() {
                break;
            }
            self.wanted.wait(&mut state);
        }
        if state.done < state.floor + MARGIN {
            // Nothing is ahead of the writer (or this is the start): leave it some room, and look further from now.
            state.done = (state.floor + MARGIN).next_multiple_of(PAGE);
            state.stretch = (state.stretch * 2).min(state.stretch_max);
        }
        state.claim = Some(state.done);
        Work::Zeros(state.done)
    }
}

enum Work {
    Stop,
    /// Make the segment that begins here.
    Segment(u64),
    /// Write zeros from here on.
    Zeros(u64),
}

impl State {
    fn wants_segment(&self) -> bool {
        self.floor + self.stretch_max > self.made
    }

    fn wants_zeros(&mut self) -> bool {
        if self.batches > AVERAGED * BATCH_BYTES_MAX {
            return false;
        }
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
