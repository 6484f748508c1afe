//! Timers: messages that name a time of their own.
//!
//! Such a message waits in `rmq_sys_wheel_timer`, queue 0, as Java stores it, and the [due table](crate::due) knows
//! where. At its time it is appended to where it was sent. What was delivered is said in the log right behind a batch,
//! so that a crash delivers at most one batch again. The time is exact to the millisecond and a delivery is never
//! early; Java rounds down to seconds.
//!
//! Retention does not eat timers: a record whose part of the log is about to be deleted is stored again at the end of
//! the log (*rolled*), so that the longest delay has nothing to do with how long the log is kept.
//!
//! Source: `TimerMessageStore`, `HookUtils`, `RecallMessageProcessor`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::recall::RecallHandle;
use protocol::record::{NewRecord, RecordView};
use protocol::{name, properties};
use store::{Appended, LogOffset};
use tracing::{error, info, warn};

use crate::due::{Changing, Detail, Due, DueChange, Key, Kind};
use crate::limits::{TIMER_BATCH, TIMER_BATCH_BYTES};
use crate::state::Change;
use crate::{Broker, Error, Forbidden};

/// Timers that were delivered and of which the log does not say so yet, because it took no more records.
#[derive(Default)]
pub(crate) struct Unrecorded(Mutex<Vec<(Kind, Key)>>);

/// A message that was recalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// Its unique key.
    pub unique_key: String,
    /// The record that says so: the message is recalled for good when the log is acknowledged up to its end. None if
    /// it was not waiting any more.
    pub appended: Option<Appended>,
}

/// When a message wants to be delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TimerWish<'a> {
    Seconds(&'a str),
    Millis(&'a str),
    At(&'a str),
}

impl<'a> TimerWish<'a> {
    /// The wish of a property, if it is one.
    pub(crate) fn read(name: &str, value: &'a str) -> Option<TimerWish<'a>> {
        match name {
            properties::TIMER_DELAY_SEC => Some(TimerWish::Seconds(value)),
            properties::TIMER_DELAY_MS => Some(TimerWish::Millis(value)),
            properties::TIMER_DELIVER_MS => Some(TimerWish::At(value)),
            _ => None,
        }
    }

    /// Of several wishes, seconds win over milliseconds, and those over a time.
    pub(crate) fn or(self, other: Option<TimerWish<'a>>) -> TimerWish<'a> {
        let rank = |wish: &TimerWish<'_>| match wish {
            TimerWish::Seconds(_) => 0,
            TimerWish::Millis(_) => 1,
            TimerWish::At(_) => 2,
        };
        other.filter(|other| rank(other) < rank(&self)).unwrap_or(self)
    }

    fn due_ms(self, now_ms: i64) -> Result<i64, Error> {
        let (text, unit, from) = match self {
            TimerWish::Seconds(text) => (text, 1000, now_ms),
            TimerWish::Millis(text) => (text, 1, now_ms),
            TimerWish::At(text) => (text, 1, 0),
        };
        let number: i64 =
            text.parse().map_err(|_| Error::MessageIllegal(format!("timer message illegal: {text:?} is no time")))?;
        Ok(number.saturating_mul(unit).saturating_add(from))
    }
}

/// The properties that ask for a time.
pub(crate) const WISHES: [&str; 3] =
    [properties::TIMER_DELAY_SEC, properties::TIMER_DELAY_MS, properties::TIMER_DELIVER_MS];

/// Room for TIMER_ROLL_TIMES, TIMER_ENQUEUE_MS and TIMER_DEQUEUE_MS.
const ADDED_BYTES: usize = 128;

/// Name of a timer among those of its millisecond: 64 bits of its topic and unique key, the same for ever.
fn name_of(topic: &str, unique_key: &str) -> (u32, u32) {
    // FNV-1a, mixed at the end. It is written into the file of the due table.
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let hash = topic.as_bytes().iter().fold(0xCBF2_9CE4_8422_2325, fnv);
    let mut hash = unique_key.as_bytes().iter().fold(fnv(hash, &0), fnv);
    hash = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((hash >> 32) as u32, hash as u32)
}

/// The entry of a timer's record.
fn entry(due_ms: i64, log_offset: u64, bytes: u64, name: (u32, u32)) -> (Key, Detail) {
    // A record is far smaller than 4 GiB.
    (Key { due_ms, place: log_offset, owner: name.0 }, [bytes as u32, name.1])
}

fn find(due: &Due, due_ms: i64, name: (u32, u32)) -> Option<Key> {
    due.find(Kind::Timed, due_ms, |key, detail| (key.owner, detail[1]) == name)
}

/// What a cancel marker cancels: Java wrote the topic before the key until 5.4.0.
fn cancelled<'a>(topic: &str, marker: &'a str) -> &'a str {
    marker.strip_prefix(topic).and_then(|rest| rest.strip_prefix('+')).unwrap_or(marker)
}

/// Applies a record of the timer topic to the table, as it was applied when it was appended.
pub(crate) fn replay(due: &Due, record: &RecordView<'_>) {
    let (mut out_ms, mut topic, mut unique_key, mut marker, mut rolled) = (None, "", "", None, false);
    for (name, value) in properties::iter(record.properties()) {
        match name {
            properties::TIMER_OUT_MS => out_ms = value.parse().ok(),
            properties::REAL_TOPIC => topic = value,
            properties::UNIQUE_KEY => unique_key = value,
            properties::TIMER_DELETE_UNIQUE_KEY => marker = Some(value),
            properties::TIMER_ROLL_TIMES => rolled = true,
            _ => {}
        }
    }
    let Some(due_ms) = out_ms else { return };
    let change = due.change();
    let name = name_of(topic, marker.map_or(unique_key, |marker| cancelled(topic, marker)));
    if (marker.is_some() || rolled)
        && let Some(old) = find(due, due_ms, name)
    {
        change.remove(Kind::Timed, &old);
    }
    if marker.is_none() {
        let (key, detail) = entry(due_ms, record.log_offset(), record.len() as u64, name);
        change.insert(Kind::Timed, key, detail);
    }
}

/// Times ahead, in seconds, up to which waiting messages are counted apart; the last is a day. Source: `TimerMetrics`.
pub const TIMER_BOUNDS_S: [u64; 8] = [5, 60, 300, 900, 3600, 14_400, 28_800, 86_400];

const TIMER_DAY_MS: i64 = TIMER_BOUNDS_S[TIMER_BOUNDS_S.len() - 1] as i64 * 1000;

impl Broker {
    /// When a message is to be delivered; `None` means now.
    ///
    /// # Errors
    /// The time is no number, or too far away, or timers are switched off.
    pub(crate) fn timer_due(&self, wish: TimerWish<'_>, cancels: bool) -> Result<Option<i64>, Error> {
        let config = self.config();
        if !config.timer_enabled {
            return Err(Error::Unsupported("accurate timer message is not enabled, timerWheelEnable is false".into()));
        }
        let now_ms = self.now_ms();
        let due_ms = wish.due_ms(now_ms)?;
        if due_ms <= now_ms {
            if cancels {
                return Err(Error::MessageIllegal("timer message illegal: the time to cancel has passed".into()));
            }
            return Ok(None);
        }
        let max_ms = config.timer_delay_max.as_millis() as i64;
        if due_ms - now_ms > max_ms {
            return Err(Error::MessageIllegal(format!(
                "timer message illegal, the delay time should not be bigger than the max delay {max_ms}ms; or if set \
                 del msg, the delay time should be bigger than the current time"
            )));
        }
        Ok(Some(due_ms))
    }

    /// Stores a message that waits for its time, or a marker that cancels one.
    pub(crate) fn append_timer(
        &self,
        record: &NewRecord<'_>,
        due_ms: i64,
        unique_key: &str,
        text: &mut String,
    ) -> Result<Appended, Error> {
        let topic = record.topic;
        properties::set(text, properties::TIMER_OUT_MS, Some(&due_ms.to_string()));
        properties::set(text, properties::REAL_TOPIC, Some(topic));
        properties::set(text, properties::REAL_QUEUE, Some(&record.queue_id.to_string()));
        // Figures are added when the message is stored again or delivered.
        if text.len() + ADDED_BYTES > protocol::limits::PROPERTIES_BYTES_MAX {
            return Err(Error::MessageIllegal(format!("the properties of a timer message have {}B", text.len())));
        }
        let stored = NewRecord { topic: name::TIMER_TOPIC, queue_id: 0, properties: text, ..*record };
        let queue = self.store.queue(name::TIMER_TOPIC, 0);
        let change = self.due.change();
        let appended = self.store.append(&queue, &stored)?;
        match properties::get(text, properties::TIMER_DELETE_UNIQUE_KEY) {
            Some(marker) => {
                if let Some(key) = find(&self.due, due_ms, name_of(topic, cancelled(topic, marker))) {
                    change.remove(Kind::Timed, &key);
                }
            }
            None => {
                insert(&change, due_ms, &appended, name_of(topic, unique_key));
                self.stats.timed(topic, seconds(due_ms - record.born_timestamp));
            }
        }
        Ok(appended)
    }

    /// What recalls a message.
    pub(crate) fn recall_handle(&self, topic: &str, due_ms: i64, unique_key: &str) -> String {
        let broker_name = self.config().broker_name.clone();
        let (topic, unique_key) = (topic.to_owned(), unique_key.to_owned());
        RecallHandle { topic, broker_name, timestamp_ms: due_ms + 1, unique_key }.encode()
    }

    /// Recalls a message that waits for its time. As in Java, that there is none (any more) is no error as long as its
    /// time has not come: it may have been recalled before.
    ///
    /// # Errors
    /// See [`Error`]; nothing changed.
    pub fn recall(
        &self,
        topic: &str,
        handle: &str,
        born_host: SocketAddr,
        store_host: SocketAddr,
    ) -> Result<Recalled, Error> {
        self.check_running()?;
        let config = self.config();
        if !config.recall_enabled {
            return Err(Error::forbidden(Forbidden::Broker, "recall failed, operation is forbidden"));
        }
        self.topics.require(topic)?;
        let refuse = |reason: &str| Error::Illegal(format!("recall failed, {reason}"));
        let handle = RecallHandle::decode(handle).ok_or_else(|| refuse("handle is invalid"))?;
        if handle.topic != topic {
            return Err(refuse("topic not match"));
        }
        if handle.broker_name != config.broker_name {
            return Err(refuse("broker service not available for another broker's message"));
        }
        let left = handle.timestamp_ms.saturating_sub(self.now_ms());
        if left <= 0 || left as u128 > config.timer_delay_max.as_millis() + 1 {
            return Err(refuse("timestamp invalid"));
        }
        let (due_ms, unique_key) = (handle.timestamp_ms - 1, handle.unique_key);
        if find(&self.due, due_ms, name_of(topic, &unique_key)).is_none() {
            if due_ms <= self.now_ms() {
                // Delivered, in this very millisecond.
                return Err(refuse("timestamp invalid"));
            }
            return Ok(Recalled { unique_key, appended: None });
        }
        let mut text = String::new();
        properties::push(&mut text, properties::TAGS, "_RECALL_TAG_");
        properties::push(&mut text, properties::UNIQUE_KEY, &unique_key);
        properties::push(&mut text, properties::TIMER_DELETE_UNIQUE_KEY, &unique_key);
        properties::push(&mut text, properties::TIMER_DELIVER_MS, &handle.timestamp_ms.to_string());
        let marker = NewRecord {
            topic,
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: self.now_ms(),
            born_host,
            store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"0",
            properties: "",
            more_properties: "",
        };
        let appended = self.append_timer(&marker, due_ms, &unique_key, &mut text)?;
        Ok(Recalled { unique_key, appended: Some(appended) })
    }

    /// How many messages wait for a time of their own.
    pub fn pending_timers(&self) -> usize {
        self.due.len(Kind::Timed)
    }

    /// How many of them are late, and how many are due from now on, up to each of [`TIMER_BOUNDS_S`] and after the one
    /// before. It walks those of a day.
    pub fn timer_spread(&self) -> (u64, [u64; TIMER_BOUNDS_S.len()]) {
        let now_ms = self.now_ms();
        let (mut late, mut counts) = (0, [0; TIMER_BOUNDS_S.len()]);
        self.due.each_until(Kind::Timed, now_ms + TIMER_DAY_MS, |due_ms| {
            if due_ms <= now_ms {
                late += 1;
            } else {
                let ahead_ms = (due_ms - now_ms) as u64;
                // The last bound is the day that is walked.
                counts[TIMER_BOUNDS_S.partition_point(|bound| bound * 1000 < ahead_ms)] += 1;
            }
        });
        (late, counts)
    }

    /// Milliseconds by which the first of them is late.
    pub fn timer_lag_ms(&self) -> i64 {
        self.due.first(Kind::Timed).map_or(0, |due_ms| (self.now_ms() - due_ms).max(0))
    }

    /// Delivers timers when they are due, until the broker stops.
    pub(crate) async fn run_timers(self: Arc<Self>) {
        let stopping = self.stopping.clone();
        let work = async {
            loop {
                self.due.wait(Kind::Timed, &*self.clock).await;
                match self.fire_timers().await {
                    Ok(()) => {}
                    Err(Error::Store(store::Error::Busy { .. })) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => {
                        warn!(%error, "timers not delivered, trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        };
        stopping.run_until_cancelled(work).await;
    }

    /// Delivers one batch of what is due.
    async fn fire_timers(&self) -> Result<(), Error> {
        let due = self.due.due(Kind::Timed, self.now_ms(), TIMER_BATCH);
        let batch = self.read_timers(&due).await?;
        // From here on without waiting: a recall comes before all of this, or after it.
        let change = self.due.change();
        let mut unrecorded = self.unrecorded.0.lock();
        let mut result = Ok(());
        for (key, detail, stored) in batch {
            // Recalled, or rolled, while it was read.
            if change.remove(Kind::Timed, &key).is_none() {
                continue;
            }
            if let Err(error) = self.deliver_timer(&key, stored) {
                change.insert(Kind::Timed, key, detail);
                result = Err(error);
                break;
            }
            unrecorded.push((Kind::Timed, key));
        }
        if unrecorded.is_empty() {
            return result;
        }
        let done = DueChange { removed: std::mem::take(&mut unrecorded), ..DueChange::default() };
        let done = Change::Due(done);
        if let Err(error) = self.journal.append(&done) {
            let Change::Due(DueChange { removed, .. }) = done else { unreachable!("made three lines above") };
            *unrecorded = removed;
            return Err(error);
        }
        result
    }

    fn deliver_timer(&self, key: &Key, stored: Option<Bytes>) -> Result<(), Error> {
        let Some(record) = stored.as_deref().and_then(|bytes| RecordView::parse(bytes).ok()) else {
            error!(offset = key.place, "the record of a timer is gone");
            return Ok(());
        };
        // Consumers see the properties as Java leaves them: with the wish and the target still in.
        let mut text = record.properties().to_owned();
        properties::push(&mut text, properties::TIMER_ENQUEUE_MS, &record.store_timestamp().to_string());
        properties::push(&mut text, properties::TIMER_DEQUEUE_MS, &self.now_ms().to_string());
        if self.check_properties(text.len()).is_err() {
            // Two figures are not worth a message; one that a Java broker stored may have no room for them.
            text = record.properties().to_owned();
        }
        let delivered = self.deliver_stored(&record, text)?;
        if delivered.is_some() {
            self.stats.fired(record.property(properties::REAL_TOPIC).unwrap_or_default());
        }
        Ok(())
    }

    /// The records of some timers, in their order, as many as fit into one batch.
    async fn read_timers(&self, timers: &[(Key, Detail)]) -> Result<Vec<(Key, Detail, Option<Bytes>)>, Error> {
        let mut bytes = 0;
        let fitting = timers.iter().take_while(|(_, detail)| {
            bytes += u64::from(detail[0]);
            bytes == u64::from(detail[0]) || bytes <= TIMER_BATCH_BYTES
        });
        let mut batch: Vec<_> = fitting.map(|(key, detail)| (*key, *detail, None)).collect();
        // Nobody delivers what its producer has not been told yet.
        let end = batch.iter().map(|(key, detail, _)| key.place + u64::from(detail[0])).max().unwrap_or(0);
        self.store.acknowledged().wait(LogOffset(end)).await?;
        // Neighbours in the log are read together.
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_unstable_by_key(|at| batch[*at].0.place);
        let ranges: Vec<_> = order.iter().map(|at| (LogOffset(batch[*at].0.place), batch[*at].1[0])).collect();
        for slice in self.store.read(&ranges).await? {
            let mut rest = slice.bytes;
            for at in &order[slice.first..slice.first + slice.count] {
                let size = batch[*at].1[0] as usize;
                batch[*at].2 = rest.as_mut().map(|rest| rest.split_to(size));
            }
        }
        Ok(batch)
    }

    /// Stores timers again whose records lie before a place of the log that is to be deleted.
    pub(crate) async fn roll_timers(&self, before: LogOffset) -> Result<(), Error> {
        let mut after = None;
        let mut rolled = 0;
        loop {
            let (timers, last) = self.due.before(Kind::Timed, before.0, after, TIMER_BATCH);
            let Some(last) = last else { break };
            let batch = self.read_timers(&timers).await?;
            // What did not fit into this batch is found again by the next.
            after = if batch.len() < timers.len() { batch.last().map(|(key, ..)| *key) } else { Some(last) };
            for (key, detail, stored) in batch {
                rolled += usize::from(self.roll_timer(&key, detail, stored).await?);
            }
        }
        if rolled > 0 {
            info!(rolled, before = before.0, "timers stored again, their part of the log is to be deleted");
        }
        Ok(())
    }

    async fn roll_timer(&self, key: &Key, detail: Detail, stored: Option<Bytes>) -> Result<bool, Error> {
        let Some(record) = stored.as_deref().and_then(|bytes| RecordView::parse(bytes).ok()) else {
            error!(offset = key.place, "the record of a timer is gone");
            return Ok(false);
        };
        let times = record.property(properties::TIMER_ROLL_TIMES).and_then(|times| times.parse().ok()).unwrap_or(0u32);
        let mut text = record.properties().to_owned();
        properties::set(&mut text, properties::TIMER_ROLL_TIMES, Some(&times.saturating_add(1).to_string()));
        loop {
            let again = {
                let change = self.due.change();
                if change.remove(Kind::Timed, key).is_none() {
                    return Ok(false);
                }
                let again = self.store_again(name::TIMER_TOPIC, &record, &text);
                match &again {
                    Ok(appended) => insert(&change, key.due_ms, appended, (key.owner, detail[1])),
                    Err(_) => change.insert(Kind::Timed, *key, detail),
                }
                again
            };
            match again {
                Ok(_) => return Ok(true),
                Err(Error::Store(store::Error::Busy { .. })) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whole seconds of a time, none of one that another clock made negative.
pub(crate) fn seconds(ms: i64) -> usize {
    usize::try_from(ms / 1000).unwrap_or(0)
}

fn insert(change: &Changing<'_>, due_ms: i64, appended: &Appended, name: (u32, u32)) {
    let bytes = appended.end.0 - appended.log_offset.0;
    let (key, detail) = entry(due_ms, appended.log_offset.0, bytes, name);
    change.insert(Kind::Timed, key, detail);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_have_an_order() {
        let text = "TIMER_DELIVER_MS\u{1}7000\u{2}TIMER_DELAY_SEC\u{1}3\u{2}TIMER_DELAY_MS\u{1}50\u{2}";
        let wish = |text: &str| {
            let wishes = properties::iter(text).filter_map(|(name, value)| TimerWish::read(name, value));
            let wish = wishes.fold(None, |best, wish: TimerWish<'_>| Some(wish.or(best)));
            wish.map(|wish| wish.due_ms(1000).map_err(|error| error.to_string()))
        };
        assert_eq!(wish(text), Some(Ok(4000)));
        assert_eq!(wish(&text[..text.find("TIMER_DELAY_SEC").unwrap()]), Some(Ok(7000)));
        assert_eq!(wish("TIMER_DELAY_MS\u{1}50\u{2}"), Some(Ok(1050)));
        assert_eq!(wish("TIMER_DELAY_SEC\u{1}9999999999999999\u{2}"), Some(Ok(i64::MAX)));
        assert!(wish("TIMER_DELAY_SEC\u{1}x\u{2}").unwrap().is_err());
        assert_eq!(wish("a\u{1}1\u{2}"), None);
    }

    #[test]
    fn names_do_not_change_with_releases() {
        assert_eq!(name_of("T", "K"), name_of("T", cancelled("T", "T+K")));
        assert_ne!(name_of("TK", ""), name_of("T", "K"));
        assert_eq!(name_of("T", "K"), (2_965_110_580, 1_188_626_043));
    }
}
