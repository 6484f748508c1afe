//! Opening: reading the log from the last checkpoint to its end, and bringing everything derived up to it.

use crate::checkpoint::{Maintenance, Saved};
use crate::core::Core;
use crate::error::{Doing, Error};
use crate::limits::REBUILD_BYTES;
use crate::log::append::{self, Appender};
use crate::log::dispatch;
use crate::log::segment::Segment;
use crate::log::writer::Writer;
use crate::queue::{Place, Slot};
use crate::state::{self, StateRecord};
use protocol::record::{self, Invalid, RecordView};
use protocol::sysflag;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What was found when a store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The store was closed in order last time.
    pub clean: bool,
    /// Whoever had it open last, this program or a Java broker, did not end in order.
    pub aborted: bool,
    /// Bytes of log that were read.
    pub scanned_bytes: u64,
    /// Records among them.
    pub scanned_records: u64,
    /// Bytes after the last good record that were written and are not records: the torn tail of a crash. Counted no
    /// further than 8 MiB.
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

/// What the derived files said of themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) saved: Option<Saved>,
    pub(crate) queues: Option<Place>,
    pub(crate) keys: u64,
    /// The file `abort` was there.
    pub(crate) aborted: bool,
}

/// From where on each consumer of the log needs it.
#[derive(Debug, Clone, Copy)]
struct Starts {
    queues: u64,
    keys: u64,
    state: u64,
}

/// Whether a record is a message whose transaction was committed.
fn is_committed(sys_flag: i32) -> bool {
    sys_flag & sysflag::TRANSACTION_MASK == sysflag::TRANSACTION_COMMIT
}

/// Bytes of log read at once.
const WINDOW: u64 = 4 << 20;
/// How far the report of a torn tail looks.
const TORN_MAX: u64 = 8 << 20;

impl Core {
    /// Reads what of the log is not in the derived files, and leaves the store ready to append at the log's end.
    pub(crate) fn recover(&self, found: Found, replay: &mut dyn FnMut(&RecordView<'_>)) -> Result<Recovery, Error> {
        let started = Instant::now();
        let mut recovery = Recovery { aborted: found.aborted, ..Recovery::default() };
        let (min, files_end) = self.segments.range();
        let starts = self.starts(&found, min, files_end, &mut recovery)?;
        let from = starts.queues.min(starts.keys).min(starts.state);

        // Behind this place a bad record is the torn end; before it, a loss that must not take the rest with it.
        let durable = match found.saved {
            Some(saved) if found.aborted => saved.durable,
            // A Java broker may have gone on, and ended in order.
            Some(saved) => saved.durable.max(self.last_used_segment()?),
            None => self.last_used_segment()?,
        };
        let mut scanner = Scanner::new(self, from);
        if let Some(saved) = found.saved {
            // A Java broker allows what we take for torn, so this is only for logs of ours.
            scanner.torn_from = saved.durable;
        }
        let mut last = found.queues.filter(|place| place.log == from).map_or(from, |place| place.last_record);
        let mut saved_to = from;
        loop {
            while let Some(range) = scanner.next()? {
                let view = RecordView::parse(&scanner.window[range]).expect("the scanner validated it");
                self.dispatch(&view, starts, replay);
                last = view.log_offset();
                recovery.scanned_records += 1;
                if scanner.at - saved_to >= REBUILD_BYTES {
                    let place = Place { log: scanner.at, last_record: last };
                    self.sync_segments_between(saved_to, place.log)?;
                    self.checkpoint_rebuild(place, place.log > starts.queues)?;
                    saved_to = place.log;
                }
            }
            let bad = scanner.at;
            if bad >= durable || !scanner.resume(durable)? {
                scanner.at = bad;
                break;
            }
            tracing::error!(from = bad, to = scanner.at, "a part of the log is damaged, going on behind it");
            recovery.damaged_bytes += scanner.at - bad;
        }
        let end = scanner.at;
        recovery.scanned_bytes = end - from;
        recovery.clean = found.saved.is_some_and(|saved| saved.clean && saved.durable == end) && !found.aborted;
        if !recovery.clean {
            recovery.truncated_bytes = self.truncate(from, end)?;
        }
        self.begin_at(end, last)?;
        if found.saved.is_none_or(|saved| saved.start != min) {
            self.advance_queues()?;
        }
        let saved = Saved {
            clean: recovery.clean,
            durable: found.saved.map_or(0, |saved| saved.durable.min(end)),
            state: starts.state.min(end),
            start: self.segments.range().0,
        };
        if found.saved.is_none() && end == min {
            // Nobody knows of a log without this file what was durable. Of ours it is known from the first byte on.
            self.save_progress(&saved)?;
        }
        *self.maintenance.lock() = Maintenance::new(saved);
        self.checkpoint_due.store(end.saturating_add(self.options.checkpoint_bytes), Ordering::Relaxed);
        self.checkpoint_wanted.store(recovery.scanned_bytes > 0, Ordering::Relaxed);
        recovery.elapsed = started.elapsed();
        Ok(recovery)
    }

    /// Decides what can be believed. Derived files that know more than the log are thrown away.
    fn starts(&self, found: &Found, min: u64, end: u64, recovery: &mut Recovery) -> Result<Starts, Error> {
        let place = found.queues.filter(|place| place.log >= min);
        let queues = match place {
            Some(place) if self.ends_with(place)? => place.log,
            _ => {
                self.queues.clear()?;
                recovery.rebuilt_queues = end > min;
                if recovery.rebuilt_queues && found.queues.is_some() {
                    tracing::warn!("the queues do not fit the log, they are made from it again");
                }
                min
            }
        };
        // Queues are saved first: an index that knows more belongs to another log, or there is no telling.
        let keys = if found.keys > queues {
            self.keys.clear(min)?;
            min
        } else {
            found.keys.max(min)
        };
        recovery.rebuilt_keys = keys == min && end > min;
        let saved = found.saved.filter(|_| !self.options.replay_all);
        let state = saved.map_or(min, |saved| saved.state).max(min);
        Ok(Starts { queues, keys, state })
    }

    /// Whether the log really holds the record that a checkpoint says was its last.
    fn ends_with(&self, place: Place) -> Result<bool, Error> {
        let min = self.segments.range().0;
        if place.log == place.last_record || (place.log == min && place.last_record < min) {
            return Ok(true);
        }
        let mut scanner = Scanner::new(self, place.last_record);
        let found = scanner.next()?.is_some();
        // The checkpoint may lie behind a blank that follows the record.
        Ok(found && (scanner.at == place.log || self.segments.find(place.log).is_some_and(|s| s.base == place.log)))
    }

    /// Start of the newest segment that holds a record: what lies before it was complete once.
    fn last_used_segment(&self) -> Result<u64, Error> {
        for segment in self.segments.all().iter().rev() {
            if Scanner::new(self, segment.base).next()?.is_some() {
                return Ok(segment.base);
            }
        }
        Ok(0)
    }

    /// Hands a record of the log to what is derived from it, as appending it did.
    fn dispatch(&self, view: &RecordView<'_>, starts: Starts, replay: &mut dyn FnMut(&RecordView<'_>)) {
        let at = view.log_offset();
        match state::decode(view) {
            Some(StateRecord::Broker(_)) if at >= starts.state => {
                self.appender.lock().last_state = Some(at);
                return replay(view);
            }
            Some(StateRecord::TopicRemoved(topic)) if at >= starts.queues => {
                return self.forget_topic(&mut self.appender.lock(), topic);
            }
            Some(_) => return,
            None => {}
        }
        if at >= starts.state && self.is_replayed(view.topic()) {
            self.appender.lock().last_state = Some(at);
            replay(view);
        } else if at >= starts.state && self.options.replay_commits && is_committed(view.sys_flag()) {
            replay(view);
        }
        let (tag, keys) = append::entry_of(view, &self.options.delay_levels);
        if at >= starts.queues && record::enters_queue(view.sys_flag()) && !view.topic().is_empty() {
            let slot = Slot { log: at, size: view.len() as u32, tag };
            self.replay_entry(view.topic(), view.queue_id(), view.queue_offset(), slot);
            for (topic, offset) in dispatch::read(view.properties()) {
                self.replay_entry(topic, 0, offset, slot);
            }
        }
        if at >= starts.keys {
            let mut appender = self.appender.lock();
            if appender.keys.push(&keys, at, view.store_timestamp()) {
                self.keys.freeze(&mut appender.keys);
            }
        }
    }

    fn replay_entry(&self, topic: &str, queue_id: u32, offset: u64, slot: Slot) {
        let queue = self.queues.table.find_or_make(topic, queue_id);
        let mut state = queue.state.lock();
        state.replay(offset, slot);
        if !std::mem::replace(&mut state.dirty, true) {
            drop(state);
            self.appender.lock().dirty.push(queue);
        }
    }

    /// Makes everything behind `end` zeros, so that stale bytes are never taken for records, and what was read
    /// durable, so that nobody sees what a crash could still take away. Returns how much was torn.
    fn truncate(&self, from: u64, end: u64) -> Result<u64, Error> {
        let mut torn = 0;
        if let Some(segment) = self.segments.find(end) {
            let mut behind = vec![0; TORN_MAX.min(segment.end() - end) as usize];
            segment.file.read_at(&mut behind, end - segment.base).doing("read", &segment.path)?;
            torn = behind.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
            segment.file.zero_from(end - segment.base).doing("cut", &segment.path)?;
        }
        self.segments.remove_from(end + 1).doing("delete a segment in", &self.options.dir)?;
        self.sync_segments_between(from, end + 1)?;
        Ok(torn)
    }

    fn sync_segments_between(&self, from: u64, to: u64) -> Result<(), Error> {
        for segment in self.segments.all() {
            if segment.base < to && segment.end() > from {
                segment.file.sync().doing("sync", &segment.path)?;
            }
        }
        Ok(())
    }

    /// Makes `end` the place where the next record goes.
    fn begin_at(&self, end: u64, last_record: u64) -> Result<(), Error> {
        let segment = self.segments.find_or_make(end).doing("make a segment in", &self.options.dir)?;
        let mut scanner = Scanner::new(self, last_record);
        let last_store_ms = match scanner.next()? {
            Some(range) => record::store_timestamp(&scanner.window[range]).unwrap_or(0),
            None => 0,
        };
        {
            let mut appender = self.appender.lock();
            let fresh = Appender::new(end, segment.end(), last_record, last_store_ms);
            let old = std::mem::replace(&mut *appender, fresh);
            appender.dirty = old.dirty;
            appender.removed = old.removed;
            appender.last_state = old.last_state;
            appender.keys = old.keys;
        }
        *self.writer.lock() = Writer::new(end);
        self.prepare.begin_at(end, segment.end());
        self.progress.show(end);
        self.progress.written.raise(end, &mut Vec::new());
        self.progress.flushed.raise(end, &mut Vec::new());
        Ok(())
    }
}

/// Reads records one after the other, across segments.
struct Scanner<'a> {
    core: &'a Core,
    at: u64,
    window: Vec<u8>,
    window_start: u64,
    /// From here on records may be torn where their checksum does not see it.
    torn_from: u64,
}

impl<'a> Scanner<'a> {
    fn new(core: &'a Core, at: u64) -> Self {
        Self { core, at, window: Vec::new(), window_start: at, torn_from: u64::MAX }
    }

    /// Where in the window the next record lies; `None` if none begins at `at`.
    fn next(&mut self) -> Result<Option<Range<usize>>, Error> {
        while let Some(segment) = self.core.segments.find(self.at) {
            // Behind a damaged part the window may lie ahead of us, or be used up; both make it empty.
            let offset = self.at.checked_sub(self.window_start).map_or(usize::MAX, |offset| offset as usize);
            let bytes = self.window.get(offset..).unwrap_or_default();
            match record::validate(bytes, true) {
                Ok(view) if view.log_offset() == self.at && !(self.at >= self.torn_from && view.looks_torn()) => {
                    let len = view.len();
                    self.at += len as u64;
                    return Ok(Some(offset..offset + len));
                }
                Err(Invalid::Blank(_)) => self.at = segment.end(),
                Err(Invalid::Incomplete { need, .. }) if need as u64 <= segment.end() - self.at => {
                    self.fill(&segment, need as u64)?;
                }
                _ => break,
            }
        }
        Ok(None)
    }

    /// Moves on to the next place before `limit` where a record begins. False if there is none.
    fn resume(&mut self, limit: u64) -> Result<bool, Error> {
        let mut at = self.at + 1;
        while at < limit {
            self.at = at;
            let good = self.next()?.is_some();
            self.at = at;
            if good {
                return Ok(true);
            }
            at += self.zeros().max(1);
        }
        Ok(false)
    }

    /// How many bytes can be passed over because only zeros are ahead.
    fn zeros(&self) -> u64 {
        const LOOK: usize = 4096;
        // A record begins with its size, of which the first bytes are often zero.
        const SIZE_BYTES: usize = 4;
        let offset = self.at.checked_sub(self.window_start).map_or(usize::MAX, |offset| offset as usize);
        match self.window.get(offset..).and_then(|ahead| ahead.get(..LOOK)) {
            Some(ahead) if ahead.iter().all(|byte| *byte == 0) => (LOOK - SIZE_BYTES) as u64,
            _ => 0,
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
