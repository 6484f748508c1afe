//! Taking messages: the walk over the queues of a topic and its retry topics.
//!
//! Source: `PopMessageProcessor.processRequest`, `popMsgFromQueue`, `getPopOffset`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::GroupConfig;
use protocol::name::RETRY_PREFIX;
use protocol::receipt::{ORDER_REVIVE_QUEUE, Receipt, Retry};
use protocol::record::{NewRecord, RecordView};
use protocol::{name, perm, properties};
use store::{Queue, QueueOffset};
use tokio::time::Instant;

use super::flight::{Flight, detail};
use super::wait::{Bounds, For};
use super::{Pop, PopFrom, PopRequest, PopStatus, Popped, PoppedMessage};
use crate::attribute;
use crate::deliver::{copy_of, encode_in_place_of};
use crate::filter::Filter;
use crate::limits::{INVISIBLE_MAX, INVISIBLE_MS_MAX, POP_MESSAGES_MAX, POP_TRIES_MAX, SUSPEND_MS_MAX};
use crate::select::{Selected, Selection};
use crate::{Broker, Error, Forbidden, Topic};

/// What a walk has found so far.
struct Taken {
    pop_ms: i64,
    messages: Vec<PoppedMessage>,
    bytes: usize,
    /// Messages left in the queues that were walked.
    rest: i64,
    /// When the first ordered queue that is blocked becomes free.
    free_ms: Option<i64>,
}

impl Broker {
    /// Checks a pop.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin_pop(self: &Arc<Self>, request: &PopRequest<'_>) -> Result<Pop, Error> {
        self.check_running()?;
        if !perm::is_readable(self.config().permission) {
            return Err(self.broker_forbids("reads"));
        }
        if !(1..=POP_MESSAGES_MAX).contains(&request.max_messages) {
            let (wanted, topic) = (request.max_messages, request.topic);
            let rule = format!("it must be 1 to {POP_MESSAGES_MAX}");
            return Err(Error::Parameter(format!("maxMsgNums[{wanted}] is illegal, {rule}, topic:[{topic}]")));
        }
        let (topic, group) = self.pop_target(request.topic, request.group, request.queue_id)?;
        let filter = request.filter.map_or(Ok(Filter::All), |text| self.filter(text))?;
        let invisible_ms = i64::try_from(request.invisible.as_millis()).unwrap_or(i64::MAX);
        if invisible_ms > INVISIBLE_MS_MAX {
            return Err(Error::Parameter(format!("invisibleTime[{invisible_ms}] is longer than {INVISIBLE_MS_MAX}")));
        }
        if self.invisible_messages() >= INVISIBLE_MAX {
            return Err(Error::Busy(format!("{INVISIBLE_MAX} popped messages wait for an ack already")));
        }
        let wait = request.wait.min(Duration::from_millis(SUSPEND_MS_MAX as u64));
        Ok(Pop {
            broker: self.clone(),
            topic,
            group,
            queue_id: request.queue_id,
            max_messages: request.max_messages as usize,
            invisible_ms,
            deadline: (!wait.is_zero()).then(|| Instant::now() + wait),
            from: request.from,
            filter,
            order: request.order,
            attempt_id: request.attempt_id.filter(|id| !id.is_empty()).map(Box::from),
        })
    }

    /// The checks of whatever looks for messages of a group.
    pub(super) fn pop_target(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
    ) -> Result<(Arc<Topic>, Arc<GroupConfig>), Error> {
        let topic = self.topics.require(topic)?;
        let config = topic.config();
        if !perm::is_readable(config.perm) {
            let reason = format!("the topic[{}] peeking message is forbidden", topic.name());
            return Err(Error::forbidden(Forbidden::Topic, reason));
        }
        if queue_id >= config.read_queue_nums {
            return Err(Error::Parameter(format!(
                "queueId[{queue_id}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[{group}]",
                topic.name(),
                config.read_queue_nums
            )));
        }
        let group = self.groups.require(group)?;
        if !group.consume_enable {
            let reason = format!("subscription group no permission, {}", group.group_name);
            return Err(Error::forbidden(Forbidden::Group, reason));
        }
        Ok((topic, group))
    }

    /// Names of the retry topics that belong to a topic, whether they exist or not; a retry topic has none.
    pub(super) fn retries_of(&self, topic: &str, group: &str) -> Vec<String> {
        if topic.starts_with(RETRY_PREFIX) {
            return Vec::new();
        }
        let config = self.config();
        let (v1, v2) = (name::pop_retry_topic_v1(group, topic), name::pop_retry_topic_v2(group, topic));
        match (config.pop.retry_topic_v2, config.pop.read_retry_topic_v1) {
            (false, _) => vec![v1],
            (true, true) => vec![v1, v2],
            (true, false) => vec![v2],
        }
    }

    pub(super) fn polling_bounds(&self) -> Bounds {
        let config = self.config();
        Bounds { of_queue: config.pop.polling_of_queue_max, of_all: config.pop.polling_max }
    }

    /// Where a group stands in a queue that it pops. One that never popped begins here, and stays.
    pub(super) async fn pop_cursor(&self, queue: &Queue, group: &str, from: PopFrom) -> Result<i64, Error> {
        let (topic, queue_id) = (&**queue.topic(), queue.id().cast_signed());
        if let Some(offset) = self.offsets.get(topic, group, queue_id) {
            return Ok(offset);
        }
        let (min, max) = (queue.min_offset().0 as i64, queue.max_offset().0 as i64);
        let begin = match from {
            _ if topic.starts_with(RETRY_PREFIX) => min,
            PopFrom::Min => min,
            PopFrom::Max if self.config().pop.init_by_memory && self.is_first_young(queue).await? => 0,
            PopFrom::Max => (max - 1).max(0),
        };
        Ok(self.offsets.begin(topic, group, queue_id, begin))
    }

    /// Whether a queue is still there from its first message on, and that one is young enough to be in memory.
    pub(crate) async fn is_first_young(&self, queue: &Queue) -> Result<bool, Error> {
        if queue.min_offset().0 > 0 {
            return Ok(false);
        }
        let first = self.store.entries(queue, QueueOffset(0), 1).await?;
        let (_, log_end) = self.store.log_range();
        Ok(first.first().is_some_and(|entry| log_end.0 - entry.log_offset.0 <= self.memory_range))
    }
}

impl Pop {
    /// Takes messages, waiting for some until the deadline. May be dropped at any time: what it took by then is
    /// invisible for its time, and comes again.
    ///
    /// # Errors
    /// The store could not read.
    pub async fn run(self) -> Result<Popped, Error> {
        let group = &self.group.group_name;
        let retries = self.broker.retries_of(self.topic.name(), group);
        loop {
            let taken = self.walk(&retries).await?;
            if !taken.messages.is_empty() {
                return Ok(self.found(taken));
            }
            let Some(deadline) = self.deadline.filter(|deadline| Instant::now() < *deadline) else {
                return Ok(self.popped(PopStatus::PollingTimeout, taken));
            };
            if self.broker.topics.get(self.topic.name()).is_none() {
                return Ok(self.popped(PopStatus::PollingTimeout, taken));
            }
            let waiting = &self.broker.pop.waiting;
            let bounds = self.broker.polling_bounds();
            let Some(mut parked) = waiting.park(self.topic.name(), group, For::Pop, self.queue_id, bounds) else {
                return Ok(self.popped(PopStatus::PollingFull, taken));
            };
            self.broker.watch_for_pops(&self.topic, self.queue_id, group, &retries);
            // What arrived between the walk and the watch wakes nobody.
            if self.has_more(&retries) {
                parked.looks();
                tokio::task::yield_now().await;
                continue;
            }
            let free_in = taken.free_ms.map(|free_ms| (free_ms - self.broker.now_ms()).max(1) as u64);
            let free_at = free_in.map(|ms| Instant::now() + Duration::from_millis(ms));
            let until = free_at.map_or(deadline, |free_at| free_at.min(deadline));
            tokio::select! {
                _ = tokio::time::timeout_at(until, parked.woken()) => parked.looks(),
                () = self.broker.stopping.cancelled() => {
                    return Ok(self.popped(PopStatus::PollingTimeout, taken));
                }
            }
        }
    }

    /// One look at all queues, in the order of Java: at times the retry topics first, else after the others.
    async fn walk(&self, retries: &[String]) -> Result<Taken, Error> {
        let pop_ms = self.broker.now_ms();
        let mut taken = Taken { pop_ms, messages: Vec::new(), bytes: 0, rest: 0, free_ms: None };
        let random: u32 = rand::random_range(0..100);
        let priority = self.is_priority(random);
        let retry_percent = {
            let config = self.broker.config();
            if priority { config.pop.retry_percent_of_priority } else { config.pop.retry_percent }
        };
        let retry_first = rand::random_range(0..100) < retry_percent;
        if retry_first {
            self.walk_retries(retries, &mut taken).await?;
        }
        if self.queue_id >= 0 {
            self.take(&self.topic, self.queue_id, &mut taken).await?;
        } else {
            let queues = self.topic.config().read_queue_nums;
            let start = if priority || queues == 0 { 0 } else { rand::random_range(0..queues) };
            let descending = priority && self.broker.config().pop.priority_ascending;
            for step in 0..queues {
                let queue_id = (start + step) % queues;
                let queue_id = if descending { queues - 1 - queue_id } else { queue_id };
                self.take(&self.topic, queue_id, &mut taken).await?;
            }
        }
        if !retry_first {
            self.walk_retries(retries, &mut taken).await?;
        }
        Ok(taken)
    }

    async fn walk_retries(&self, retries: &[String], taken: &mut Taken) -> Result<(), Error> {
        // What is popped in order comes again from its own queue.
        if self.order {
            return Ok(());
        }
        for retry in retries {
            let Some(topic) = self.broker.topics.get(retry) else { continue };
            for queue_id in 0..topic.config().read_queue_nums {
                self.take(&topic, queue_id, taken).await?;
            }
        }
        Ok(())
    }

    /// Whether the queues are walked by priority this time. Source: `PopMessageProcessor.isPriority`,
    /// `SubscriptionGroupAttributes.PRIORITY_FACTOR_ATTRIBUTE`.
    fn is_priority(&self, random: u32) -> bool {
        if self.order
            || self.topic.config().attributes.get(attribute::MESSAGE_TYPE).is_none_or(|kind| kind != "PRIORITY")
        {
            return false;
        }
        let factor = self.group.attributes.get(attribute::PRIORITY_FACTOR).and_then(|factor| factor.parse().ok());
        random < factor.unwrap_or(100)
    }

    /// Takes what there is of one queue, as far as there is room.
    async fn take(&self, topic: &Topic, queue_id: i32, taken: &mut Taken) -> Result<(), Error> {
        let (broker, group) = (&*self.broker, &self.group.group_name);
        let Some(queue) = topic.queue(&broker.store, queue_id) else { return Ok(()) };
        let room = self.max_messages - taken.messages.len();
        let retried = !std::ptr::eq(topic, &*self.topic);
        let filter = if retried { &Filter::All } else { &self.filter };
        let mut collisions = 0;
        loop {
            if broker.offsets.take_reset(topic.name(), group, queue_id).is_some() {
                broker.pop.orders.clear(topic.name(), group, queue_id);
            }
            if let Some(free_ms) = self.blocked_until(topic.name(), queue_id) {
                taken.free_ms = Some(taken.free_ms.map_or(free_ms, |first| first.min(free_ms)));
                return Ok(());
            }
            let at = broker.pop_cursor(queue, group, self.from).await?;
            let (min, max) = (queue.min_offset().0 as i64, queue.max_offset().0 as i64);
            if at > max {
                // Behind the end: the log lost it, or somebody committed nonsense. Source: OFFSET_OVERFLOW_BADLY.
                broker.offsets.advance(topic.name(), group, queue_id, at, max, || ());
                return Ok(());
            }
            if at == max {
                return Ok(());
            }
            if room == 0 || collisions == POP_TRIES_MAX {
                taken.rest += max - at.max(min);
                return Ok(());
            }
            let selection = Selection { store: &broker.store, queue, filter, max_messages: room };
            let selected = selection.from(at.max(min) as u64).await?;
            if !self.claim(topic, queue_id, at, &selected, taken)? {
                collisions += 1;
                continue;
            }
            let next = selected.next;
            self.hand_out(topic, queue_id, selected, retried, taken);
            if taken.messages.len() == self.max_messages - room && next > at && next < max {
                // Nothing matched so far.
                tokio::task::yield_now().await;
                continue;
            }
            taken.rest += (max - next).max(0);
            return Ok(());
        }
    }

    fn blocked_until(&self, topic: &str, queue_id: i32) -> Option<i64> {
        if !self.order {
            return None;
        }
        let line = self.broker.pop.orders.find(topic, &self.group.group_name)?;
        let queues = line.lock();
        queues.batches.get(&queue_id)?.blocked_until(self.attempt_id.as_deref(), self.broker.now_ms())
    }

    /// Makes the selected messages those of this pop, unless somebody else was faster: then `false`.
    fn claim(
        &self,
        topic: &Topic,
        queue_id: i32,
        from: i64,
        selected: &Selected,
        taken: &Taken,
    ) -> Result<bool, Error> {
        let (broker, group) = (&*self.broker, &self.group.group_name);
        let offsets = &broker.offsets;
        if selected.entries.is_empty() {
            return Ok(offsets.advance(topic.name(), group, queue_id, from, selected.next, || ()));
        }
        if self.order {
            return Ok(self.claim_in_order(topic, queue_id, from, selected, taken.pop_ms));
        }
        let owner = broker.pop.owners.find_or_make(topic.name(), group)?;
        let visible_ms = taken.pop_ms + self.invisible_ms;
        let key = |offset: QueueOffset| Flight { owner: owner.number, queue_id, offset: offset.0, visible_ms }.key();
        let keys: Vec<_> = selected.entries.iter().map(|entry| key(entry.queue_offset)).collect();
        let change = broker.due.change();
        let begin = || broker.pop.flights.begin(&change, &keys, detail(self.invisible_ms, false));
        Ok(offsets.advance(topic.name(), group, queue_id, from, selected.next, begin))
    }

    /// The same in order: the offset stays, and the batch is remembered.
    fn claim_in_order(&self, topic: &Topic, queue_id: i32, from: i64, selected: &Selected, pop_ms: i64) -> bool {
        let (broker, group) = (&*self.broker, &self.group.group_name);
        let line = broker.pop.orders.find_or_make(topic.name(), group);
        let mut queues = line.lock();
        if broker.offsets.get(topic.name(), group, queue_id) != Some(from) {
            return false;
        }
        let batch = queues.batches.entry(queue_id).or_default();
        let attempt_id = self.attempt_id.as_deref();
        if batch.blocked_until(attempt_id, broker.now_ms()).is_some() {
            return false;
        }
        let offsets: Vec<i64> = selected.entries.iter().map(|entry| entry.queue_offset.0 as i64).collect();
        batch.hand_out(attempt_id, pop_ms, self.invisible_ms, &offsets, || message_groups(selected));
        // A crash may have taken the offset behind what the state knows to be acked.
        if batch.is_done() {
            broker.offsets.commit(topic.name(), group, queue_id, selected.next);
        }
        queues.touch(queue_id);
        true
    }

    fn hand_out(&self, topic: &Topic, queue_id: i32, mut selected: Selected, retried: bool, taken: &mut Taken) {
        let Some(start_offset) = selected.entries.first().map(|first| first.queue_offset.0 as i64) else { return };
        let broker_name: Arc<str> = self.broker.pop.broker_name.clone();
        let line = self.order.then(|| self.broker.pop.orders.find(topic.name(), &self.group.group_name)).flatten();
        let queues = line.as_ref().map(|line| line.lock());
        let batch = queues.as_ref().and_then(|queues| queues.batches.get(&queue_id));
        for (entry, record) in selected.records() {
            let Ok(view) = RecordView::parse(&record) else { continue };
            let queue_offset = entry.queue_offset.0 as i64;
            if batch.is_some_and(|batch| batch.has_acked(queue_offset)) {
                continue;
            }
            let receipt = Receipt {
                start_offset,
                pop_ms: taken.pop_ms,
                invisible_ms: self.invisible_ms,
                revive_queue: self.revive_queue(),
                retry: Retry::of_topic(topic.name()),
                broker_name: broker_name.clone(),
                queue_id,
                queue_offset,
                log_offset: None,
            };
            let deliveries = batch.map_or(view.reconsume_times(), |batch| batch.count(queue_offset));
            taken.bytes += record.len();
            let rename = retried && !self.broker.config().pop.answer_retry_topic;
            let renamed = rename.then(|| under_original_topic(&view, self.topic.name(), &receipt)).flatten();
            taken.messages.push(PoppedMessage { record: renamed.unwrap_or(record), receipt, deliveries });
        }
    }

    /// Whether a walk would find anything.
    fn has_more(&self, retries: &[String]) -> bool {
        let attempt_id = self.attempt_id.as_deref();
        self.broker.has_poppable(&self.topic, &self.group.group_name, self.queue_id, self.order, attempt_id, retries)
    }

    /// Which revive queue the receipts name: there is one of each kind.
    fn revive_queue(&self) -> i32 {
        if self.order { ORDER_REVIVE_QUEUE } else { 0 }
    }

    fn found(&self, taken: Taken) -> Popped {
        let (topic, group) = (self.topic.name(), &self.group.group_name);
        self.broker.stats.delivered(topic, group, taken.messages.len(), taken.bytes);
        if taken.rest > 0 {
            self.broker.pop.waiting.wake(topic, group, self.queue_id);
        }
        self.popped(PopStatus::Found, taken)
    }

    fn popped(&self, status: PopStatus, taken: Taken) -> Popped {
        Popped {
            status,
            pop_ms: taken.pop_ms,
            invisible_ms: self.invisible_ms,
            revive_queue: self.revive_queue(),
            rest: taken.rest,
            messages: taken.messages,
        }
    }
}

/// The message group of each record, empty for those that have none.
fn message_groups(selected: &Selected) -> Vec<String> {
    let (slices, entries) = (selected.slices.clone(), selected.entries.clone());
    let mut selected = Selected { slices, entries, ..Selected::default() };
    let group = |record: &Bytes| {
        let view = RecordView::parse(record).ok()?;
        view.property(properties::SHARDING_KEY).map(str::to_owned)
    };
    selected.records().map(|(_, record)| group(&record).unwrap_or_default()).collect()
}

/// A record of a retry topic as one of the topic that was popped, with its receipt. Source:
/// `PopMessageProcessor.popMsgFromQueue`.
fn under_original_topic(record: &RecordView<'_>, topic: &str, receipt: &Receipt) -> Option<Bytes> {
    let mut text = record.properties().to_owned();
    if properties::get(&text, properties::POP_CK).is_none() {
        properties::push(&mut text, properties::POP_CK, &receipt.to_string());
    }
    let shown = NewRecord { topic, ..copy_of(record, &text) };
    encode_in_place_of(record, &shown)
}
