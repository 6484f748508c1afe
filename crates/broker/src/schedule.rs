//! Delay levels: each level is a queue of `SCHEDULE_TOPIC_XXXX`, in which everything waits equally long.
//!
//! So the head of a level is always due first: one cursor and one sleep a level, no polling. A cursor is saved in the
//! log right behind the messages it stands for; a crash between the two delivers at most one batch again.
//!
//! They are not in the [due table](crate::due): their queues are in the order of their times already, so that all that
//! waits costs one number a level instead of an entry a message, and every retry of every group is delayed this way.
//! Source: `ScheduleMessageService`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::body::DelayOffsetTable;
use protocol::name;
use protocol::record::RecordView;
use store::{Entry, Queue, QueueOffset};
use tracing::warn;

use crate::limits::SCHEDULE_BATCH;
use crate::state::Change;
use crate::{Broker, Error};

/// Next queue offset by level.
#[derive(Default)]
pub(crate) struct Cursors(Mutex<BTreeMap<i32, i64>>);

impl Cursors {
    pub(crate) fn get(&self, level: i32) -> i64 {
        self.0.lock().get(&level).copied().unwrap_or(0)
    }

    pub(crate) fn set(&self, level: i32, offset: i64) {
        self.0.lock().insert(level, offset);
    }

    pub(crate) fn load(&self, table: DelayOffsetTable) {
        *self.0.lock() = table.offset_table;
    }

    pub(crate) fn to_table(&self) -> DelayOffsetTable {
        DelayOffsetTable { offset_table: self.0.lock().clone(), ..DelayOffsetTable::default() }
    }
}

impl Broker {
    /// The queue of a delay level and the level itself, capped to the last one; `None` without a delay.
    pub(crate) fn schedule_queue(&self, level: i32) -> Option<(Arc<Queue>, i32)> {
        if level <= 0 {
            return None;
        }
        let level = level.min(self.config().delay_levels.len() as i32);
        (level > 0).then(|| (self.store.queue(name::SCHEDULE_TOPIC, level as u32 - 1), level))
    }

    /// Next offset by delay level, in the shape of `delayOffset.json`.
    pub fn delay_offsets(&self) -> DelayOffsetTable {
        self.cursors.to_table()
    }

    /// Delivers the messages of one level when they are due, until the broker stops.
    pub(crate) async fn run_delay_level(self: Arc<Self>, level: i32) {
        let Some((queue, _)) = self.schedule_queue(level) else { return };
        let stopping = self.stopping.clone();
        let work = async {
            loop {
                if let Err(error) = self.deliver_due(level, &queue).await {
                    warn!(level, %error, "delayed messages not delivered, trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        stopping.run_until_cancelled(work).await;
    }

    /// Waits for the next message of a level and delivers what is due by then.
    async fn deliver_due(&self, level: i32, queue: &Arc<Queue>) -> Result<(), Error> {
        let cursor = self.cursors.get(level).max(queue.min_offset().0 as i64) as u64;
        queue.wait_beyond(QueueOffset(cursor)).await;
        let entries = self.store.entries(queue, QueueOffset(cursor), SCHEDULE_BATCH).await?;
        let Some(first) = entries.first() else { return Ok(()) };
        self.sleep_until(self.due_ms(level, first)).await;
        let now = self.now_ms();
        let due: Vec<_> = entries.iter().take_while(|entry| self.due_ms(level, entry) <= now).collect();
        for entry in &due {
            self.deliver(entry).await?;
        }
        let next = (cursor + due.len() as u64) as i64;
        self.cursors.set(level, next);
        self.journal.append(&Change::DelayOffset(level, next)).map(drop)
    }

    /// When a message is due. A clock that was set back must not make it wait longer than its level.
    fn due_ms(&self, level: i32, entry: &Entry) -> i64 {
        let longest = self.config().delay_levels[level as usize - 1].as_millis() as i64;
        let now = self.now_ms();
        if entry.tag_code > now + longest { now } else { entry.tag_code }
    }

    async fn sleep_until(&self, due_ms: i64) {
        let left = due_ms - self.now_ms();
        if left > 0 {
            tokio::time::sleep(Duration::from_millis(left as u64)).await;
        }
    }

    async fn deliver(&self, entry: &Entry) -> Result<(), Error> {
        let Some(stored) = self.store.record_at(entry.log_offset).await? else { return Ok(()) };
        let Ok(record) = RecordView::parse(&stored) else { return Ok(()) };
        // Consumers see the properties as Java leaves them: with the level and the target still in.
        self.deliver_stored(&record, record.properties().to_owned()).map(drop)
    }
}
