//! Asking again about transactions of which nobody could tell.

use protocol::record::{NewRecord, RecordView};
use protocol::{name, properties, sysflag};
use store::{IndexKey, LogOffset};
use tracing::info;

use crate::deliver::copy_of;
use crate::due::{DueChange, Kind};
use crate::limits::QUERY_MESSAGES_MAX;
use crate::state::Change;
use crate::{Broker, Error};

impl Broker {
    /// Counts the checks of a transaction from the beginning. The half message is one that still waits, or one that was
    /// set aside, of which a new half is made. Counts when the log is acknowledged up to what is returned.
    ///
    /// Java makes a new half of whatever message it is given, so that one that waits, or was decided, could be delivered
    /// twice. Source: `AdminBrokerProcessor.resumeCheckHalfMessage`.
    ///
    /// # Errors
    /// It is no half message, it was decided, or it was resumed before; or see [`Error`], and nothing changed.
    pub async fn resume_checks(&self, log_offset: i64) -> Result<LogOffset, Error> {
        self.check_running()?;
        self.settle_commits().await?;
        let stored = self.view(log_offset).await?;
        let record = RecordView::parse(&stored).map_err(|error| Error::NotFound(error.to_string()))?;
        match record.topic() {
            name::HALF_TOPIC => self.count_anew(&record),
            name::CHECK_MAX_TIME_TOPIC => self.half_again(&record).await,
            topic => Err(Error::NotFound(format!("the message is of topic {topic:?}, and no half message"))),
        }
    }

    fn count_anew(&self, record: &RecordView<'_>) -> Result<LogOffset, Error> {
        let change = self.due.change();
        let decided = || Error::NotFound("the transaction was decided before, or its message set aside".into());
        let (key, detail) = change.remove_at(Kind::Check, record.queue_offset()).ok_or_else(decided)?;
        let moved = vec![(Kind::Check, key, [0; 2])];
        let recorded = self.journal.append(&Change::Due(DueChange { moved, ..DueChange::default() }));
        let detail = if recorded.is_ok() { [0; 2] } else { detail };
        change.insert(Kind::Check, key, detail);
        recorded
    }

    async fn half_again(&self, record: &RecordView<'_>) -> Result<LogOffset, Error> {
        let unique_key = record.property(properties::UNIQUE_KEY).unwrap_or_default();
        let key = IndexKey::UniqueKey(unique_key);
        for half in self.store.query(name::HALF_TOPIC, key, QUERY_MESSAGES_MAX, 0, i64::MAX).await? {
            if RecordView::parse(&half).is_ok_and(|half| half.log_offset() > record.log_offset()) {
                return Err(Error::NotFound(format!("the transaction {unique_key} was resumed before")));
            }
        }
        let mut text = record.properties().to_owned();
        properties::set(&mut text, properties::TRANSACTION_CHECK_TIMES, Some("0"));
        self.check_properties(text.len())?;
        let copy = NewRecord {
            topic: name::HALF_TOPIC,
            queue_id: 0,
            sys_flag: record.sys_flag() & !sysflag::TRANSACTION_MASK,
            ..copy_of(record, &text)
        };
        let appended = self.append_to_halves(&copy)?;
        info!(unique_key, "half message that was set aside is asked about again");
        Ok(appended.end)
    }
}
