//! Delivering a message that was stored under another topic first: delayed, timed, or half of a transaction.

use bytes::{Bytes, BytesMut};
use protocol::record::{NewRecord, RecordView, Stamp};
use protocol::{name, properties, sysflag};
use store::Appended;
use tracing::{error, warn};

use crate::{Broker, Error};

impl Broker {
    /// Appends the message that a stored record stands for to where it was sent, with these properties. `None` if it
    /// has no place to go (any more).
    ///
    /// # Errors
    /// The log takes no records now; nothing was stored.
    pub(crate) fn deliver_stored(&self, record: &RecordView<'_>, text: String) -> Result<Option<Appended>, Error> {
        self.deliver_as(record, &text, 0, 0)
    }

    /// The same with a transaction type, and where the half message is.
    pub(crate) fn deliver_as(
        &self,
        record: &RecordView<'_>,
        text: &str,
        transaction_type: i32,
        prepared_transaction_offset: i64,
    ) -> Result<Option<Appended>, Error> {
        let offset = record.log_offset();
        let (Some(topic), Some(queue_id)) =
            (record.property(properties::REAL_TOPIC), record.property(properties::REAL_QUEUE))
        else {
            warn!(offset, "stored message without a target dropped");
            return Ok(None);
        };
        let Some(target) = self.topics.get(topic) else {
            warn!(topic, offset, "stored message dropped, its topic was deleted");
            return Ok(None);
        };
        // Fewer queues than when it was sent: any queue is better than none.
        let wanted = queue_id.parse().unwrap_or(0);
        let queue_id = if target.queue(&self.store, wanted).is_some() { wanted } else { 0 };
        let Some(queue) = target.queue(&self.store, queue_id) else {
            warn!(topic, offset, "stored message dropped, its topic has no queues");
            return Ok(None);
        };
        let record = NewRecord {
            topic,
            // Checked against the topic's queues, which are numbered from 0.
            queue_id: queue_id as u32,
            sys_flag: record.sys_flag() & !sysflag::TRANSACTION_MASK | transaction_type,
            prepared_transaction_offset,
            ..copy_of(record, text)
        };
        match self.append_to(queue, &record) {
            // It will never fit, and must not keep the others waiting.
            Err(Error::Store(reason @ (store::Error::Limit(_) | store::Error::TooLarge { .. }))) => {
                error!(topic, offset, error = %reason, "stored message dropped, it is too large by now");
                Ok(None)
            }
            appended => Ok(Some(appended?)),
        }
    }

    /// Appends a copy of a record to queue 0 of a topic of the system.
    pub(crate) fn store_again(&self, topic: &str, record: &RecordView<'_>, text: &str) -> Result<Appended, Error> {
        debug_assert!(name::is_system_topic(topic));
        let copy = NewRecord { topic, queue_id: 0, ..copy_of(record, text) };
        Ok(self.store.append(&self.store.queue(topic, 0), &copy)?)
    }
}

/// A record that says the same as a stored one, with these properties.
pub(crate) fn copy_of<'a>(record: &RecordView<'a>, properties: &'a str) -> NewRecord<'a> {
    NewRecord {
        topic: record.topic(),
        queue_id: record.queue_id(),
        flag: record.flag(),
        sys_flag: record.sys_flag(),
        born_timestamp: record.born_timestamp(),
        born_host: record.born_host(),
        store_host: record.store_host(),
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: record.prepared_transaction_offset(),
        body: record.body(),
        properties,
        more_properties: "",
    }
}

/// A record that is shown to a client where another one lies: it has the places and the time of that one. `None` when
/// it does not fit a record.
pub(crate) fn encode_in_place_of(record: &RecordView<'_>, shown: &NewRecord<'_>) -> Option<Bytes> {
    let stamp = Stamp {
        queue_offset: record.queue_offset(),
        log_offset: record.log_offset(),
        store_timestamp: record.store_timestamp(),
    };
    let mut encoded = BytesMut::new();
    shown.measure().ok()?.encode(&stamp, &mut encoded);
    Some(encoded.freeze())
}
