//! Opening: reading the log from the last checkpoint to its end, and bringing everything derived up to it.

use crate::core::Core;
use crate::error::{Doing, Error};
use crate::log::append::{self, Appender};
use crate::log::segment::Segment;
use crate::queue::Slot;
use crate::state::{self, StateRecord};
use protocol::record::{self, Invalid, RecordView};
use std::time::{Duration, Instant};

/// What was found when a store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The store was closed in order last time.
    pub clean: bool,
    /// Bytes of log that were read.
    pub scanned_bytes: u64,
    /// Records among them.
    pub scanned_records: u64,
    /// Bytes after the last good record that were written and are not records: the torn tail of a crash.
    pub truncated_bytes: u64,
    /// Bytes in the middle of the log that are no records any more. The device lost them; what follows is kept.
    pub damaged_bytes: u64,
    /// The queues were made from the whole log.
    pub rebuilt_queues: bool,
    /// The key index was made from the whole log.
    pub rebuilt_keys: bool,
    /// Time it took.
    pub elapsed: Duration,
}

/// From where on each consumer of the log needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starts {
    pub(crate) queues: u64,
    pub(crate) keys: u64,
    /// `None` if there is no state record after the state checkpoint.
    pub(crate) state: Option<u64>,
}

/// Bytes of log read at once.
const WINDOW: u64 = 4 << 20;

/// Reads records one after the other, across segments.
struct Scanner<'a> {
    core: &'a Core,
    at: u64,
    window: Vec<u8>,
    window_start: u64,
}

enum Step {
    /// A good record lies at this range of the window.
    Record(std::ops::Range<usize>),
    /// The log ends here, or what is here cannot be a record.
    End,
}

impl Core {
    /// Reads the log from the earliest of `starts`, and leaves the store ready to append at its end.
    pub(crate) fn recover(&self, starts: Starts, replay: &mut dyn FnMut(&[u8])) -> Result<Recovery, Error> {
        let started = Instant::now();
        let mut recovery = Recovery::default();
        let (min, _) = self.segments.range();
        let from = starts.queues.min(starts.keys).min(starts.state.unwrap_or(u64::MAX)).max(min);
        let mut scanner = Scanner { core: self, at: from, window: Vec::new(), window_start: from };
        let (mut last_record, mut last_store_ms) = (from, 0);
        while let Step::Record(range) = scanner.step()? {
            let bytes = &scanner.window[range];
            let view = RecordView::parse(bytes).expect("the scanner validated it");
            self.dispatch(&view, starts, replay);
            last_record = view.log_offset();
            last_store_ms = view.store_timestamp();
            recovery.scanned_records += 1;
        }
        let end = scanner.at;
        recovery.scanned_bytes = end - from;
        self.begin_at(end, last_record, last_store_ms)?;
        recovery.elapsed = started.elapsed();
        Ok(recovery)
    }

    /// Hands a record of the log to what is derived from it, as appending it did.
    fn dispatch(&self, view: &RecordView<'_>, starts: Starts, replay: &mut dyn FnMut(&[u8])) {
        let at = view.log_offset();
        match state::decode(view) {
            Some(StateRecord::Broker(body)) => {
                self.appender.lock().last_state = Some(at);
                if starts.state.is_some_and(|from| at >= from) {
                    replay(body);
                }
                return;
            }
            Some(StateRecord::TopicRemoved(topic)) => {
                if at >= starts.queues {
                    self.forget_topic(&mut self.appender.lock(), topic);
                }
                return;
            }
            None => {}
        }
        let (tag, keys) = append::entry_of(view, &self.options.delay_levels);
        if at >= starts.queues && record::enters_queue(view.sys_flag()) && !view.topic().is_empty() {
            let queue = self.queues.table.find_or_make(view.topic(), view.queue_id());
            let mut state = queue.state.lock();
            state.replay(view.queue_offset(), Slot { log: at, size: view.len() as u32, tag });
            if !state.dirty {
                state.dirty = true;
                self.appender.lock().dirty.push(queue.clone());
            }
        }
        if at >= starts.keys {
            let mut appender = self.appender.lock();
            if appender.keys.push(&keys, at, view.store_timestamp()) {
                self.keys.freeze(&mut appender.keys);
            }
        }
    }

    /// Makes `end` the place where the next record goes.
    fn begin_at(&self, end: u64, last_record: u64, last_store_ms: i64) -> Result<(), Error> {
        let segment = self.segments.find_or_make(end).doing("make a segment in", &self.options.dir)?;
        let mut appender = self.appender.lock();
        let fresh = Appender::new(end, segment.end(), last_record, last_store_ms);
        let old = std::mem::replace(&mut *appender, fresh);
        appender.dirty = old.dirty;
        appender.removed = old.removed;
        appender.last_state = old.last_state;
        appender.keys = old.keys;
        drop(appender);
        *self.writer.lock() = crate::log::writer::Writer::new(end);
        self.prepare.begin_at(end);
        self.progress.show(end);
        self.progress.written.raise(end, &mut Vec::new());
        self.progress.flushed.raise(end, &mut Vec::new());
        Ok(())
    }
}

impl Scanner<'_> {
    fn step(&mut self) -> Result<Step, Error> {
        loop {
            let Some(segment) = self.core.segments.find(self.at) else { return Ok(Step::End) };
            let offset = (self.at - self.window_start) as usize;
            let bytes = self.window.get(offset..).unwrap_or_default();
            match record::validate(bytes, true) {
                Ok(view) if view.log_offset() == self.at => {
                    let len = view.len();
                    self.at += len as u64;
                    return Ok(Step::Record(offset..offset + len));
                }
                Err(Invalid::Blank(_)) => self.at = segment.end(),
                Err(Invalid::Incomplete { need, have }) if self.at + (need as u64) <= segment.end() => {
                    debug_assert!(have < need);
                    self.fill(&segment, need as u64)?;
                }
                _ => return Ok(Step::End),
            }
        }
    }

    /// Reads a window that begins at `at` and holds at least `need` bytes.
    fn fill(&mut self, segment: &Segment, need: u64) -> Result<(), Error> {
        let len = WINDOW.max(need).min(segment.end() - self.at);
        self.window.resize(len as usize, 0);
        let n = segment.file.read_at(&mut self.window, self.at - segment.base).doing("read", &segment.path)?;
        self.window[n..].fill(0);
        self.window_start = self.at;
        Ok(())
    }
}
