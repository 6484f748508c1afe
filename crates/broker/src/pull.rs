//! Pull: read a queue from an offset on, or wait until there is something to read.
//!
//! Source: `PullMessageProcessor`, `DefaultMessageStore.getMessage`, `PullRequestHoldService`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::{GroupConfig, MessageModel};
use protocol::{name, perm};
use store::{Queue, QueueOffset};
use tokio::time::Instant;

use crate::filter::Filter;
use crate::limits::SUSPEND_MS_MAX;
use crate::select::Selection;
use crate::{Broker, Error, FilterText, Forbidden};

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub struct PullRequest<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Read this lite topic of the topic instead of its queue; only queue 0 has something then.
    pub lite_topic: Option<&'a str>,
    /// Queue.
    pub queue_id: i32,
    /// First offset wanted.
    pub offset: i64,
    /// Most messages wanted.
    pub max_messages: i32,
    /// Offset to commit first.
    pub commit: Option<i64>,
    /// Longest wait, if it may wait at all.
    pub suspend: Option<Duration>,
    /// Filter of the request itself; without one that of the last heartbeat counts.
    pub filter: Option<FilterText<'a>>,
    /// Version of the subscription that the client believes in.
    pub sub_version: i64,
}

/// How a pull ended. The names are the remarks that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of GetMessageStatus and explained beside `read`")]
pub enum PullStatus {
    Found,
    NoMatchedMessage,
    MessageWasRemoving,
    OffsetTooSmall,
    OffsetOverflowOne,
    OffsetOverflowBadly,
    OffsetReset,
    NoMessageInQueue,
}

/// Answer to a pull.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// How it ended.
    pub status: PullStatus,
    /// Offset to go on from.
    pub next: i64,
    /// First offset of the queue.
    pub min: i64,
    /// Offset behind the last visible message.
    pub max: i64,
    /// Records, one behind the other.
    pub records: Vec<Bytes>,
    /// How many there are.
    pub count: usize,
    /// Flag of the topic.
    pub topic_sys_flag: i32,
    /// Flag of the group.
    pub group_sys_flag: i32,
}

/// A pull that passed all checks.
pub struct Pull {
    broker: Arc<Broker>,
    place: Place,
    group: Arc<GroupConfig>,
    filter: Filter,
    offset: i64,
    max_messages: usize,
    deadline: Option<Instant>,
    topic_sys_flag: i32,
    reset: Option<i64>,
}

/// What a pull reads.
enum Place {
    Queue(Arc<Queue>),
    /// The queue of a lite topic of this topic, which is made by the first message.
    Lite {
        parent: Arc<str>,
        name: String,
        queue_id: u32,
    },
}

/// Time between two looks for a lite topic that has no message yet.
const LITE_LOOK: Duration = Duration::from_millis(100);

impl Broker {
    /// Checks a pull and commits the offset it carries.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin_pull(self: &Arc<Self>, request: &PullRequest<'_>) -> Result<Pull, Error> {
        self.check_running()?;
        if !perm::is_readable(self.config().permission) {
            return Err(self.broker_forbids("reads"));
        }
        let group = self.groups.require(request.group)?;
        if !group.consume_enable {
            let reason = format!("subscription group no permission, {}", request.group);
            return Err(Error::forbidden(Forbidden::Group, reason));
        }
        let topic = self.topics.require(request.topic)?;
        let config = topic.config();
        if !perm::is_readable(config.perm) {
            let reason = format!("the topic[{}] pulling message is forbidden", request.topic);
            return Err(Error::forbidden(Forbidden::Topic, reason));
        }
        if !(0..config.read_queue_nums).contains(&request.queue_id) {
            return Err(Error::Parameter(format!(
                "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
                request.queue_id, request.topic, config.read_queue_nums
            )));
        }
        let filter = match request.filter {
            Some(text) => self.filter(text)?,
            None => self.subscribed_filter(request, &group)?,
        };
        if let Some(offset) = request.commit {
            self.offsets.commit(request.topic, request.group, request.queue_id, offset);
        }
        let suspend = request.suspend.map(|wait| match self.config().long_polling {
            true => wait.min(Duration::from_millis(SUSPEND_MS_MAX as u64)),
            false => Duration::from_secs(1),
        });
        let place = match request.lite_topic {
            Some(lite_topic) => Place::Lite {
                parent: request.topic.into(),
                name: name::lite_queue(request.topic, lite_topic),
                queue_id: request.queue_id.unsigned_abs(),
            },
            None => Place::Queue(self.queue(&topic, request.queue_id)?),
        };
        Ok(Pull {
            place,
            broker: self.clone(),
            group,
            filter,
            offset: request.offset,
            max_messages: request.max_messages.min(self.config().pull_messages_max).max(1) as usize,
            deadline: suspend.map(|wait| Instant::now() + wait),
            topic_sys_flag: config.topic_sys_flag,
            reset: self.offsets.take_reset(request.topic, request.group, request.queue_id),
        })
    }

    fn subscribed_filter(&self, request: &PullRequest<'_>, group: &GroupConfig) -> Result<Filter, Error> {
        let (group_name, topic) = (request.group, request.topic);
        let missing = || Error::NoSubscription { group: group_name.to_owned(), topic: topic.to_owned() };
        let subscription = self.sessions.subscription(group_name, topic).ok_or_else(missing)?;
        let broadcasts = self.sessions.message_model(group_name) == Some(MessageModel::Broadcasting);
        if broadcasts && !group.consume_broadcast_enable {
            let reason = format!("the consumer group[{group_name}] can not consume by broadcast way");
            return Err(Error::forbidden(Forbidden::Broadcast, reason));
        }
        if !self.groups.may_read(group_name, topic) {
            let reason = format!("the consumer group[{group_name}] is forbidden for topic[{topic}]");
            return Err(Error::forbidden(Forbidden::Subscription, reason));
        }
        let subscription = subscription.ok_or_else(missing)?;
        if subscription.sub_version < request.sub_version {
            return Err(Error::OldSubscription { group: group_name.to_owned(), topic: topic.to_owned() });
        }
        if subscription.class_filter_mode {
            return Ok(Filter::All);
        }
        self.filter(FilterText { kind: subscription.expression_type.as_deref(), expression: &subscription.sub_string })
    }
}

impl Pull {
    /// Reads, waiting for messages until the deadline if nothing new is there. May be dropped at any time.
    ///
    /// # Errors
    /// The store could not read.
    pub async fn run(mut self) -> Result<Pulled, Error> {
        let queue = match &self.place {
            Place::Queue(queue) => Some(queue.clone()),
            Place::Lite { name, queue_id, .. } => self.find_lite(name, *queue_id).await,
        };
        let Some(queue) = queue else { return Ok(self.pulled(None, PullStatus::NoMessageInQueue, 0)) };
        if let Some(offset) = self.reset {
            return Ok(self.pulled(Some(&queue), PullStatus::OffsetReset, offset));
        }
        let mut waited = false;
        loop {
            let pulled = self.read(&queue).await?;
            let deadline = match (pulled.status, self.deadline) {
                (PullStatus::OffsetOverflowOne, Some(deadline)) => deadline,
                // A queue without messages is at offset 0; asking for anything else is a mistake to be told at once.
                (PullStatus::NoMessageInQueue, Some(deadline)) if self.offset == 0 => deadline,
                // What arrived while waiting did not match: wait on from behind it.
                (PullStatus::NoMatchedMessage, Some(deadline)) if waited => deadline,
                _ => return Ok(self.finish(&queue, pulled)),
            };
            self.offset = pulled.next;
            let arrival = queue.wait_beyond(QueueOffset(self.offset.max(0) as u64));
            let in_time = tokio::select! {
                arrived = tokio::time::timeout_at(deadline, arrival) => arrived.is_ok(),
                () = self.broker.stopping.cancelled() => false,
            };
            // A deleted topic ends every wait on its queues; there is nothing more to come.
            if !in_time || queue.is_removed() {
                return Ok(self.finish(&queue, pulled));
            }
            waited = true;
        }
    }

    /// The queue of a lite topic, or of one whose first message comes in time.
    async fn find_lite(&self, name: &str, queue_id: u32) -> Option<Arc<Queue>> {
        loop {
            let found = self.broker.store.find_queue(name, queue_id);
            let deadline = self.deadline.filter(|deadline| self.offset == 0 && Instant::now() < *deadline);
            let Some(deadline) = deadline.filter(|_| found.is_none()) else { return found };
            tokio::select! {
                () = tokio::time::sleep_until(deadline.min(Instant::now() + LITE_LOOK)) => {}
                () = self.broker.stopping.cancelled() => return None,
            }
        }
    }

    /// One attempt. The first rule that applies wins.
    async fn read(&self, queue: &Queue) -> Result<Pulled, Error> {
        let (min, max) = (queue.min_offset().0 as i64, queue.max_offset().0 as i64);
        let offset = self.offset;
        let status = match () {
            () if max == 0 => PullStatus::NoMessageInQueue,
            () if offset < min => PullStatus::OffsetTooSmall,
            () if offset == max => PullStatus::OffsetOverflowOne,
            () if offset > max => PullStatus::OffsetOverflowBadly,
            () => return self.read_entries(queue).await,
        };
        let next = match status {
            PullStatus::NoMessageInQueue => 0,
            PullStatus::OffsetTooSmall => min,
            PullStatus::OffsetOverflowBadly => max,
            _ => offset,
        };
        Ok(self.pulled(Some(queue), status, next))
    }

    async fn read_entries(&self, queue: &Queue) -> Result<Pulled, Error> {
        let (store, filter, max_messages) = (&self.broker.store, &self.filter, self.max_messages);
        let selection = Selection { store, queue, filter, max_messages };
        let selected = selection.from(self.offset as u64).await?;
        let status = match () {
            () if !selected.entries.is_empty() => PullStatus::Found,
            () if selected.removed > 0 => PullStatus::MessageWasRemoving,
            () => PullStatus::NoMatchedMessage,
        };
        let (records, count) = (selected.slices, selected.entries.len());
        Ok(Pulled { records, count, ..self.pulled(Some(queue), status, selected.next) })
    }

    fn pulled(&self, queue: Option<&Queue>, status: PullStatus, next: i64) -> Pulled {
        Pulled {
            status,
            next,
            min: queue.map_or(0, |queue| queue.min_offset().0 as i64),
            max: queue.map_or(0, |queue| queue.max_offset().0 as i64),
            records: Vec::new(),
            count: 0,
            topic_sys_flag: self.topic_sys_flag,
            group_sys_flag: self.group.group_sys_flag,
        }
    }

    fn finish(&self, queue: &Queue, pulled: Pulled) -> Pulled {
        if pulled.count > 0 {
            let bytes = pulled.records.iter().map(Bytes::len).sum();
            // There may be a million lite topics; their parents are counted.
            let topic = match &self.place {
                Place::Lite { parent, .. } => parent,
                Place::Queue(_) => queue.topic(),
            };
            self.broker.stats.delivered(topic, &self.group.group_name, pulled.count, bytes);
        }
        pulled
    }
}
