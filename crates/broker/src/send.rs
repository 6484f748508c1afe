//! Send: check, route, append.
//!
//! Source: `SendMessageProcessor`, `AbstractSendMessageProcessor`, `HookUtils`; in their order.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::record::NewRecord;
use protocol::{batch, name, properties, sysflag};
use store::{Appended, Queue};

use crate::timer::{TimerWish, WISHES};
use crate::topic::Topic;
use crate::{Broker, Error};

/// A message as a producer hands it over.
#[derive(Debug, Clone)]
pub struct NewMessage<'a> {
    /// Target topic.
    pub topic: &'a str,
    /// Template when the topic does not exist yet.
    pub template: &'a str,
    /// Queues that it gets then at most.
    pub template_queues: i32,
    /// Queue; negative lets the broker choose.
    pub queue_id: i32,
    /// User's flag.
    pub flag: i32,
    /// See [`protocol::sysflag`].
    pub sys_flag: i32,
    /// Client's clock.
    pub born_timestamp: i64,
    /// Where the client is.
    pub born_host: SocketAddr,
    /// Where this broker is, as the client sees it.
    pub store_host: SocketAddr,
    /// Times the message was consumed before.
    pub reconsume_times: i32,
    /// Bound on that, if the client has one and is new enough for it to count.
    pub max_reconsume_times: Option<i32>,
    /// Whether a new topic belongs to a unit.
    pub unit: bool,
    /// See [`protocol::properties`].
    pub properties: &'a str,
    /// The body holds several messages.
    pub batch: bool,
    /// The body.
    pub body: &'a [u8],
}

/// What became of a message.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Queue the producer's message is for.
    pub queue_id: i32,
    /// Where it was stored, and where its record ends.
    pub appended: Appended,
    /// Unique key; none for a batch, whose messages have their own.
    pub unique_key: Option<String>,
    /// Whether the producer wants to hear only when the message is as safe as configured.
    pub wait: bool,
    /// What recalls the message, if it waits for a time of its own.
    pub recall_handle: Option<String>,
}

/// Properties that only the broker sets.
const OURS: [&str; 6] = [
    properties::MSG_REGION,
    properties::TRACE_ON,
    properties::CLUSTER,
    properties::POP_CK,
    properties::INNER_MULTI_DISPATCH,
    properties::INNER_MULTI_QUEUE_OFFSET,
];

/// What the properties of a message ask for, found in one pass.
#[derive(Debug, Default)]
struct Wishes<'a> {
    unique_key: Option<&'a str>,
    delay_level: i32,
    no_wait: bool,
    transaction: bool,
    timer: Option<TimerWish<'a>>,
    /// The time was worked out before: a timer message that comes back for a retry.
    timed_before: bool,
    /// Cancels another timer message.
    cancels: bool,
    /// A delay of any kind.
    delayed: bool,
    ordered: bool,
    priority: Option<i32>,
    /// Lite topic below the topic that it is sent to.
    lite_topic: Option<&'a str>,
    /// Properties that the broker sets itself are there already: retried messages come like that.
    has_ours: bool,
}

impl<'a> Wishes<'a> {
    fn read(text: &'a str) -> Wishes<'a> {
        let mut wishes = Wishes::default();
        for (key, value) in properties::iter(text) {
            match key {
                properties::UNIQUE_KEY => wishes.unique_key = Some(value),
                properties::DELAY => {
                    wishes.delay_level = value.parse().unwrap_or(0);
                    wishes.delayed = true;
                }
                properties::WAIT => wishes.no_wait = value.eq_ignore_ascii_case("false"),
                properties::TRANSACTION_PREPARED => wishes.transaction = value.eq_ignore_ascii_case("true"),
                properties::TIMER_DELAY_SEC | properties::TIMER_DELAY_MS | properties::TIMER_DELIVER_MS => {
                    wishes.timer = TimerWish::read(key, value).map(|wish| wish.or(wishes.timer));
                    wishes.delayed = true;
                }
                properties::TIMER_OUT_MS => wishes.timed_before = true,
                properties::TIMER_DELETE_UNIQUE_KEY => wishes.cancels = true,
                properties::SHARDING_KEY => wishes.ordered = true,
                properties::LITE_TOPIC => wishes.lite_topic = Some(value).filter(|name| !name.is_empty()),
                properties::PRIORITY => wishes.priority = value.parse().ok().filter(|priority| *priority >= 0),
                name if OURS.contains(&name) => wishes.has_ours = true,
                _ => {}
            }
        }
        wishes
    }

    /// The queue of a priority, if the message has one and nothing that weighs more: other kinds of message cannot
    /// choose their queue. Source: `TopicMessageType.parseFromMessageProperty`, `SendMessageProcessor.sendMessage`.
    fn priority_queue(&self, topic: &Topic) -> Option<i32> {
        let other_kind = self.transaction || self.delayed || self.ordered;
        let last = (topic.config().write_queue_nums - 1).max(0);
        self.priority.filter(|_| !other_kind).map(|priority| priority.min(last))
    }
}

impl Broker {
    /// Stores a message, or all messages of a batch.
    ///
    /// Returns when the record is in the log's memory. It is acknowledged, and may be told to the producer, when
    /// [`store::Store::acknowledged`] has reached the end of it.
    ///
    /// # Errors
    /// See [`Error`]; nothing was stored.
    pub fn send(&self, message: &NewMessage<'_>) -> Result<Receipt, Error> {
        self.check_running()?;
        let topic = self.topic_to_send_to(message)?;
        let queue_id = choose_queue(&topic, message.queue_id)?;
        if message.batch {
            return self.send_batch(message, &topic, queue_id);
        }
        self.check_body(message.body)?;
        let wishes = Wishes::read(message.properties);
        let priority_queue = wishes.priority_queue(&topic);
        let queue_id = priority_queue.unwrap_or(queue_id);
        let (topic, queue_id) = self.dead_letter_if_exhausted(topic, queue_id, message)?;
        let dead = topic.name().starts_with(name::DLQ_PREFIX);
        let unique_key = match wishes.unique_key {
            Some(key) => key.to_owned(),
            None => self.next_unique_key(),
        };
        let mut text = stored_properties(message.properties, &wishes, &unique_key);
        if wishes.priority.is_some() && priority_queue.is_none() {
            properties::set(text.to_mut(), properties::PRIORITY, None);
        }
        let delay_level = if dead { 0 } else { wishes.delay_level };
        if dead {
            // Java leaves a negative level on what it redirects, so that no later stage delays it.
            properties::set(text.to_mut(), properties::DELAY, Some("-1"));
        }
        let delayed_retry = message.reconsume_times > 0 && delay_level > 0;
        let mut recall_handle = None;
        let appended = if wishes.transaction && !delayed_retry && !dead {
            self.append_half(&record_of(&topic, queue_id, message), &unique_key, &mut self.with_own(text))?
        } else if !dead && let Some(due_ms) = self.due_by_timer(&wishes, message.sys_flag)? {
            if !topic.name().starts_with(name::RETRY_PREFIX) {
                recall_handle = Some(self.recall_handle(topic.name(), due_ms, &unique_key));
            }
            self.append_timer(&record_of(&topic, queue_id, message), due_ms, &unique_key, &mut self.with_own(text))?
        } else if let Some(lite_topic) = wishes.lite_topic.filter(|_| !dead && delay_level <= 0) {
            let text = self.with_own(text);
            self.check_properties(text.len())?;
            let record = NewRecord { properties: &text, ..record_of(&topic, queue_id, message) };
            self.append_lite(&self.queue(&topic, queue_id)?, &record, lite_topic)?
        } else {
            self.append(&topic, queue_id, delay_level, message, text, &self.own_properties)?
        };
        self.stats.stored(&topic, 1, &appended);
        if dead && let Some(group) = message.topic.strip_prefix(name::RETRY_PREFIX) {
            self.stats.dead(group, message.topic, message.body.len());
        }
        Ok(Receipt { queue_id, appended, unique_key: Some(unique_key), wait: !wishes.no_wait, recall_handle })
    }

    /// When a message wants to be delivered; `None` means now, or at its delay level. Source:
    /// `HookUtils.handleScheduleMessage`.
    fn due_by_timer(&self, wishes: &Wishes<'_>, sys_flag: i32) -> Result<Option<i64>, Error> {
        let decided = matches!(sys_flag & sysflag::TRANSACTION_MASK, 0 | sysflag::TRANSACTION_COMMIT);
        match wishes.timer {
            Some(wish) if decided && wishes.delay_level <= 0 && !wishes.timed_before => {
                self.timer_due(wish, wishes.cancels)
            }
            _ => Ok(None),
        }
    }

    /// Appends to the queue, or to the queue of a delay level.
    pub(crate) fn append(
        &self,
        topic: &Topic,
        queue_id: i32,
        delay_level: i32,
        message: &NewMessage<'_>,
        mut text: Cow<'_, str>,
        own: &str,
    ) -> Result<Appended, Error> {
        let mut target = self.queue(topic, queue_id)?;
        let mut name = topic.name();
        let mut stored_queue = queue_id;
        if let Some((schedule, level)) = self.schedule_queue(delay_level) {
            // The level wins over a time.
            let text = text.to_mut();
            for wish in WISHES {
                properties::set(text, wish, None);
            }
            properties::set(text, properties::DELAY, Some(&level.to_string()));
            properties::set(text, properties::REAL_TOPIC, Some(topic.name()));
            properties::set(text, properties::REAL_QUEUE, Some(&queue_id.to_string()));
            (target, name, stored_queue) = (schedule, name::SCHEDULE_TOPIC, level - 1);
        }
        self.check_properties(text.len() + own.len())?;
        let record = NewRecord {
            topic: name,
            queue_id: stored_queue as u32,
            properties: &text,
            more_properties: own,
            ..record_of(topic, queue_id, message)
        };
        Ok(self.store.append(&target, &record)?)
    }

    fn send_batch(&self, message: &NewMessage<'_>, topic: &Topic, queue_id: i32) -> Result<Receipt, Error> {
        let wishes = Wishes::read(message.properties);
        if wishes.delay_level > 0 || wishes.timer.is_some() || topic.name().starts_with(name::RETRY_PREFIX) {
            return Err(Error::MessageIllegal("a batch can neither be delayed nor sent to a retry topic".into()));
        }
        if message.sys_flag & sysflag::TRANSACTION_MASK != 0 {
            return Err(Error::MessageIllegal("a batch cannot be part of a transaction".into()));
        }
        self.check_body(message.body)?;
        let queue = self.queue(topic, queue_id)?;
        let mut records = Vec::new();
        for part in batch::iter(message.body) {
            let part = part.map_err(|error| Error::MessageIllegal(format!("batch: {error}")))?;
            self.check_properties(part.properties.len())?;
            let (flag, body, properties) = (part.flag, part.body, part.properties);
            records.push(NewRecord { flag, body, properties, ..record_of(topic, queue_id, message) });
        }
        if records.is_empty() {
            return Err(Error::MessageIllegal("the batch holds no message".into()));
        }
        let appended = self.store.append_batch(&queue, &records)?;
        self.stats.stored(topic, records.len(), &appended);
        Ok(Receipt { queue_id, appended, unique_key: None, wait: !wishes.no_wait, recall_handle: None })
    }

    pub(crate) fn topic_to_send_to(&self, message: &NewMessage<'_>) -> Result<Arc<Topic>, Error> {
        // A topic that exists had its name checked when it was made.
        if let Some(topic) = self.topics.get(message.topic) {
            // Java takes messages for the timer topic from anybody, and believes what they say.
            if name::is_closed_to_producers(message.topic) || message.topic == name::TIMER_TOPIC {
                return Err(Error::ClosedTopic(message.topic.to_owned()));
            }
            if topic.config().order && !protocol::perm::is_writeable(self.config().permission) {
                return Err(self.broker_forbids("writes"));
            }
            return Ok(topic);
        }
        name::check_topic(message.topic)?;
        if name::is_closed_to_producers(message.topic) || message.topic == name::TIMER_TOPIC {
            return Err(Error::ClosedTopic(message.topic.to_owned()));
        }
        if message.topic.starts_with(name::RETRY_PREFIX) {
            return self.topics.get_or_create(message.topic, 1);
        }
        if message.template == name::AUTO_CREATE_TOPIC && !self.config().auto_create_topic {
            return Err(Error::UnknownTopic(message.topic.to_owned()));
        }
        self.topics.create_by_template(message.topic, message.template, message.template_queues, message.unit)
    }

    /// A message that a client gives back by sending it to its retry topic: too many tries make it a dead letter.
    fn dead_letter_if_exhausted(
        &self,
        topic: Arc<Topic>,
        queue_id: i32,
        message: &NewMessage<'_>,
    ) -> Result<(Arc<Topic>, i32), Error> {
        let Some(group) = topic.name().strip_prefix(name::RETRY_PREFIX) else { return Ok((topic, queue_id)) };
        let config = self.groups.require(group)?;
        let max = message.max_reconsume_times.unwrap_or(config.retry_max_times);
        let ordered = message.reconsume_times > 0 && self.locks.is_ordered(group, self.now_ms());
        if message.reconsume_times <= max && !ordered {
            return Ok((topic, queue_id));
        }
        Ok((self.topics.get_or_create(&name::dlq_topic(group), 1)?, 0))
    }

    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), Error> {
        let max = self.config().message_bytes_max;
        if body.len() > max {
            return Err(Error::MessageIllegal(format!(
                "the message is illegal, maybe msg body or properties length not matched. msg body length limit {max}B, \
                 this body has {}B",
                body.len()
            )));
        }
        if body.is_empty() {
            return Err(Error::MessageIllegal("the message body is empty".into()));
        }
        Ok(())
    }

    pub(crate) fn check_properties(&self, bytes: usize) -> Result<(), Error> {
        let max = protocol::limits::PROPERTIES_BYTES_MAX;
        if bytes > max {
            return Err(Error::MessageIllegal(format!(
                "the message is illegal, maybe msg body or properties length not matched. msg properties length limit \
                 32KB, these have {bytes}B"
            )));
        }
        Ok(())
    }

    /// The properties with those that this broker adds to every message.
    fn with_own(&self, text: Cow<'_, str>) -> String {
        text.into_owned() + &self.own_properties
    }

    pub(crate) fn queue(&self, topic: &Topic, id: i32) -> Result<Arc<Queue>, Error> {
        topic.queue(&self.store, id).cloned().ok_or_else(|| {
            Error::Parameter(format!("request queueId[{id}] is illegal, topic {:?} has no such queue", topic.name()))
        })
    }
}

/// The client's properties but those that are ours, and a unique key if there was none; ready for others behind them.
fn stored_properties<'a>(text: &'a str, wishes: &Wishes<'_>, unique_key: &str) -> Cow<'a, str> {
    let mut stored = Cow::Borrowed(text);
    if wishes.has_ours {
        let mut kept = String::with_capacity(text.len());
        for (key, value) in properties::iter(text).filter(|(key, _)| !OURS.contains(key)) {
            properties::push(&mut kept, key, value);
        }
        stored = Cow::Owned(kept);
    } else if !text.is_empty() && !text.ends_with('\u{2}') {
        stored.to_mut().push('\u{2}');
    }
    if wishes.unique_key.is_none() {
        properties::push(stored.to_mut(), properties::UNIQUE_KEY, unique_key);
    }
    stored
}

pub(crate) fn choose_queue(topic: &Topic, wanted: i32) -> Result<i32, Error> {
    let config = topic.config();
    let queues = config.write_queue_nums.max(config.read_queue_nums);
    if wanted >= queues {
        return Err(Error::Parameter(format!(
            "request queueId[{wanted}] is illegal, topic [{}] has queues 0 to {}",
            topic.name(),
            queues - 1
        )));
    }
    Ok(if wanted < 0 { rand::random_range(0..config.write_queue_nums.max(1)) } else { wanted })
}

/// The record of a message, with the client's properties.
fn record_of<'a>(topic: &'a Topic, queue_id: i32, message: &NewMessage<'a>) -> NewRecord<'a> {
    let multi_tags = if topic.config().topic_filter_type == "MULTI_TAG" { sysflag::MULTI_TAGS } else { 0 };
    NewRecord {
        topic: topic.name(),
        // Checked against the topic's queues, which are numbered from 0.
        queue_id: queue_id as u32,
        flag: message.flag,
        // A producer that sets transaction bits without asking for a transaction would make its message invisible.
        sys_flag: message.sys_flag & !sysflag::TRANSACTION_MASK | multi_tags,
        born_timestamp: message.born_timestamp,
        born_host: message.born_host,
        store_host: message.store_host,
        reconsume_times: message.reconsume_times,
        prepared_transaction_offset: 0,
        body: message.body,
        properties: message.properties,
        more_properties: "",
    }
}
