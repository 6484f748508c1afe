//! Zeros ahead of the writer.
//!
//! A sync into blocks that were written before costs about half of one that must allocate them. So a thread writes
//! zeros over the next stretch of the log while nothing needs it, and makes the next segment before it is needed.
//! Large batches gain little, and zeros for them would be half of all that is written: they are left alone.
//!
//! Zeros must not make anybody wait who syncs. So they go to the device in small steps, each synced by this thread, and
//! no more often than records use them up. Left to the system they would pile up in its memory, 64 MB at a time, and
//! keep the device busy for 100 ms when they leave it.
//!
//! It must never write over records. The writer raises `floor` to the end of what it is about to write, and waits
//! for a claim that lies below; a claim starts at or above the floor. Both happen under one lock.

use super::segment::Segments;
use crate::io::File;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;

/// Zeros written and synced with one call: a millisecond of a fast device. Smaller steps mean more commits of the file
/// system's journal, for which syncs of records wait.
const STEP: u64 = 512 << 10;
/// How close to the writer zeros are still useful; nearer than that, or than some batches, it is there first.
const MARGIN: u64 = 64 << 10;
const MARGIN_BATCHES: u64 = 8;
const PAGE: u64 = 4096;
/// Batches larger than this, on average, are not prepared for.
const BATCH_BYTES_MAX: u64 = 64 << 10;
const AVERAGED: u64 = 16;
const STRETCH_MIN: u64 = 1 << 20;
/// At 100 MB/s the time of a bad sync.
const STRETCH_MAX: u64 = 16 << 20;
/// How far ahead the next segment is made. Takes two syncs, however fast the log grows.
const SEGMENT_AHEAD: u64 = 64 << 20;

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
    segment_ahead: u64,
    /// Whether anybody waits for syncs, so that zeros pay.
    zeros: bool,
    /// End of the newest segment.
    made: u64,
    /// Average size of the last batches, times [`AVERAGED`].
    batches: u64,
    stop: bool,
}

impl Prepare {
    /// `zeros`: whether they are wanted, besides the next segment.
    pub(crate) fn new(segment_bytes: u64, zeros: bool) -> Self {
        // A quarter of a segment, so that tests with tiny segments do not make hundreds of them.
        let stretch_max = STRETCH_MAX.min(segment_bytes / 4);
        let state = State {
            floor: 0,
            done: 0,
            claim: None,
            stretch: STRETCH_MIN.min(stretch_max),
            stretch_max,
            segment_ahead: SEGMENT_AHEAD.min(segment_bytes / 4),
            zeros,
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
        let mut target = None;
        loop {
            match self.next_work() {
                Work::Stop => return Ok(()),
                Work::Segment(at) => {
                    let segment = segments.find_or_make(at)?;
                    self.state.lock().made = segment.end();
                }
                Work::Zeros(start) => {
                    let written = write_zeros(segments, start, &zeros, &mut target);
                    let mut state = self.state.lock();
                    state.claim = None;
                    state.done = *written.as_ref().unwrap_or(&start);
                    self.released.notify_all();
                    drop(state);
                    written?;
                    // Without the claim: what the writer puts over zeros from here on is not theirs to undo.
                    target.as_ref().map_or(Ok(()), |target| target.file.sync())?;
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
        let margin = state.margin();
        if state.done < state.floor + margin {
            // Nothing is ahead of the writer (or this is the start): leave it some room, and look further from now.
            state.done = (state.floor + margin).next_multiple_of(PAGE);
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
        self.floor + self.segment_ahead > self.made
    }

    /// For each step that was used up there is one more.
    fn wants_zeros(&self) -> bool {
        let ahead = self.done.saturating_sub(self.floor);
        self.zeros && self.batches <= AVERAGED * BATCH_BYTES_MAX && ahead + STEP <= self.stretch
    }

    fn margin(&self) -> u64 {
        MARGIN.max(self.batches / AVERAGED * MARGIN_BATCHES)
    }
}

/// The segment that zeros are written to.
struct Target {
    base: u64,
    end: u64,
    /// Opened for this thread: the system tells each open file once that bytes could not be written, and the writer
    /// must not miss that because a sync of zeros heard of it.
    file: Arc<dyn File>,
}

/// Writes at most one step of zeros and returns where they end.
fn write_zeros(segments: &Segments, start: u64, zeros: &[u8], target: &mut Option<Target>) -> io::Result<u64> {
    let target = match target {
        Some(target) if (target.base..target.end).contains(&start) => target,
        _ => {
            let segment = segments.find_or_make(start)?;
            let file = segments.reopen(&segment)?;
            target.insert(Target { base: segment.base, end: segment.end(), file })
        }
    };
    let end = (start + STEP).min(target.end);
    crate::io::write_all(&*target.file, &zeros[..(end - start) as usize], start - target.base)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Disk, read_all, write_all_synced};

    #[test]
    fn zeros_keep_ahead_of_records_and_never_touch_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let segment_bytes = 16 << 20;
        let segments = Segments::open(Arc::new(Disk), dir.path().join("commitlog"), segment_bytes).expect("opens");
        let segment = segments.find_or_make(0).expect("is made");
        let prepare = Prepare::new(segment_bytes, true);
        prepare.begin_at(0, segment.end());
        let mut end = 0_u64;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| prepare.run(&segments));
            // Batches of all sizes, some larger than what is zero already.
            for size in (0..400).map(|i| if i % 50 == 49 { 700_000 } else { 1 + i * 37 % 9000 }) {
                prepare.reserve(end + size);
                write_all_synced(&*segment.file, &vec![7; size as usize], end).expect("is written");
                end += size;
            }
            prepare.stop();
            thread.join().expect("ends").expect("without an error");
        });
        let bytes = read_all(&*segment.file).expect("is read");
        assert!(bytes[..end as usize].iter().all(|byte| *byte == 7), "zeros were written over records");
        assert!(bytes[end as usize..].iter().all(|byte| *byte == 0));
        let state = prepare.state.lock();
        assert!(state.done >= end && state.done <= end + STRETCH_MAX + MARGIN, "{} behind {end}", state.done);
    }

    #[test]
    fn nothing_is_zeroed_for_those_who_do_not_wait_and_for_large_batches() {
        for (zeros, batch, wanted) in [(true, 1000, true), (false, 1000, false), (true, 1 << 20, false)] {
            let prepare = Prepare::new(1 << 30, zeros);
            prepare.begin_at(0, 1 << 30);
            (1..=40).for_each(|i| prepare.reserve(i * batch));
            assert_eq!(prepare.state.lock().wants_zeros(), wanted, "{zeros} {batch}");
        }
    }
}
