//! Looking without taking: is there anything, what would a pop return, how many wait.
//!
//! Source: `NotificationProcessor`, `PeekMessageProcessor`, `PollingInfoProcessor`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::GroupConfig;
use protocol::perm;
use store::Queue;
use tokio::time::Instant;

use super::wait::For;
use crate::filter::Filter;
use crate::limits::{NOTICE_ENTRIES, NOTICE_SCANNED_BACKLOG, POP_MESSAGES_MAX, SUSPEND_MS_MAX};
use crate::select::Selection;
use crate::{Broker, Error, FilterText, Topic};

/// Who asks whether there is anything to pop.
#[derive(Debug, Clone)]
pub struct NoticeRequest<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Queue; -1 means all.
    pub queue_id: i32,
    /// Longest wait; zero answers at once.
    pub wait: Duration,
    /// The pop will be in order.
    pub order: bool,
    /// With this attempt id.
    pub attempt_id: Option<&'a str>,
    /// And this filter; `None` means all.
    pub filter: Option<FilterText<'a>>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// There is something to pop, most likely.
    pub has_message: bool,
    /// Too many wait already.
    pub polling_full: bool,
}

/// A question that passed all checks.
pub struct NoticeWait {
    broker: Arc<Broker>,
    topic: Arc<Topic>,
    group: Arc<GroupConfig>,
    queue_id: i32,
    order: bool,
    attempt_id: Option<Box<str>>,
    filter: Filter,
    deadline: Option<Instant>,
}

/// Messages that were looked at, not taken.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Messages left behind them.
    pub rest: i64,
    /// Records.
    pub records: Vec<Bytes>,
}

impl Broker {
    /// Checks the question whether there is anything to pop.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin_notice(self: &Arc<Self>, request: &NoticeRequest<'_>) -> Result<NoticeWait, Error> {
        self.check_running()?;
        if !perm::is_readable(self.config().permission) {
            return Err(self.broker_forbids("reads"));
        }
        let (topic, group) = self.pop_target(request.topic, request.group, request.queue_id)?;
        let wait = request.wait.min(Duration::from_millis(SUSPEND_MS_MAX as u64));
        Ok(NoticeWait {
            broker: self.clone(),
            topic,
            group,
            queue_id: request.queue_id,
            order: request.order,
            attempt_id: request.attempt_id.filter(|id| !id.is_empty()).map(Box::from),
            filter: request.filter.map_or(Ok(Filter::All), |text| self.filter(text))?,
            deadline: (!wait.is_zero()).then(|| Instant::now() + wait),
        })
    }

    /// Messages that a pop would find, without taking them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn peek(&self, topic: &str, group: &str, queue_id: i32, max_messages: i32) -> Result<Peeked, Error> {
        self.check_running()?;
        let (topic, group) = self.pop_target(topic, group, queue_id)?;
        let mut peeked = Peeked { at_ms: self.now_ms(), rest: 0, records: Vec::new() };
        let mut room = max_messages.clamp(0, POP_MESSAGES_MAX) as usize;
        let retries = self.retries_of(topic.name(), &group.group_name);
        for queue in self.queues_to_pop(&topic, queue_id, &retries) {
            let max = queue.max_offset().0 as i64;
            let at = max - self.backlog(&queue, &group.group_name);
            let mut next = at;
            if room > 0 && at < max {
                let selection =
                    Selection { store: &self.store, queue: &queue, filter: &Filter::All, max_messages: room };
                let selected = selection.from(at as u64).await?;
                room -= selected.entries.len();
                next = selected.next;
                peeked.records.extend(selected.slices);
            }
            peeked.rest += (max - next).max(0);
        }
        Ok(peeked)
    }

    /// How many pops of a group wait for a queue, or, with -1, for all queues of a topic.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn waiting_pops(&self, topic: &str, group: &str, queue_id: i32) -> Result<usize, Error> {
        self.check_running()?;
        let (topic, group) = self.pop_target(topic, group, queue_id)?;
        Ok(self.pop.waiting.len(topic.name(), &group.group_name, queue_id))
    }

    /// The queues that a pop looks at.
    fn queues_to_pop(&self, topic: &Arc<Topic>, queue_id: i32, retries: &[String]) -> Vec<Arc<Queue>> {
        let all = 0..topic.config().read_queue_nums;
        let ids = if queue_id >= 0 { queue_id..queue_id + 1 } else { all };
        let mut queues: Vec<_> = ids.filter_map(|id| topic.queue(&self.store, id).cloned()).collect();
        for retry in retries.iter().filter_map(|retry| self.topics.get(retry)) {
            queues.extend((0..retry.config().read_queue_nums).filter_map(|id| retry.queue(&self.store, id).cloned()));
        }
        queues
    }

    /// Whether a pop would find anything.
    pub(super) fn has_poppable(
        &self,
        topic: &Arc<Topic>,
        group: &str,
        queue_id: i32,
        order: bool,
        attempt_id: Option<&str>,
        retries: &[String],
    ) -> bool {
        let retries = if order { &[] } else { retries };
        let queues = self.queues_to_pop(topic, queue_id, retries);
        queues
            .iter()
            .any(|queue| self.backlog(queue, group) > 0 && !(order && self.is_blocked(queue, group, attempt_id)))
    }

    fn backlog(&self, queue: &Queue, group: &str) -> i64 {
        let min = queue.min_offset().0 as i64;
        let at = self.offsets.get(queue.topic(), group, queue.id().cast_signed()).unwrap_or(min);
        queue.max_offset().0 as i64 - at.max(min)
    }

    fn is_blocked(&self, queue: &Queue, group: &str, attempt_id: Option<&str>) -> bool {
        let Some(line) = self.pop.orders.find(queue.topic(), group) else { return false };
        let queues = line.lock();
        let batch = queues.batches.get(&queue.id().cast_signed());
        batch.is_some_and(|batch| batch.blocked_until(attempt_id, self.now_ms()).is_some())
    }
}

impl NoticeWait {
    /// Answers as soon as there is something, or at the end of the wait. May be dropped at any time.
    ///
    /// # Errors
    /// The store could not read.
    pub async fn run(self) -> Result<Notice, Error> {
        let group = &self.group.group_name;
        let retries = self.broker.retries_of(self.topic.name(), group);
        let none = Notice { has_message: false, polling_full: false };
        loop {
            if self.has_message(&retries).await? {
                return Ok(Notice { has_message: true, polling_full: false });
            }
            let Some(deadline) = self.deadline.filter(|deadline| Instant::now() < *deadline) else { return Ok(none) };
            let bounds = self.broker.polling_bounds();
            let waiting = &self.broker.pop.waiting;
            let Some(mut parked) = waiting.park(self.topic.name(), group, For::Notice, self.queue_id, bounds) else {
                return Ok(Notice { has_message: false, polling_full: true });
            };
            self.broker.watch_for_pops(&self.topic, self.queue_id, group, &retries);
            if self.has_message(&retries).await? {
                continue;
            }
            tokio::select! {
                _ = tokio::time::timeout_at(deadline, parked.woken()) => parked.looks(),
                () = self.broker.stopping.cancelled() => return Ok(none),
            }
            if self.broker.topics.get(self.topic.name()).is_none() {
                return Ok(none);
            }
        }
    }

    /// Source: `NotificationProcessor.hasMsgFromQueue`: a short backlog is looked through for the tags.
    async fn has_message(&self, retries: &[String]) -> Result<bool, Error> {
        let (broker, group) = (&*self.broker, self.group.group_name.as_str());
        let attempt_id = self.attempt_id.as_deref();
        let retries = if self.order { &[] } else { retries };
        for queue in broker.queues_to_pop(&self.topic, self.queue_id, retries) {
            let backlog = broker.backlog(&queue, group);
            if backlog <= 0 || self.order && broker.is_blocked(&queue, group, attempt_id) {
                continue;
            }
            let own = **queue.topic() == *self.topic.name();
            if !own || !matches!(self.filter, Filter::Tags(_)) || backlog >= NOTICE_SCANNED_BACKLOG {
                return Ok(true);
            }
            let at = store::QueueOffset((queue.max_offset().0 as i64 - backlog).max(0) as u64);
            let entries = broker.store.entries(&queue, at, NOTICE_ENTRIES).await?;
            if entries.iter().any(|entry| self.filter.may_match(entry.tag_code)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
