//! Giving a message back: it comes again later, or becomes a dead letter.
//!
//! Source: `AbstractSendMessageProcessor.consumerSendMsgBack`.

use std::net::SocketAddr;

use protocol::record::RecordView;
use protocol::{id, name, perm, properties, sysflag};
use store::{Appended, LogOffset};

use crate::{Broker, Error, Forbidden, NewMessage};

/// A consumer gives a message back.
#[derive(Debug, Clone)]
pub struct SendBack {
    /// Consumer group.
    pub group: String,
    /// Where the message is.
    pub offset: i64,
    /// Delay level; 0 lets the broker choose, negative means dead letter.
    pub delay_level: i32,
    /// Bound on the number of tries, if the client has one and is new enough for it to count.
    pub max_reconsume_times: Option<i32>,
    /// Whether the group belongs to a unit.
    pub unit: bool,
    /// Where this broker is, as the client sees it.
    pub store_host: SocketAddr,
}

impl Broker {
    /// Stores a given-back message again, delayed. `None` when the group wants no retries at all.
    ///
    /// # Errors
    /// See [`Error`]; nothing was stored.
    pub async fn send_back(&self, back: &SendBack) -> Result<Option<Appended>, Error> {
        self.check_running()?;
        let group = self.groups.require(&back.group)?;
        if !perm::is_writeable(self.config().permission) {
            return Err(self.broker_forbids("writes"));
        }
        if group.retry_queue_nums <= 0 {
            return Ok(None);
        }
        let retry = self.topics.get_or_create(&name::retry_topic(&back.group), group.retry_queue_nums)?;
        if !perm::is_writeable(retry.config().perm) {
            let reason = format!("the topic[{}] sending message is forbidden", retry.name());
            return Err(Error::forbidden(Forbidden::Topic, reason));
        }
        let missing = || Error::NotFound(format!("look message by offset failed, {}", back.offset));
        let at = u64::try_from(back.offset).map_err(|_| missing())?;
        let stored = self.store.record_at(LogOffset(at)).await?.ok_or_else(missing)?;
        let record = RecordView::parse(&stored).map_err(|_| missing())?;

        let max = back.max_reconsume_times.unwrap_or(group.retry_max_times);
        let dead = back.delay_level < 0 || record.reconsume_times() >= max;
        let (topic, queue_id, delay_level) = if dead {
            (self.topics.get_or_create(&name::dlq_topic(&back.group), 1)?, 0, 0)
        } else {
            let level = if back.delay_level == 0 { 3 + record.reconsume_times() } else { back.delay_level };
            let queues = retry.config().write_queue_nums.min(group.retry_queue_nums).max(1);
            (retry, rand::random_range(0..queues), level)
        };
        let text = self.retry_properties(&record, at, dead)?;
        let message = NewMessage {
            topic: topic.name(),
            template: "",
            template_queues: 0,
            queue_id,
            flag: record.flag(),
            // Every stored record is a message of its own, whatever transaction it came from.
            sys_flag: record.sys_flag() & !sysflag::TRANSACTION_MASK,
            born_timestamp: record.born_timestamp(),
            born_host: record.born_host(),
            store_host: back.store_host,
            reconsume_times: record.reconsume_times() + 1,
            max_reconsume_times: None,
            unit: back.unit,
            properties: "",
            batch: false,
            body: record.body(),
        };
        let appended = self.append(&topic, queue_id, delay_level, &message, text.into(), "")?;
        self.stats.given_back(&back.group, record.topic(), record.body().len());
        if dead {
            self.stats.dead(&back.group, record.topic(), record.body().len());
        }
        Ok(Some(appended))
    }

    fn retry_properties(&self, record: &RecordView<'_>, at: u64, dead: bool) -> Result<String, Error> {
        let stored = record.properties();
        let mut text = stored.to_owned();
        // Traces of an earlier delay would send the copy to where the first one went.
        for stale in [properties::REAL_TOPIC, properties::REAL_QUEUE, properties::DELAY, properties::POP_CK] {
            if properties::get(stored, stale).is_some() {
                properties::set(&mut text, stale, None);
            }
        }
        let origin = id::offset_id(record.store_host(), at);
        if properties::get(stored, properties::RETRY_TOPIC).is_none() {
            properties::push(&mut text, properties::RETRY_TOPIC, record.topic());
        }
        if properties::get(stored, properties::ORIGIN_MESSAGE_ID).is_none() {
            properties::push(&mut text, properties::ORIGIN_MESSAGE_ID, &origin);
        }
        if dead {
            let topic = properties::get(stored, properties::RETRY_TOPIC).unwrap_or(record.topic());
            properties::set(&mut text, properties::DLQ_ORIGIN_TOPIC, Some(topic));
            let origin = properties::get(stored, properties::ORIGIN_MESSAGE_ID).unwrap_or(&origin);
            properties::set(&mut text, properties::DLQ_ORIGIN_MESSAGE_ID, Some(origin));
        }
        properties::set(&mut text, properties::WAIT, Some("false"));
        Ok(text)
    }
}
