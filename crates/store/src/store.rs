//! The public face.

use crate::checkpoint::Saved;
use crate::clock::{Clock, SystemClock};
use crate::cold::ColdReads;
use crate::core::Core;
use crate::error::{Doing, Error};
use crate::io::{Disk, Io, Lock, Space};
use crate::keys::{IndexKey, Keys};
use crate::log::append::{Appended, Appender};
use crate::log::gather::Gather;
use crate::log::prepare::Prepare;
use crate::log::read::Slice;
use crate::log::segment::Segments;
use crate::log::tail::TailCache;
use crate::log::writer::Writer;
use crate::mark::Mark;
use crate::options::{Flush, Options};
use crate::progress::Progress;
use crate::queue::{Entry, Queue, Queues};
use crate::recover::{Found, Recovery};
use crate::state::StateRecord;
use crate::stats::{Counters, Stats};
use crate::{LogOffset, QueueOffset};
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::record::{NewRecord, RecordView};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// The message log of one broker, its queues and its key index. See the crate's page for an overview.
///
/// Appending takes no runtime; the `async` methods need a tokio runtime, as cold reads go to its blocking threads.
pub struct Store {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
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
        Self::open_replaying(io, clock, options, &mut |record| replay(record.body()))
    }

    /// The same, where `replay` receives whole records: the state records, whose topic is [`crate::STATE_TOPIC`], those
    /// of [`Options::replay_topics`], and with [`Options::replay_commits`] the committed messages.
    pub fn open_replaying(
        io: Arc<dyn Io>,
        clock: Arc<dyn Clock>,
        options: Options,
        replay: &mut dyn FnMut(&RecordView<'_>),
    ) -> Result<(Arc<Self>, Recovery), Error> {
        let dir = options.dir.clone();
        io.make_dir(&dir).doing("make", &dir)?;
        let lock = take_lock(&*io, &dir)?;
        let aborted = mark_running(&*io, &dir)?;

        let segments = Segments::open(io.clone(), dir.join("commitlog"), options.segment_bytes)?;
        let log_min = segments.range().0;
        let saved = Saved::load(&*io, &dir)?;
        let progress = Arc::new(Progress::new(0));
        let (queues, queues_at) = Queues::open(io.clone(), dir.join("queues"), progress.clone())?;
        let (keys, keys_at) = Keys::open(io.clone(), dir.join("keys"), log_min)?;

        let core = Arc::new(Core {
            appender: Mutex::new(Appender::new(0, 0, 0, 0)),
            writer: Mutex::new(Writer::new(0)),
            syncing: Mutex::default(),
            writer_parked: false.into(),
            writer_thread: OnceLock::new(),
            prepare: Prepare::new(options.segment_bytes, options.flush == Flush::Sync),
            segments,
            tail: TailCache::new(options.tail_cache_bytes),
            queues,
            keys,
            progress,
            maintenance: Mutex::default(),
            checkpoint_due: u64::MAX.into(),
            checkpoint_wanted: false.into(),
            released: if options.replay_topics.is_empty() { u64::MAX } else { 0 }.into(),
            held_back: 0.into(),
            housekeeper: OnceLock::new(),
            stats: Counters::default(),
            cold_reads: ColdReads::new(options.blocking_reads_max),
            disk_full: false.into(),
            disk_refused: 0.into(),
            stopping: false.into(),
            options,
            io,
            clock,
        });
        let recovery = core.recover(Found { saved, queues: queues_at, keys: keys_at, aborted }, replay)?;
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
        let housekeeper = spawn("store-keeper", |core| {
            give_way();
            core.run_housekeeper();
        })?;
        let _ = self.core.housekeeper.set(housekeeper.thread().clone());
        threads.push(housekeeper);
        let merger = spawn("store-keys", |core| {
            give_way();
            core.run_merger();
        })?;
        let _ = self.core.keys.merger.set(merger.thread().clone());
        threads.push(merger);
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

    /// Every queue there is, in no order.
    pub fn for_each_queue(&self, visit: impl FnMut(&Arc<Queue>)) {
        self.core.queues.table.for_each(visit);
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

    /// Appends a record to its queue, and to queue 0 of other topics as well: one record, several entries. Its last two
    /// properties, INNER_MULTI_DISPATCH and INNER_MULTI_QUEUE_OFFSET, say so. [`Error::WrongQueue`] says which topic
    /// was removed since its queue was looked up.
    pub fn append_dispatched(
        &self,
        queue: &Arc<Queue>,
        further: &[Arc<Queue>],
        record: &NewRecord<'_>,
    ) -> Result<Appended, Error> {
        self.core.append_dispatched(queue, further, record)
    }

    /// Appends a change of the broker's state, which [`Store::open`] will replay.
    pub fn append_state(&self, body: &[u8]) -> Result<Appended, Error> {
        let record = StateRecord::Broker(body).encode(self.core.clock.now_ms());
        self.core.append_state(record, |appender| appender.last_state = Some(appender.last_record))
    }

    /// Until what is returned is dropped, appends of this thread do not wake the writer: they are written together, behind
    /// the last. Nothing may be waited for meanwhile.
    pub fn gather(&self) -> Gather<'_> {
        Gather::begin(&self.core)
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

    /// Up to `max` records that carry a key, newest first, stored between two times (both included). Examines at most
    /// 100,000 candidates, which only a tag with a time range long ago gets to.
    pub async fn query(
        &self,
        topic: &str,
        key: IndexKey<'_>,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Bytes>, Error> {
        self.core.query(topic, key, max, begin_ms, end_ms).await
    }

    /// Saves what is derived from the log, so that the next start need not read it again; blocks for some syncs.
    /// With `state_at`, the caller has saved the effect of all state records before that place himself, and they are
    /// not replayed any more; until then retention keeps them, and with them what was stored after them. Happens from
    /// time to time by itself, without `state_at`.
    pub fn checkpoint(&self, state_at: Option<LogOffset>) -> Result<(), Error> {
        self.core.checkpoint(state_at, false)
    }

    /// Deletes what retention allows now, and returns how many segments that were. Happens from time to time by
    /// itself.
    pub fn sweep(&self) -> Result<usize, Error> {
        self.core.sweep()
    }

    /// Retention wants to delete what lies before this place, and waits for [`Store::release`].
    pub fn held_back(&self) -> Option<LogOffset> {
        let end = self.core.held_back.load(Ordering::Acquire);
        (end > self.core.released.load(Ordering::Acquire)).then_some(LogOffset(end))
    }

    /// Says that nothing before `before` is needed any more as far as [`Options::replay_topics`] are concerned.
    pub fn release(&self, before: LogOffset) {
        self.core.released.fetch_max(before.0, Ordering::AcqRel);
    }

    /// Returns when everything appended so far is durable, whatever acknowledgements wait for. Blocks.
    pub fn flush(&self) -> Result<(), Error> {
        self.core.flush_to(self.appended())
    }

    /// Merges runs of the key index as long as there is something to merge. Happens by itself.
    pub fn merge_keys(&self) -> Result<(), Error> {
        while self.core.keys.merge_once(self.core.segments.range().0)?.is_some() {}
        Ok(())
    }

    /// Stops accepting, flushes, saves a checkpoint and ends the threads. Idempotent.
    pub fn close(&self) -> Result<(), Error> {
        let Some(lock) = self.lock.lock().take() else { return Ok(()) };
        let end = {
            let mut appender = self.core.appender.lock();
            appender.closed = true;
            LogOffset(appender.next)
        };
        let result = self.core.flush_to(end).and_then(|()| self.core.checkpoint(None, true));
        self.stop();
        self.core.progress.end(&Error::Closed);
        if result.is_ok() {
            let dir = &self.core.options.dir;
            let abort = dir.join(ABORT);
            self.core.io.remove(&abort).and_then(|()| self.core.io.sync_dir(dir)).doing("delete", &abort)?;
        }
        drop(lock);
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

const LOCK: &str = "lock";
const ABORT: &str = "abort";

/// Keeps Java brokers and other processes of ours away. The file holds its own name, as theirs does.
fn take_lock(io: &dyn Io, dir: &Path) -> Result<Box<dyn Lock>, Error> {
    let path = dir.join(LOCK);
    match io.lock(&path, LOCK) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(Error::Locked(path)),
        lock => lock.doing("lock", &path),
    }
}

/// Leaves a file that only an orderly end removes, and says whether it was there already.
fn mark_running(io: &dyn Io, dir: &Path) -> Result<bool, Error> {
    let path = dir.join(ABORT);
    let aborted = io.open(&path).is_ok();
    let write = || {
        let file = io.create(&path)?;
        crate::io::write_all(&*file, std::process::id().to_string().as_bytes(), 0)?;
        file.sync()?;
        io.sync_dir(dir)
    };
    write().doing("write", &path)?;
    Ok(aborted)
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

/// Of a thread whose work nobody waits for: those who are waited for go first. Otherwise a checkpoint, or a merge of the
/// key index, holds up requests for as long as the system lets a thread run.
fn give_way() {
    const NICE: i32 = 10;
    // On Linux this is the calling thread alone. Refused, it is as busy as all others.
    let _ = rustix::process::setpriority_process(None, NICE);
}
