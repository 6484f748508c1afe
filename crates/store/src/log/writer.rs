//! The writer: takes what was appended, writes and syncs it for everybody who waits, and says so.

use super::gather::gathered;
use super::segment::Segment;
use super::tail::Piece;
use crate::core::Core;
use crate::limits::{FLUSH_TIMEOUT, WRITE_SLICES_MAX};
use crate::options::Flush;
use crate::{Error, LogOffset};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

/// What only one thread at a time may do, and its memory.
pub(crate) struct Writer {
    /// Taken and not written yet; more than one batch only while the disk is full.
    pieces: Vec<Piece>,
    /// Written up to here.
    done: u64,
    /// Segments written to and not synced since.
    unsynced: Vec<Arc<Segment>>,
    wakers: Vec<Waker>,
}

/// What a turn of the writer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was nothing to write.
    Idle,
    /// Something was written.
    Wrote,
    /// The disk is full: the same again later.
    Full,
    /// The log has failed.
    Failed,
}

/// Pause before the next try on a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// A sync that takes so long is told of: clients time out after some seconds.
const SYNC_SLOW: Duration = Duration::from_secs(1);

impl Writer {
    pub(crate) fn new(done: u64) -> Self {
        Self { pieces: Vec::new(), done, unsynced: Vec::new(), wakers: Vec::new() }
    }
}

impl Core {
    /// The writer's thread.
    pub(crate) fn run_writer(&self) {
        let _if_it_panics = FailOnPanic(self);
        loop {
            match self.write_pending() {
                Turn::Wrote => {}
                Turn::Failed => return,
                Turn::Full if self.stopping.load(Ordering::Acquire) => {
                    return self.progress.end(&Error::DiskFull);
                }
                Turn::Full => thread::park_timeout(FULL_PAUSE),
                Turn::Idle if self.stopping.load(Ordering::Acquire) => {
                    self.sync();
                    return;
                }
                Turn::Idle => self.rest(),
            }
        }
    }

    /// Sleeps until there is something to write.
    fn rest(&self) {
        self.writer_parked.store(true, Ordering::Release);
        // An append either is seen here, or comes after this lock was released and then sees the flag.
        if !self.appender.lock().has_pending() && !self.stopping.load(Ordering::Acquire) {
            thread::park();
        }
        self.writer_parked.store(false, Ordering::Relaxed);
    }

    /// The thread that syncs where acknowledgements do not wait for it.
    pub(crate) fn run_syncs(&self) {
        let Flush::Async { interval } = self.options.flush else { return };
        while !self.stopping.load(Ordering::Acquire) && self.sync() != Turn::Failed {
            thread::park_timeout(interval);
        }
    }

    /// Wakes the writer if it sleeps, unless the thread gathers. Costs one load while it is busy.
    pub(crate) fn wake_writer(&self) {
        if !gathered() {
            self.unpark_writer();
        }
    }

    fn unpark_writer(&self) {
        if self.writer_parked.load(Ordering::Acquire)
            && self.writer_parked.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.writer_thread.get()
        {
            thread.unpark();
        }
    }

    /// Writes, and syncs if an acknowledgement means that, everything that was appended so far.
    pub(crate) fn write_pending(&self) -> Turn {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        if self.progress.written.ended().is_some() {
            return Turn::Failed;
        }
        self.appender.lock().take(&mut writer.pieces);
        let Some(end) = writer.pieces.last().map(Piece::end) else { return Turn::Idle };

        self.prepare.reserve(end);
        if let Err(error) = self.write_pieces(writer) {
            if is_full(&error) {
                self.disk_full.store(true, Ordering::Relaxed);
                return Turn::Full;
            }
            return self.fail("write", &error);
        }
        self.disk_full.store(false, Ordering::Relaxed);
        if self.options.flush == Flush::Sync
            && !writer.unsynced.is_empty()
            && let Err(error) = self.sync_segments(&std::mem::take(&mut writer.unsynced))
        {
            return self.fail("sync", &error);
        }

        self.tail.push(writer.pieces.drain(..));
        self.progress.show(end);
        self.progress.written.raise(end, &mut writer.wakers);
        if self.options.flush == Flush::Sync {
            self.progress.flushed.raise(end, &mut writer.wakers);
        }
        Turn::Wrote
    }

    /// Makes everything that was written durable, while the writer goes on.
    pub(crate) fn sync(&self) -> Turn {
        let _one_at_a_time = self.syncing.lock();
        let (unsynced, written) = {
            let mut writer = self.writer.lock();
            (std::mem::take(&mut writer.unsynced), self.progress.written.get().0)
        };
        if self.progress.written.ended().is_some() {
            return Turn::Failed;
        }
        if unsynced.is_empty() {
            return Turn::Idle;
        }
        if let Err(error) = self.sync_segments(&unsynced) {
            return self.fail("sync", &error);
        }
        self.progress.flushed.raise(written, &mut Vec::new());
        Turn::Wrote
    }

    /// Returns when everything before `end`, which was appended, is durable; an error if the disk is full or does
    /// not answer for a while.
    pub(crate) fn flush_to(&self, end: LogOffset) -> Result<(), Error> {
        if self.options.threads {
            self.wait_acknowledged(end)?;
        } else {
            self.write_pending();
        }
        self.sync();
        match self.progress.flushed.ended() {
            _ if self.progress.flushed.reached(end) => Ok(()),
            Some(error) => Err(error.clone()),
            None => Err(Error::DiskFull),
        }
    }

    fn wait_acknowledged(&self, end: LogOffset) -> Result<(), Error> {
        // Whoever waits may have gathered what is waited for.
        self.unpark_writer();
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        while Instant::now() < deadline {
            // Whoever waits here may be the one who would make room on a full disk.
            if self.disk_full.load(Ordering::Relaxed) {
                return Err(Error::DiskFull);
            }
            if let Some(result) = self.acknowledged().wait_blocking(end, FULL_PAUSE) {
                return result;
            }
        }
        Err(Error::Stalled)
    }

    /// Writes the pieces; durably, if that is wanted and takes a single call, and else `unsynced` says where.
    fn write_pieces(&self, writer: &mut Writer) -> io::Result<()> {
        let end = writer.pieces.last().map_or(0, Piece::end);
        loop {
            let rest = writer.pieces.partition_point(|piece| piece.end() <= writer.done);
            let Some(first) = writer.pieces.get(rest) else { return Ok(()) };
            // Pieces follow each other, except that a blank jumps to the next segment.
            writer.done = writer.done.max(first.start);
            let segment = self.segments.find_or_make(writer.done)?;
            let skip = (writer.done - first.start) as usize;
            let slices: Vec<IoSlice<'_>> = writer.pieces[rest..]
                .iter()
                .take_while(|piece| piece.start < segment.end())
                .take(WRITE_SLICES_MAX)
                .enumerate()
                .map(|(i, piece)| IoSlice::new(&piece.bytes[if i == 0 { skip } else { 0 }..]))
                .collect();
            let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
            let whole = end <= segment.end() && writer.done + bytes == end;
            // A sync of the file would wait for the zeros ahead as well. A full disk may be reported late, by the sync
            // within this call: then all of it is written again, so what is said of it later is true.
            let n = if self.options.flush == Flush::Sync && whole && writer.unsynced.is_empty() {
                self.timed(|| segment.file.write_synced_at(&slices, writer.done - segment.base))?
            } else {
                if !writer.unsynced.iter().any(|unsynced| unsynced.base == segment.base) {
                    writer.unsynced.push(segment.clone());
                }
                segment.file.write_at(&slices, writer.done - segment.base)?
            };
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            writer.done += n as u64;
        }
    }

    fn sync_segments(&self, segments: &[Arc<Segment>]) -> io::Result<()> {
        self.timed(|| segments.iter().try_for_each(|segment| segment.file.sync()))
    }

    fn timed<T>(&self, sync: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let started = Instant::now();
        let done = self.cold_reads.minding(sync)?;
        let took = started.elapsed();
        if took >= SYNC_SLOW {
            tracing::warn!(
                ?took,
                "the disk was slow to make the log durable, and whoever sent meanwhile waited for it"
            );
        }
        self.stats.synced(took);
        Ok(done)
    }

    /// Ends the log: nothing is known about the pages that were being written, and a later success would prove
    /// nothing about them.
    fn fail(&self, verb: &str, error: &io::Error) -> Turn {
        tracing::error!(verb, %error, "the log failed, it takes no more writes until it is reopened");
        self.progress.end(&Error::Failed(format!("{verb} the log: {error}").into()));
        Turn::Failed
    }
}

/// Without a writer nobody must wait for it.
struct FailOnPanic<'a>(&'a Core);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.progress.end(&Error::Failed("the writer panicked".into()));
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
