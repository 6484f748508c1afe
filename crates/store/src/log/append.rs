//! Appending: a place in the log, one copy, an entry in the queue.

use super::dispatch;
use super::tail::Piece;
use crate::core::Core;
use crate::keys::{self, KeyHashes};
use crate::queue::{Queue, Slot, State};
use crate::{Error, LogOffset, QueueOffset};
use bytes::BytesMut;
use protocol::name::SCHEDULE_TOPIC;
use protocol::properties;
use protocol::record::{self, BLANK_BYTES, Measured, NewRecord, Stamp};
use protocol::tag::java_hash;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Where records were put. They are in the log, but in memory only: wait for [`crate::Store::acknowledged`] to reach
/// `end` before anybody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// First byte of the (first) record.
    pub log_offset: LogOffset,
    /// One past the last byte of the (last) record.
    pub end: LogOffset,
    /// Queue offset of the (first) record; the others follow. 0 for records that enter no queue.
    pub queue_offset: QueueOffset,
    /// Store time of the records, ms.
    pub store_timestamp_ms: i64,
    /// First byte of each record.
    pub log_offsets: SmallVec<[LogOffset; 1]>,
}

/// What the append lock protects. Its holder may take the lock of a queue, not the other way round.
pub(crate) struct Appender {
    /// Where the next record goes.
    pub(crate) next: u64,
    /// End of the segment that `next` lies in.
    segment_end: u64,
    /// Start of the newest record.
    pub(crate) last_record: u64,
    last_store_ms: i64,
    /// Memory that records are copied to; what it holds begins at `chunk_start`.
    chunk: BytesMut,
    chunk_start: u64,
    /// Size of the chunk's memory, until its first piece has taken it.
    chunk_bytes: usize,
    /// Full chunks and ends of segments, for the writer.
    sealed: Vec<Piece>,
    /// Queues that the next checkpoint must save, each once.
    pub(crate) dirty: Vec<Arc<Queue>>,
    /// Queues of deleted topics that the next checkpoint must forget.
    pub(crate) removed: Vec<Arc<Queue>>,
    /// The newest state record.
    pub(crate) last_state: Option<u64>,
    pub(crate) keys: keys::Active,
    pub(crate) closed: bool,
}

impl Appender {
    pub(crate) fn new(next: u64, segment_end: u64, last_record: u64, last_store_ms: i64) -> Self {
        Self {
            next,
            segment_end,
            last_record,
            last_store_ms,
            chunk: BytesMut::new(),
            chunk_start: next,
            chunk_bytes: 0,
            sealed: Vec::new(),
            dirty: Vec::new(),
            removed: Vec::new(),
            last_state: None,
            keys: keys::Active::default(),
            closed: false,
        }
    }

    /// Takes everything that was appended and not taken yet.
    pub(crate) fn take(&mut self, out: &mut Vec<Piece>) {
        self.seal();
        out.append(&mut self.sealed);
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.sealed.is_empty() || !self.chunk.is_empty()
    }

    fn seal(&mut self) {
        if !self.chunk.is_empty() {
            let bytes = self.chunk.split().freeze();
            let chunk_bytes = std::mem::take(&mut self.chunk_bytes);
            self.sealed.push(Piece { start: self.chunk_start, bytes, chunk_bytes });
        }
        self.chunk_start = self.next;
    }

    /// Store times rise with offsets, or searching by time would not work. Threads that raced for the lock are put
    /// in order; a clock that was really set back is followed.
    fn store_time(&mut self, now_ms: i64) -> i64 {
        if now_ms > self.last_store_ms || self.last_store_ms - now_ms > CLOCK_JITTER_MS {
            self.last_store_ms = now_ms;
        }
        self.last_store_ms
    }
}

const CLOCK_JITTER_MS: i64 = 1000;

/// A record with everything computed that does not need the lock.
struct Prepared<'a> {
    measured: Measured<'a>,
    tag: Tag,
    keys: KeyHashes,
}

#[derive(Clone, Copy)]
enum Tag {
    Code(i64),
    /// Delivery this long after storing.
    Delay(i64),
}

impl<'a> Prepared<'a> {
    fn new(record: &'a NewRecord<'a>, delay_levels: &[Duration]) -> Result<Self, Error> {
        let measured = record.measure()?;
        let (tag, keys) = look_up(record.topic, record.properties, delay_levels);
        Ok(Self { measured, tag, keys })
    }
}

/// What the queue entry and the index want to know of a record's properties.
fn look_up(topic: &str, properties_text: &str, delay_levels: &[Duration]) -> (Tag, KeyHashes) {
    let (mut tag, mut delay) = (Tag::Code(0), None);
    let mut keys = KeyHashes::new();
    for (name, value) in properties::iter(properties_text) {
        match name {
            "TAGS" => tag = Tag::Code(java_hash(value).into()),
            "DELAY" if topic == SCHEDULE_TOPIC => delay = value.parse().ok().and_then(|l| delay_of(l, delay_levels)),
            _ => {}
        }
        keys::hashes(topic, name, value, &mut keys);
    }
    (delay.map_or(tag, Tag::Delay), keys)
}

/// Source: RocketMQ 5.3.4, `MessageStoreConfig.messageDelayLevel`; levels above the last one mean the last one.
fn delay_of(level: i64, delay_levels: &[Duration]) -> Option<i64> {
    let index = usize::try_from(level).ok()?.checked_sub(1)?;
    let delay = delay_levels.get(index).or(delay_levels.last())?;
    i64::try_from(delay.as_millis()).ok()
}

/// Tag code and key hashes of a record that is in the log already.
pub(crate) fn entry_of(record: &record::RecordView<'_>, delay_levels: &[Duration]) -> (i64, KeyHashes) {
    let (tag, keys) = look_up(record.topic(), record.properties(), delay_levels);
    (tag.code(record.store_timestamp()), keys)
}

impl Tag {
    fn code(self, store_timestamp: i64) -> i64 {
        match self {
            Tag::Code(code) => code,
            Tag::Delay(delay) => store_timestamp.saturating_add(delay),
        }
    }
}

impl Core {
    /// Appends records to one queue: all or nothing, and all in one segment.
    pub(crate) fn append(&self, queue: &Arc<Queue>, records: &[NewRecord<'_>]) -> Result<Appended, Error> {
        for record in records {
            if queue.id() != record.queue_id || **queue.topic() != *record.topic {
                return Err(Error::WrongQueue { topic: record.topic.into(), queue_id: record.queue_id });
            }
        }
        self.append_records(Some(queue), &[], records, |_| ())
    }

    /// Appends a record to its queue and to queues of other topics as well. It says in its last two properties which
    /// these are, and at which offsets it stands there.
    ///
    /// Source: RocketMQ 5.5.0, `LmqDispatch.wrapLmqDispatch` and `ConsumeQueue.multiDispatchLmqQueue`.
    pub(crate) fn append_dispatched(
        &self,
        queue: &Arc<Queue>,
        further: &[Arc<Queue>],
        record: &NewRecord<'_>,
    ) -> Result<Appended, Error> {
        let mut text = [record.properties, record.more_properties].concat();
        dispatch::write(&mut text, further.iter().map(|queue| &**queue.topic()));
        let record = NewRecord { properties: &text, more_properties: "", ..*record };
        self.append_records(Some(queue), further, &[record], |_| ())
    }

    /// Appends a record that enters no queue. `also` happens at the same point of the log.
    pub(crate) fn append_state(
        &self,
        record: NewRecord<'_>,
        also: impl FnOnce(&mut Appender),
    ) -> Result<Appended, Error> {
        self.append_records(None, &[], &[record], also)
    }

    /// Takes the queues of a topic out of the table. Nothing enters them any more, and the next checkpoint frees
    /// what they have.
    pub(crate) fn forget_topic(&self, appender: &mut Appender, topic: &str) {
        for queue in self.queues.table.remove_topic(topic) {
            queue.state.lock().removed = true;
            queue.wake();
            appender.removed.push(queue);
        }
    }

    /// Whether the caller wants the records of a topic back when the store is opened.
    pub(crate) fn is_replayed(&self, topic: &str) -> bool {
        self.options.replay_topics.iter().any(|replayed| replayed == topic)
    }

    fn append_records(
        &self,
        queue: Option<&Arc<Queue>>,
        further: &[Arc<Queue>],
        records: &[NewRecord<'_>],
        also: impl FnOnce(&mut Appender),
    ) -> Result<Appended, Error> {
        let mut prepared: SmallVec<[Prepared<'_>; 1]> = SmallVec::with_capacity(records.len());
        let mut total = 0;
        for record in records {
            let one = Prepared::new(record, &self.options.delay_levels)?;
            let bytes = one.measured.encoded_len();
            if bytes > self.options.record_bytes_max {
                return Err(Error::TooLarge { bytes: bytes.into(), limit_bytes: self.options.record_bytes_max.into() });
            }
            total += u64::from(bytes);
            prepared.push(one);
        }
        let limit_bytes = self.options.segment_bytes - u64::from(BLANK_BYTES);
        if total > limit_bytes {
            return Err(Error::TooLarge { bytes: total, limit_bytes });
        }
        let now_ms = self.clock.now_ms();
        let replayed = queue.is_some_and(|queue| self.is_replayed(queue.topic()));

        let appended = {
            let mut appender = self.appender.lock();
            self.admit(&appender, total)?;
            let appended = self.put(&mut appender, queue, further, &prepared, total, now_ms)?;
            if replayed {
                appender.last_state = Some(appender.last_record);
            }
            also(&mut appender);
            appended
        };
        self.wake_writer();
        self.checkpoint_if_due(appended.end.0);
        Ok(appended)
    }

    fn admit(&self, appender: &Appender, total: u64) -> Result<(), Error> {
        if let Some(error) = self.progress.written.ended() {
            return Err(error.clone());
        }
        if appender.closed {
            return Err(Error::Closed);
        }
        if self.disk_full.load(Ordering::Relaxed) {
            return Err(Error::DiskFull);
        }
        let used_percent = self.disk_refused.load(Ordering::Relaxed);
        if used_percent > 0 {
            return Err(Error::DiskNearlyFull { used_percent, limit: self.options.retention.refuse_ratio });
        }
        let backlog_bytes = appender.next - self.progress.written.get().0;
        let limit_bytes = self.options.backlog_bytes_max;
        if backlog_bytes > 0 && backlog_bytes + total > limit_bytes {
            return Err(Error::Busy { backlog_bytes, limit_bytes });
        }
        Ok(())
    }

    /// The part under the lock.
    fn put(
        &self,
        appender: &mut Appender,
        queue: Option<&Arc<Queue>>,
        further: &[Arc<Queue>],
        records: &[Prepared<'_>],
        total: u64,
        now_ms: i64,
    ) -> Result<Appended, Error> {
        let mut state = queue.map(|queue| queue.state.lock());
        // Queues are removed under the append lock, so what is there now stays there.
        let own = queue.filter(|_| state.as_ref().is_some_and(|state| state.removed));
        if let Some(gone) = own.or_else(|| further.iter().find(|queue| queue.is_removed())) {
            return Err(Error::WrongQueue { topic: gone.topic().clone(), queue_id: gone.id() });
        }
        if total > 0 && appender.next + total + u64::from(BLANK_BYTES) > appender.segment_end {
            self.roll(appender);
        }
        let store_timestamp = appender.store_time(now_ms);
        let start = appender.next;
        let first = state.as_ref().map_or(0, |state| state.next());
        let mut log_offsets = SmallVec::with_capacity(records.len());

        for record in records {
            let len = record.measured.encoded_len();
            if appender.chunk.capacity() - appender.chunk.len() < len as usize {
                appender.seal();
                appender.chunk = self.tail.chunk(len as usize);
                appender.chunk_bytes = appender.chunk.capacity();
            }
            let log = appender.next;
            let queue_offset = state.as_ref().map_or(0, |state| state.next());
            record.measured.encode(&Stamp { queue_offset, log_offset: log, store_timestamp }, &mut appender.chunk);
            appender.next += u64::from(len);
            appender.last_record = log;
            log_offsets.push(LogOffset(log));

            if let Some(state) = &mut state
                && record::enters_queue(record.measured.record().sys_flag)
            {
                let slot = Slot { log, size: len, tag: record.tag.code(store_timestamp) };
                state.push(slot);
                for (at, queue) in further.iter().enumerate() {
                    let mut state = queue.state.lock();
                    dispatch::stamp(&mut appender.chunk, further.len() - at, state.next());
                    state.push(slot);
                    self.entered(appender, queue, &mut state);
                }
            }
            if appender.keys.push(&record.keys, log, store_timestamp) {
                self.keys.freeze(&mut appender.keys);
            }
        }

        let end = appender.next;
        if let (Some(queue), Some(state)) = (queue, &mut state)
            && state.next() > first
        {
            self.entered(appender, queue, state);
        }
        Ok(Appended {
            log_offset: LogOffset(start),
            end: LogOffset(end),
            queue_offset: QueueOffset(first),
            store_timestamp_ms: store_timestamp,
            log_offsets,
        })
    }

    /// Something was added to a queue that ends where the log ends now.
    fn entered(&self, appender: &mut Appender, queue: &Arc<Queue>, state: &mut State) {
        if !std::mem::replace(&mut state.dirty, true) {
            appender.dirty.push(queue.clone());
        }
        if state.wants_announcement() {
            self.progress.announce(appender.next, queue.clone());
        }
    }

    /// Fills the segment with a blank and goes on in the next one.
    fn roll(&self, appender: &mut Appender) {
        let left = appender.segment_end - appender.next;
        if appender.chunk.capacity() - appender.chunk.len() < BLANK_BYTES as usize {
            appender.seal();
            appender.chunk = self.tail.chunk(BLANK_BYTES as usize);
            appender.chunk_bytes = appender.chunk.capacity();
        }
        record::put_blank(left as u32, &mut appender.chunk);
        appender.next = appender.segment_end;
        appender.seal();
        appender.segment_end += self.options.segment_bytes;
    }
}
