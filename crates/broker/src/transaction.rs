//! Transactions: a message is stored as a *half* that nobody sees, and later committed or rolled back by its producer.
//!
//! Halves lie in `RMQ_SYS_TRANS_HALF_TOPIC`, queue 0, and decisions in `RMQ_SYS_TRANS_OP_HALF_TOPIC`, both as Java
//! stores them. The [due table](crate::due) has an entry for every half that is not decided; whoever takes it out
//! decides, so that of a commit, another commit and a check one wins. While an entry stays, it is due for a check: the
//! broker asks any producer of the group what became of the transaction. A half of which nobody can tell goes to
//! `TRANS_CHECK_MAX_TIME_TOPIC`, for operators: after the greatest number of checks, or before retention takes it.
//! Rounds in which no producer of the group was there do not count.
//!
//! Source: `TransactionalMessageServiceImpl`, `EndTransactionProcessor`, `TransactionalMessageBridge`. Unlike Java, a
//! checked half is not stored again, so its offsets stay.

mod resume;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::record::{NewRecord, RecordView};
use protocol::{id, name, properties, sysflag};
use store::{Appended, LogOffset, Queue, QueueOffset};
use tracing::{error, info, warn};

use crate::deliver::{copy_of, encode_in_place_of};
use crate::due::{Changing, Due, DueChange, Key, Kind};
use crate::limits::{CHECK_BATCH, COMMITS_REPLAYED};
use crate::state::Change;
use crate::timer::{WISHES, seconds};
use crate::{Broker, ConnectionId, Error};

/// What a broker remembers of transactions besides the due table.
#[derive(Default)]
pub(crate) struct Transactions {
    /// Whose turn it is to be asked.
    turn: AtomicUsize,
    /// Halves that were decided and whose op record could not be written yet.
    undone: Mutex<Vec<u64>>,
    /// Log offsets of the halves whose commits were the last in the log when the broker was started.
    committed: Mutex<VecDeque<u64>>,
}

impl Transactions {
    pub(crate) fn new(committed: VecDeque<u64>) -> Transactions {
        Transactions { committed: Mutex::new(committed), ..Transactions::default() }
    }
}

/// A producer's decision.
#[derive(Debug, Clone)]
pub struct EndTransaction<'a> {
    /// Group of the producer.
    pub producer_group: &'a str,
    /// Place of the half message in its queue.
    pub queue_offset: i64,
    /// Place of the half message in the log.
    pub log_offset: i64,
    /// Deliver the message, or drop it.
    pub commit: bool,
    /// The broker had asked.
    pub from_check: bool,
}

/// A question to a producer: what became of this transaction?
#[derive(Debug, Clone)]
pub struct TransactionCheck {
    /// Connection of a producer of the group.
    pub connection: ConnectionId,
    /// Group of the producer.
    pub group: String,
    /// Place of the half message in its queue.
    pub queue_offset: u64,
    /// Place of the half message in the log.
    pub log_offset: u64,
    /// Unique key of the message.
    pub unique_key: String,
    /// Offset message id of the half message.
    pub offset_message_id: String,
    /// The message, as a record of the topic it is for.
    pub record: Bytes,
}

/// Applies a record of the half topic to the table. `timeout_ms` is the age at the first check.
pub(crate) fn replay_half(due: &Due, record: &RecordView<'_>, timeout_ms: i64) {
    let checks = record.property(properties::TRANSACTION_CHECK_TIMES).and_then(|times| times.parse().ok());
    let due_ms = record.store_timestamp() + immunity_ms(record.properties()).unwrap_or(timeout_ms);
    let key = Key { due_ms, place: record.queue_offset(), owner: 0 };
    due.change().insert(Kind::Check, key, [checks.unwrap_or(0), 0]);
}

/// Applies a record of the op topic to the table.
pub(crate) fn replay_op(due: &Due, record: &RecordView<'_>) {
    let change = due.change();
    let text = str::from_utf8(record.body()).unwrap_or_default();
    for place in text.split(',').filter_map(|offset| offset.trim().parse().ok()) {
        change.remove_at(Kind::Check, place);
    }
}

/// Remembers a commit: its op record lies behind it, unless a crash took that.
pub(crate) fn replay_commit(committed: &mut VecDeque<u64>, record: &RecordView<'_>) {
    if committed.len() == COMMITS_REPLAYED {
        committed.pop_front();
    }
    committed.extend(u64::try_from(record.prepared_transaction_offset()));
}

/// Age at the first check that a half asks for.
fn immunity_ms(text: &str) -> Option<i64> {
    let seconds: i64 = properties::get(text, properties::CHECK_IMMUNITY_SECONDS)?.parse().ok()?;
    (seconds >= 0).then(|| seconds.saturating_mul(1000).min(IMMUNITY_MS_MAX))
}

/// Ten years: sums with times must not overflow.
const IMMUNITY_MS_MAX: i64 = 10 * 366 * 86_400_000;

/// The topic of a half and its body; `None` if it is none.
fn half(stored: &Bytes) -> Option<RecordView<'_>> {
    RecordView::parse(stored).ok().filter(|record| record.topic() == name::HALF_TOPIC)
}

impl Broker {
    /// Stores a message as a half.
    pub(crate) fn append_half(
        &self,
        record: &NewRecord<'_>,
        unique_key: &str,
        text: &mut String,
    ) -> Result<Appended, Error> {
        if self.config().reject_transactions {
            let reason = "the broker sending transaction message is forbidden";
            return Err(Error::forbidden(crate::Forbidden::Broker, reason));
        }
        // Java would delay the half by these, and lose it.
        for wish in WISHES.into_iter().chain([properties::DELAY]) {
            properties::set(text, wish, None);
        }
        properties::set(text, properties::TRANSACTION_ID, Some(unique_key));
        properties::set(text, properties::REAL_TOPIC, Some(record.topic));
        properties::set(text, properties::REAL_QUEUE, Some(&record.queue_id.to_string()));
        self.check_properties(text.len())?;
        let stored = NewRecord {
            topic: name::HALF_TOPIC,
            queue_id: 0,
            sys_flag: record.sys_flag & !sysflag::TRANSACTION_MASK,
            properties: text,
            ..*record
        };
        self.append_to_halves(&stored)
    }

    fn append_to_halves(&self, stored: &NewRecord<'_>) -> Result<Appended, Error> {
        let immunity_ms =
            immunity_ms(stored.properties).unwrap_or(self.config().transaction_timeout.as_millis() as i64);
        let queue = self.half_queue();
        let change = self.due.change();
        let appended = self.store.append(&queue, stored)?;
        let due_ms = appended.store_timestamp_ms + immunity_ms;
        change.insert(Kind::Check, Key { due_ms, place: appended.queue_offset.0, owner: 0 }, [0; 2]);
        Ok(appended)
    }

    fn half_queue(&self) -> Arc<Queue> {
        self.store.queue(name::HALF_TOPIC, 0)
    }

    /// Decides a transaction. The decision counts when the log is acknowledged up to the end of what is returned.
    ///
    /// # Errors
    /// There is no such half message, or it was decided before; or see [`Error`], and nothing changed.
    pub async fn end_transaction(&self, end: &EndTransaction<'_>) -> Result<Appended, Error> {
        self.check_running()?;
        self.settle_commits().await?;
        let missing = || Error::NotFound("Find prepared transaction message failed".into());
        let at = u64::try_from(end.log_offset).map_err(|_| missing())?;
        let stored = self.store.record_at(LogOffset(at)).await?.ok_or_else(missing)?;
        let record = half(&stored).ok_or_else(missing)?;
        self.check_decision(end, &record)?;

        let change = self.due.change();
        let (key, detail) = change
            .remove_at(Kind::Check, record.queue_offset())
            .ok_or_else(|| Error::NotFound("the transaction was decided before".into()))?;
        if end.commit {
            // As in Java, everything the half carries stays in the properties.
            let delivered = self.deliver_as(&record, record.properties(), sysflag::TRANSACTION_COMMIT, end.log_offset);
            let gone = || Error::UnknownTopic(record.property(properties::REAL_TOPIC).unwrap_or_default().into());
            let delivered = match delivered.and_then(|delivered| delivered.ok_or_else(gone)) {
                Ok(delivered) => delivered,
                Err(error) => {
                    change.insert(Kind::Check, key, detail);
                    return Err(error);
                }
            };
            let topic = record.property(properties::REAL_TOPIC).unwrap_or_default();
            self.stats.committed(topic, seconds(self.now_ms() - record.born_timestamp()));
            // Delivered is decided; after a crash before the op record is written, the start writes it.
            return Ok(self.append_op(&record).unwrap_or(delivered));
        }
        let appended = self.append_op(&record).inspect_err(|_| {
            self.transactions.undone.lock().retain(|place| *place != key.place);
            change.insert(Kind::Check, key, detail);
        })?;
        self.stats.rolled_back(record.property(properties::REAL_TOPIC).unwrap_or_default());
        Ok(appended)
    }

    /// Source: `EndTransactionProcessor.checkPrepareMessage`.
    fn check_decision(&self, end: &EndTransaction<'_>, record: &RecordView<'_>) -> Result<(), Error> {
        if !end.from_check
            && let Some(immunity_ms) = immunity_ms(record.properties())
            && self.now_ms() - record.born_timestamp() > immunity_ms
        {
            return Err(Error::Illegal("the transaction message is decided too late, it is being checked".into()));
        }
        if record.property(properties::PRODUCER_GROUP) != Some(end.producer_group) {
            return Err(Error::NotFound("The producer group wrong".into()));
        }
        if i64::try_from(record.queue_offset()) != Ok(end.queue_offset) {
            return Err(Error::NotFound("The transaction state table offset wrong".into()));
        }
        if i64::try_from(record.log_offset()) != Ok(end.log_offset) {
            return Err(Error::NotFound("The commit log offset wrong".into()));
        }
        Ok(())
    }

    /// Says in the log that a half is decided, and those whose turn was missed.
    fn append_op(&self, record: &RecordView<'_>) -> Result<Appended, Error> {
        let mut undone = self.transactions.undone.lock();
        undone.push(record.queue_offset());
        let body: String = undone.iter().map(|place| format!("{place},")).collect();
        let mut text = String::new();
        properties::push(&mut text, properties::TAGS, "d");
        let op = NewRecord {
            topic: name::OP_HALF_TOPIC,
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: self.now_ms(),
            born_host: record.store_host(),
            store_host: record.store_host(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: &text,
            more_properties: "",
        };
        let appended = self.store.append(&self.store.queue(name::OP_HALF_TOPIC, 0), &op)?;
        undone.clear();
        Ok(appended)
    }

    /// Takes out what is committed already, although no op record says so: a crash came between the two records.
    ///
    /// # Errors
    /// The log cannot be read, or takes no records now. The next call tries again.
    pub(crate) async fn settle_commits(&self) -> Result<(), Error> {
        let committed = self.transactions.committed.lock().clone();
        if committed.is_empty() {
            return Ok(());
        }
        for at in committed {
            let stored = self.store.record_at(LogOffset(at)).await?;
            let Some(record) = stored.as_ref().and_then(half) else { continue };
            let change = self.due.change();
            let Some((key, detail)) = change.remove_at(Kind::Check, record.queue_offset()) else { continue };
            self.append_op(&record).inspect_err(|_| change.insert(Kind::Check, key, detail))?;
        }
        self.transactions.committed.lock().clear();
        Ok(())
    }

    /// How many half messages wait for a decision.
    pub fn open_transactions(&self) -> usize {
        self.due.len(Kind::Check)
    }

    /// Waits until half messages are to be checked, and returns whom to ask about them. One caller at a time; may be
    /// dropped at any time, which puts a check off at most.
    pub async fn due_checks(&self) -> Vec<TransactionCheck> {
        loop {
            self.due.wait(Kind::Check, &*self.clock).await;
            match self.take_checks().await {
                Ok(checks) if checks.is_empty() => {}
                Ok(checks) => return checks,
                Err(error) => {
                    warn!(%error, "half messages not checked, trying again");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn take_checks(&self) -> Result<Vec<TransactionCheck>, Error> {
        self.settle_commits().await?;
        let due = self.due.due(Kind::Check, self.now_ms(), CHECK_BATCH);
        let stored = self.read_halves(due.iter().map(|(key, _)| key.place)).await?;
        let (interval_ms, checks_max) = {
            let config = self.config();
            (config.transaction_check_interval.as_millis() as i64, config.transaction_checks_max)
        };
        let mut checks = Vec::new();
        let mut moved = Vec::new();
        let change = self.due.change();
        for (key, [times, _]) in due {
            let Some(record) = stored.get(&key.place).and_then(half) else {
                error!(queue_offset = key.place, "the record of a half message is gone");
                change.remove_at(Kind::Check, key.place);
                self.journal.append(&Change::Due(removed(key)))?;
                continue;
            };
            if times >= checks_max {
                self.set_aside(&change, &record, times)?;
                continue;
            }
            let check = self.check_of(&record);
            // Nobody there to ask: that is not the transaction's fault.
            let detail = [times + u32::from(check.is_some()), 0];
            let next = Key { due_ms: self.now_ms() + interval_ms, ..key };
            if change.remove_at(Kind::Check, key.place).is_none() {
                continue;
            }
            change.insert(Kind::Check, next, detail);
            if let Some(check) = check {
                moved.push((Kind::Check, next, detail));
                checks.push(check);
            }
        }
        if !moved.is_empty()
            && let Err(error) = self.journal.append(&Change::Due(DueChange { moved, ..DueChange::default() }))
        {
            // After a crash these checks do not count.
            warn!(%error, "checks of half messages not recorded");
        }
        Ok(checks)
    }

    fn check_of(&self, record: &RecordView<'_>) -> Option<TransactionCheck> {
        let group = record.property(properties::PRODUCER_GROUP)?;
        let turn = self.transactions.turn.fetch_add(1, Ordering::Relaxed);
        let connection = self.sessions.producer(group, turn)?;
        let shown = NewRecord {
            topic: record.property(properties::REAL_TOPIC)?,
            queue_id: record.property(properties::REAL_QUEUE)?.parse().ok()?,
            ..copy_of(record, record.properties())
        };
        Some(TransactionCheck {
            connection,
            group: group.to_owned(),
            queue_offset: record.queue_offset(),
            log_offset: record.log_offset(),
            unique_key: record.property(properties::UNIQUE_KEY).unwrap_or_default().to_owned(),
            offset_message_id: id::offset_id(record.store_host(), record.log_offset()),
            record: encode_in_place_of(record, &shown)?,
        })
    }

    /// Moves a half that nobody decides to where operators find it.
    fn set_aside(&self, change: &Changing<'_>, record: &RecordView<'_>, checks: u32) -> Result<(), Error> {
        self.topics.get_or_create(name::CHECK_MAX_TIME_TOPIC, 1)?;
        let Some((key, detail)) = change.remove_at(Kind::Check, record.queue_offset()) else { return Ok(()) };
        let mut text = record.properties().to_owned();
        properties::set(&mut text, properties::TRANSACTION_CHECK_TIMES, Some(&checks.to_string()));
        if self.check_properties(text.len()).is_err() {
            text = record.properties().to_owned();
        }
        if let Err(error) = self.store_again(name::CHECK_MAX_TIME_TOPIC, record, &text) {
            change.insert(Kind::Check, key, detail);
            return Err(error);
        }
        let unique_key = record.property(properties::UNIQUE_KEY).unwrap_or_default();
        let group = record.property(properties::PRODUCER_GROUP).unwrap_or_default();
        info!(unique_key, group, checks, "half message set aside, nobody decides it");
        // If this fails, the next op record says it; a crash before that sets the half aside once more.
        if let Err(error) = self.append_op(record) {
            warn!(%error, "op record not written, trying again with the next");
        }
        Ok(())
    }

    /// The records of half messages by their places in the queue, as far as they are there.
    async fn read_halves(&self, places: impl Iterator<Item = u64>) -> Result<BTreeMap<u64, Bytes>, Error> {
        let mut places: Vec<u64> = places.collect();
        places.sort_unstable();
        let queue = self.half_queue();
        // Nobody is asked about what its producer has not been told yet.
        self.store.acknowledged().wait(self.store.appended()).await?;
        let mut entries = Vec::with_capacity(places.len());
        for run in places.chunk_by(|one, next| one + 1 == *next) {
            entries.extend(self.store.entries(&queue, QueueOffset(run[0]), run.len()).await?);
        }
        let ranges: Vec<_> = entries.iter().map(|entry| (entry.log_offset, entry.size)).collect();
        let mut halves = BTreeMap::new();
        for slice in self.store.read(&ranges).await? {
            let mut rest = slice.bytes;
            for entry in &entries[slice.first..slice.first + slice.count] {
                if let Some(rest) = &mut rest {
                    halves.insert(entry.queue_offset.0, rest.split_to(entry.size as usize));
                }
            }
        }
        Ok(halves)
    }

    /// Sets half messages aside whose records lie before a place of the log that is to be deleted.
    pub(crate) async fn set_old_halves_aside(&self, before: LogOffset) -> Result<(), Error> {
        let place = self.first_half_from(before).await?;
        let mut after = None;
        loop {
            let (halves, last) = self.due.before(Kind::Check, place, after, CHECK_BATCH);
            let Some(last) = last else { return Ok(()) };
            after = Some(last);
            let stored = self.read_halves(halves.iter().map(|(key, _)| key.place)).await?;
            let change = self.due.change();
            for (key, [checks, _]) in halves {
                match stored.get(&key.place).and_then(half) {
                    Some(record) => self.set_aside(&change, &record, checks)?,
                    None => {
                        change.remove_at(Kind::Check, key.place);
                    }
                }
            }
        }
    }

    /// The first entry of the half queue whose record lies at or behind a place of the log.
    async fn first_half_from(&self, at: LogOffset) -> Result<u64, Error> {
        let queue = self.half_queue();
        let (mut low, mut high) = (queue.min_offset().0, queue.next_offset().0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.store.entries(&queue, QueueOffset(middle), 1).await?.first() {
                Some(entry) if entry.log_offset < at => low = middle.max(entry.queue_offset.0) + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

fn removed(key: Key) -> DueChange {
    DueChange { removed: vec![(Kind::Check, key)], ..DueChange::default() }
}
