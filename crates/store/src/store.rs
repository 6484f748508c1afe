//! The public face.

use crate::clock::{Clock, SystemClock};
use crate::core::Core;
use crate::error::{Doing, Error};
use crate::io::{Disk, File, Io, Space};
use crate::keys::{IndexKey, Keys};
use crate::log::append::{Appended, Appender};
use crate::log::prepare::Prepare;
use crate::log::read::Slice;
use crate::log::segment::Segments;
use crate::log::tail::TailCache;
use crate::log::writer::Writer;
use crate::mark::Mark;
use crate::options::{Flush, Options};
use crate::progress::Progress;
use crate::queue::{Entry, Extents, Queue, Queues, Table};
use crate::recover::{Recovery, Starts};
use crate::state::StateRecord;
use crate::stats::{Counters, Stats};
use crate::{LogOffset, QueueOffset};
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::record::NewRecord;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use tokio::sync::Semaphore;

/// The message log of one broker, its queues and its key index. See the crate's page for an overview.
pub struct Store {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Arc<dyn File>>>,
}

/// See [`Store::usage`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Files of the log.
    pub segments: usize,
    /// Their length together. Less is taken on the disk, as the last one is sparse.
    pub log_bytes: u64,
    /// The file system that holds them.
    pub space: Space,
}

/// Which of several answers a search by time wants where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first entry stored at or after the time.
    Lower,
    /// The last entry stored at or before the time.
    Upper,
}

impl Store {
    /// Opens or makes a store. `replay` receives, in order, the body of every state record since the last state
    /// checkpoint; it is not called after this returns.
    pub fn open(options: Options, replay: &mut dyn FnMut(&[u8])) -> Result<(Arc<Self>, Recovery), Error> {
        Self::open_with(Arc::new(Disk), Arc::new(SystemClock), options, replay)
    }

    /// The same on a given file system and with a given clock.
    pub fn open_with(
        io: Arc<dyn Io>,
        clock: Arc<dyn Clock>,
        options: Options,
        replay: &mut dyn FnMut(&[u8]),
    ) -> Result<(Arc<Self>, Recovery), Error> {
        let dir = options.dir.clone();
        io.make_dir(&dir).doing("make", &dir)?;
        let lock_path = dir.join("lock");
        let lock = match io.lock(&lock_path) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Err(Error::Locked(lock_path)),
            lock => lock.doing("lock", &lock_path)?,
        };
        let segments = Segments::open(io.clone(), dir.join("commitlog"), options.segment_bytes)?;
        let queues_dir = dir.join("queues");
        io.make_dir(&queues_dir).doing("make", &queues_dir)?;

        let progress = Arc::new(Progress::new(0));
        let core = Arc::new(Core {
            appender: Mutex::new(Appender::new(0, 0, 0, 0)),
            writer: Mutex::new(Writer::new(0)),
            syncing: Mutex::default(),
            writer_parked: false.into(),
            writer_thread: std::sync::OnceLock::new(),
            prepare: Prepare::new(options.segment_bytes),
            segments,
            tail: TailCache::new(options.tail_cache_bytes),
            queues: Queues { table: Table::new(progress.clone()), extents: Extents::open(&*io, &queues_dir)? },
            keys: Keys::default(),
            progress,
            stats: Counters::default(),
            blocking_reads: Semaphore::new(options.blocking_reads_max),
            disk_full: false.into(),
            disk_refused: false.into(),
            stopping: false.into(),
            options,
            io,
            clock,
        });
        let recovery = core.recover(Starts { queues: 0, keys: 0, state: Some(0) }, replay)?;
        let store = Self { core, threads: Mutex::default(), lock: Mutex::new(Some(lock)) };
        store.start().doing("start a thread for", &dir)?;
        Ok((Arc::new(store), recovery))
    }

    fn start(&self) -> std::io::Result<()> {
        if !self.core.options.threads {
            return Ok(());
        }
        let spawn = |name: &str, run: fn(&Core)| {
            let core = self.core.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || run(&core))
        };
        let mut threads = self.threads.lock();
        let writer = spawn("store-writer", Core::run_writer)?;
        let _ = self.core.writer_thread.set(writer.thread().clone());
        threads.push(writer);
        if matches!(self.core.options.flush, Flush::Async { .. }) {
            threads.push(spawn("store-sync", Core::run_syncs)?);
        }
        if self.core.options.segment_bytes >= PREPARED_SEGMENT_BYTES_MIN {
            threads.push(spawn("store-prepare", |core| {
                if let Err(error) = core.prepare.run(&core.segments) {
                    tracing::warn!(%error, "no more zeros are written ahead of the log");
                }
            })?);
        }
        Ok(())
    }

    /// The queue, made if there is none yet.
    pub fn queue(&self, topic: &str, queue_id: u32) -> Arc<Queue> {
        self.core.queues.table.find_or_make(topic, queue_id)
    }

    /// The queue, if anybody appended to it or asked for it before.
    pub fn find_queue(&self, topic: &str, queue_id: u32) -> Option<Arc<Queue>> {
        self.core.queues.table.find(topic, queue_id)
    }

    /// The queues of a topic, by number.
    pub fn queues_of(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.core.queues.table.of_topic(topic)
    }

    /// Forgets the queues of a topic, durably with the next flush. Records stay in the log until they expire. A
    /// topic of the same name begins at offset 0; handles to the old queues answer [`Error::WrongQueue`].
    pub fn remove_topic(&self, topic: &str) -> Result<Appended, Error> {
        let record = StateRecord::TopicRemoved(topic).encode(self.core.clock.now_ms());
        self.core.append_state(record, |appender| self.core.forget_topic(appender, topic))
    }

    /// Appends a record to its queue. Short; never waits for a device. Nobody may be told before
    /// [`Store::acknowledged`] has reached [`Appended::end`].
    pub fn append(&self, queue: &Arc<Queue>, record: &NewRecord<'_>) -> Result<Appended, Error> {
        self.core.append(queue, std::slice::from_ref(record))
    }

    /// Appends records to one queue at consecutive offsets, all or nothing, in one segment.
    pub fn append_batch(&self, queue: &Arc<Queue>, records: &[NewRecord<'_>]) -> Result<Appended, Error> {
        self.core.append(queue, records)
    }

    /// Appends a change of the broker's state, which [`Store::open`] will replay.
    pub fn append_state(&self, body: &[u8]) -> Result<Appended, Error> {
        let record = StateRecord::Broker(body).encode(self.core.clock.now_ms());
        self.core.append_state(record, |appender| appender.last_state = Some(appender.last_record))
    }

    /// The mark an ordinary send waits for: flushed with [`Flush::Sync`], written with [`Flush::Async`].
    pub fn acknowledged(&self) -> &Mark {
        self.core.acknowledged()
    }

    /// The mark of what is durable, whatever acknowledgements wait for.
    pub fn flushed(&self) -> &Mark {
        &self.core.progress.flushed
    }

    /// Everything before it may be seen by consumers.
    pub fn visible(&self) -> LogOffset {
        self.core.progress.visible_offset()
    }

    /// Where the next record goes.
    pub fn appended(&self) -> LogOffset {
        LogOffset(self.core.appender.lock().next)
    }

    /// Up to `max` visible entries from `from` on, or from the first one that is left.
    pub async fn entries(&self, queue: &Queue, from: QueueOffset, max: usize) -> Result<Vec<Entry>, Error> {
        self.core.entries(queue, from, max).await
    }

    /// The records at these ranges, which come from [`Store::entries`]. Adjacent ones share a slice where they share
    /// memory. May be dropped at any time.
    pub async fn read(&self, ranges: &[(LogOffset, u32)]) -> Result<Vec<Slice>, Error> {
        self.core.read(ranges).await
    }

    /// The record that begins at an offset anybody may have made up; `None` if none begins there.
    pub async fn record_at(&self, at: LogOffset) -> Result<Option<Bytes>, Error> {
        self.core.record_at(at).await
    }

    /// First and one past the last byte of the log.
    pub fn log_range(&self) -> (LogOffset, LogOffset) {
        (LogOffset(self.core.segments.range().0), self.visible())
    }

    /// What the log takes on its disk.
    pub fn usage(&self) -> Result<Usage, Error> {
        let segments = self.core.segments.all();
        let dir = &self.core.options.dir;
        let space = self.core.io.space(dir).doing("measure", dir)?;
        Ok(Usage { segments: segments.len(), log_bytes: segments.iter().map(|s| s.len).sum(), space })
    }

    /// Why the log takes no more, if it does not.
    pub fn failure(&self) -> Option<Error> {
        self.core.progress.written.ended().cloned()
    }

    /// Counters since the store was opened.
    pub fn stats(&self) -> Stats {
        self.core.stats.read()
    }

    /// The offset of the entry that was stored at a time, within `[min, max]` of the queue.
    pub async fn offset_by_time(
        &self,
        queue: &Queue,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<QueueOffset, Error> {
        self.core.offset_by_time(queue, timestamp_ms, boundary).await
    }

    /// Store time of the record at a queue offset, ms; `None` if it is not there (any more).
    pub async fn store_time(&self, queue: &Queue, offset: QueueOffset) -> Result<Option<i64>, Error> {
        self.core.store_time(queue, offset).await
    }

    /// Records that carry a key, newest first, stored between two times (both included).
    pub async fn query(
        &self,
        _topic: &str,
        _key: IndexKey<'_>,
        _max: usize,
        _begin_ms: i64,
        _end_ms: i64,
    ) -> Result<Vec<Bytes>, Error> {
        Ok(Vec::new())
    }

    /// Saves what is derived from the log, so that the next start need not read it again.
    pub fn checkpoint(&self, _state_at: Option<LogOffset>) -> Result<(), Error> {
        Ok(())
    }

    /// Stops accepting, flushes, saves a checkpoint and ends the threads. Idempotent.
    pub fn close(&self) -> Result<(), Error> {
        let end = {
            let mut appender = self.core.appender.lock();
            appender.closed = true;
            LogOffset(appender.next)
        };
        let result = self.core.flush_to(end).and_then(|()| self.checkpoint(None));
        self.stop();
        self.core.progress.end(&Error::Closed);
        *self.lock.lock() = None;
        result
    }

    /// Without threads: writes (and syncs, with [`Flush::Sync`]) what was appended.
    pub fn write_pending(&self) {
        self.core.write_pending();
    }

    fn stop(&self) {
        self.core.stopping.store(true, Ordering::Release);
        self.core.prepare.stop();
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Smaller segments (of tests) are not prepared.
const PREPARED_SEGMENT_BYTES_MIN: u64 = 16 << 20;

impl Drop for Store {
    /// Writes what was appended, but saves no checkpoint: the next start finds a store that was not closed.
    fn drop(&mut self) {
        self.stop();
        self.core.progress.end(&Error::Closed);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.core.options.dir).finish_non_exhaustive()
    }
}
