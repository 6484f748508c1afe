//! Pull: read a queue from an offset on, or wait until there is something to read.
//!
//! Source: `PullMessageProcessor`, `DefaultMessageStore.getMessage`, `PullRequestHoldService`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::{GroupConfig, MessageModel};
use protocol::perm;
use store::{Queue, QueueOffset};
use tokio::time::Instant;

use crate::filter::Filter;
use crate::limits::{PULL_MESSAGES_MAX, SUSPEND_MS_MAX};
use crate::select::Selection;
use crate::{Broker, Error, FilterText, Forbidden};

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub struct PullRequest<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
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
    queue: Arc<Queue>,
    group: Arc<GroupConfig>,
    filter: Filter,
    offset: i64,
    max_messages: usize,
    deadline: Option<Instant>,
    topic_sys_flag: i32,
    reset: Option<i64>,
}

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
        Ok(Pull {
            queue: self.queue(&topic, request.queue_id)?,
            broker: self.clone(),
            group,
            filter,
            offset: request.offset,
            max_messages: request.max_messages.clamp(1, PULL_MESSAGES_MAX as i32) as usize,
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
        if let Some(offset) = self.reset {
            return Ok(self.pulled(PullStatus::OffsetReset, offset));
        }
        let mut waited = false;
        loop {
            let pulled = self.read().await?;
            let deadline = match (pulled.status, self.deadline) {
                (PullStatus::OffsetOverflowOne, Some(deadline)) => deadline,
                // A queue without messages is at offset 0; asking for anything else is a mistake to be told at once.
                (PullStatus::NoMessageInQueue, Some(deadline)) if self.offset == 0 => deadline,
                // What arrived while waiting did not match: wait on from behind it.
                (PullStatus::NoMatchedMessage, Some(deadline)) if waited => deadline,
                _ => return Ok(self.finish(pulled)),
            };
            self.offset = pulled.next;
            let arrival = self.queue.wait_beyond(QueueOffset(self.offset.max(0) as u64));
            let in_time = tokio::select! {
                arrived = tokio::time::timeout_at(deadline, arrival) => arrived.is_ok(),
                () = self.broker.stopping.cancelled() => false,
            };
            // A deleted topic ends every wait on its queues; there is nothing more to come.
            if !in_time || self.queue.is_removed() {
                return Ok(self.finish(pulled));
            }
            waited = true;
        }
    }

    /// One attempt. The first rule that applies wins.
    async fn read(&self) -> Result<Pulled, Error> {
        let (min, max) = (self.queue.min_offset().0 as i64, self.queue.max_offset().0 as i64);
        let offset = self.offset;
        let status = match () {
            () if max == 0 => PullStatus::NoMessageInQueue,
            () if offset < min => PullStatus::OffsetTooSmall,
            () if offset == max => PullStatus::OffsetOverflowOne,
            () if offset > max => PullStatus::OffsetOverflowBadly,
            () => return self.read_entries().await,
        };
        let next = match status {
            PullStatus::NoMessageInQueue => 0,
            PullStatus::OffsetTooSmall => min,
            PullStatus::OffsetOverflowBadly => max,
            _ => offset,
        };
        Ok(self.pulled(status, next))
    }

    async fn read_entries(&self) -> Result<Pulled, Error> {
        let selection = Selection {
            store: &self.broker.store,
            queue: &self.queue,
            filter: &self.filter,
            max_messages: self.max_messages,
        };
        let selected = selection.from(self.offset as u64).await?;
        let status = match () {
            () if !selected.entries.is_empty() => PullStatus::Found,
            () if selected.removed > 0 => PullStatus::MessageWasRemoving,
            () => PullStatus::NoMatchedMessage,
        };
        let (records, count) = (selected.slices, selected.entries.len());
        Ok(Pulled { records, count, ..self.pulled(status, selected.next) })
    }

    fn pulled(&self, status: PullStatus, next: i64) -> Pulled {
        Pulled {
            status,
            next,
            min: self.queue.min_offset().0 as i64,
            max: self.queue.max_offset().0 as i64,
            records: Vec::new(),
            count: 0,
            topic_sys_flag: self.topic_sys_flag,
            group_sys_flag: self.group.group_sys_flag,
        }
    }

    fn finish(&self, pulled: Pulled) -> Pulled {
        if pulled.count > 0 {
            let bytes = pulled.records.iter().map(Bytes::len).sum();
            self.broker.stats.delivered(self.queue.topic(), &self.group.group_name, pulled.count, bytes);
        }
        pulled
    }
}
