//! Popping, acking, and more time, of lite topics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::name::parse_lite_queue;
use protocol::perm;
use protocol::receipt::{ORDER_REVIVE_QUEUE, Receipt, Retry};
use store::{Queue, QueueOffset};
use tokio::time::Instant;

use super::line::{Lines, Place};
use super::registry::{LiteQueue, Look, Who};
use super::subscribe::{bound_topic, events_max};
use crate::attribute::MESSAGE_TYPE;
use crate::limits::SUSPEND_MS_MAX;
use crate::pop::Acked;
use crate::{Ack, Broker, ChangeInvisible, Error, Forbidden, Invisible, PopStatus, Popped, PoppedMessage};

/// What a client asks for.
#[derive(Debug, Clone)]
pub struct PopLiteRequest<'a> {
    /// Client, as it subscribed.
    pub client_id: &'a str,
    /// Consumer group.
    pub group: &'a str,
    /// Parent topic.
    pub topic: &'a str,
    /// Most messages wanted.
    pub max_messages: i32,
    /// For how long nobody else sees them.
    pub invisible: Duration,
    /// Longest wait; zero answers at once.
    pub wait: Duration,
    /// Who asks again with the same word is given the same messages again.
    pub attempt_id: Option<&'a str>,
}

/// A pop that passed all checks.
pub struct PopLite {
    broker: Arc<Broker>,
    client_id: String,
    group: Arc<str>,
    topic: Arc<str>,
    room: usize,
    invisible_ms: i64,
    deadline: Option<Instant>,
    attempt_id: Option<String>,
}

/// What there is in one lite topic.
enum There {
    Nothing,
    /// There is something that consumers may not see yet.
    Soon(Arc<Queue>, QueueOffset),
}

/// Names that are listed in one go while everything is looked at.
const LOOK_NAMES: usize = 1024;

/// Longest wait for a message that is in the log but not durable yet, before everything else is looked at again.
const SOON: Duration = Duration::from_secs(1);

impl Broker {
    /// Checks a pop of lite topics.
    ///
    /// # Errors
    /// In the order of Java's checks.
    pub fn begin_pop_lite(self: &Arc<Self>, request: &PopLiteRequest<'_>) -> Result<PopLite, Error> {
        self.check_running()?;
        if !perm::is_readable(self.config().permission) {
            return Err(self.broker_forbids("reads"));
        }
        if request.max_messages > MESSAGES_MAX {
            return Err(Error::Parameter(format!("a pop takes at most {MESSAGES_MAX} messages")));
        }
        let topic = self.topics.require(request.topic)?;
        if !perm::is_readable(topic.config().perm) {
            let reason = format!("the topic[{}] pop message is forbidden", request.topic);
            return Err(Error::forbidden(Forbidden::Topic, reason));
        }
        self.require_lite_topic(request.topic)?;
        let group = self.groups.get(request.group).ok_or_else(|| Error::UnknownGroup(request.group.to_owned()))?;
        if !group.consume_enable {
            let reason = format!("subscription group no permission, {}", request.group);
            return Err(Error::forbidden(Forbidden::Group, reason));
        }
        self.require_bound(request.group, request.topic)?;
        let who = Who {
            client: request.client_id,
            group: request.group,
            parent: request.topic,
            connection: None,
            events_max: events_max(&group),
        };
        self.lite.registry.heard(who, false, self.now_ms());
        let wait = request.wait.min(Duration::from_millis(SUSPEND_MS_MAX as u64));
        Ok(PopLite {
            broker: self.clone(),
            client_id: request.client_id.to_owned(),
            group: request.group.into(),
            topic: request.topic.into(),
            room: request.max_messages.max(1) as usize,
            invisible_ms: i64::try_from(request.invisible.as_millis()).unwrap_or(i64::MAX),
            deadline: (!wait.is_zero()).then(|| Instant::now() + wait),
            attempt_id: request.attempt_id.map(str::to_owned),
        })
    }

    pub(super) fn require_lite_topic(&self, topic: &str) -> Result<(), Error> {
        let config = self.topics.require(topic)?;
        match config.config().attributes.get(MESSAGE_TYPE).map(String::as_str) {
            Some("LITE") => Ok(()),
            _ => Err(Error::Parameter(format!(
                "the topic {topic} is no parent of lite topics: its message.type is not LITE"
            ))),
        }
    }

    pub(super) fn require_bound(&self, group: &str, topic: &str) -> Result<(), Error> {
        let config = self.groups.get(group).ok_or_else(|| Error::UnknownGroup(group.to_owned()))?;
        match bound_topic(&config) {
            Some(bound) if bound == topic => Ok(()),
            Some(bound) => {
                Err(Error::Parameter(format!("the group {group} is bound to the topic {bound}, not {topic}")))
            }
            None => Err(Error::Parameter(format!("the group {group} reads no lite topics: it has no lite.bind.topic"))),
        }
    }

    /// One client of the group is to look at a lite topic.
    pub(super) fn lite_offer(&self, (group, name): &Place) {
        if let Some((parent, _)) = parse_lite_queue(name) {
            self.lite.registry.offer(group, parent, name, None);
        }
    }

    /// Says that a message of a lite topic was consumed.
    ///
    /// # Errors
    /// The receipt is not of a lite topic, or names something that never was.
    pub fn ack_lite(&self, ack: &Ack<'_>, lite_topic: &str) -> Result<(), Error> {
        let (name, offset) =
            self.lite_place(ack.topic, ack.group, ack.queue_id, ack.queue_offset, ack.receipt, lite_topic)?;
        if offset < self.offsets.get(&name, ack.group, 0).unwrap_or(0) {
            return Ok(());
        }
        let place: Place = (ack.group.into(), name);
        let now_ms = self.now_ms();
        let acked = self.lite.lines.change(&place, |batch| {
            let acked = batch.ack(offset, ack.receipt.pop_ms, now_ms);
            (acked, batch.blocked_until(None, now_ms).is_none())
        });
        let (next, free) = match acked {
            // Nothing is known of it, after a restart for one: the client knows best.
            None => (offset + 1, true),
            Some((Acked::Next(next), free)) => (next, free),
            Some((Acked::Stale, _)) => return Ok(()),
            Some((Acked::NotPopped, _)) => {
                return Err(Error::MessageIllegal(format!("offset {offset} was not popped with this receipt")));
            }
        };
        self.offsets.commit(&place.1, ack.group, 0, next);
        if free {
            self.lite_offer_if_more(&place);
        }
        Ok(())
    }

    /// Changes for how long a message of a lite topic is invisible; of the whole lite topic, if the delivery did not
    /// count.
    ///
    /// # Errors
    /// See [`Broker::ack_lite`].
    pub fn change_invisible_lite(&self, change: &ChangeInvisible<'_>, lite_topic: &str) -> Result<Invisible, Error> {
        let (name, offset) = self.lite_place(
            change.topic,
            change.group,
            change.queue_id,
            change.queue_offset,
            change.receipt,
            lite_topic,
        )?;
        let Receipt { pop_ms, invisible_ms, revive_queue, .. } = *change.receipt;
        if offset < self.offsets.get(&name, change.group, 0).unwrap_or(0) {
            return Ok(Invisible { pop_ms, invisible_ms, revive_queue });
        }
        let visible_ms = self.now_ms().saturating_add(i64::try_from(change.invisible.as_millis()).unwrap_or(i64::MAX));
        let place: Place = (change.group.into(), name);
        self.lite.lines.change(&place, |batch| {
            if change.suspend {
                batch.suspend(pop_ms, visible_ms);
            } else {
                batch.set_visible(offset, pop_ms, visible_ms);
            }
        });
        self.lite.lines.look_at(visible_ms, place);
        Ok(Invisible { pop_ms, invisible_ms: visible_ms - pop_ms, revive_queue })
    }

    /// Queue and offset that a receipt stands for.
    fn lite_place(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
        receipt: &Receipt,
        lite_topic: &str,
    ) -> Result<(LiteQueue, i64), Error> {
        self.require_bound(group, topic)?;
        if queue_id != 0 || !receipt.is_order() {
            return Err(Error::Parameter("the receipt is not of a lite topic".into()));
        }
        let name = self.lite_queue_name(topic, lite_topic);
        let (_, max) = self.queue_range(&name, 0);
        if offset > max {
            return Err(Error::NoMessage(format!(
                "offset {offset} of lite topic {lite_topic} lies behind its end {max}"
            )));
        }
        Ok((name, offset))
    }

    fn lite_offer_if_more(&self, place: &Place) {
        if self.lite_has_more(&place.0, &place.1) {
            self.lite_offer(place);
        }
    }

    /// Tells clients of messages that were handed out and not acked in time, until the broker stops.
    pub(crate) async fn run_lite(self: Arc<Self>) {
        let stopping = self.stopping.clone();
        let work = async {
            loop {
                let (due, next_ms) = self.lite.lines.due(self.now_ms());
                due.iter().for_each(|place| self.lite_offer_if_more(place));
                let left = next_ms.map_or(LOOK_MS_MAX, |ms| (ms - self.now_ms()).clamp(0, LOOK_MS_MAX));
                let _ = tokio::time::timeout(Duration::from_millis(left as u64), self.lite.lines.earlier()).await;
            }
        };
        stopping.run_until_cancelled(work).await;
    }
}

/// Source: `PopLiteMessageProcessor.preCheck`.
const MESSAGES_MAX: i32 = 32;

/// Longest sleep, because the clock of the machine may be set while we sleep.
const LOOK_MS_MAX: i64 = 60_000;

impl PopLite {
    /// Takes messages, waiting for some until the deadline. May be dropped at any time.
    ///
    /// # Errors
    /// The store could not read.
    pub async fn run(self) -> Result<Popped, Error> {
        let broker = &*self.broker;
        let registry = &broker.lite.registry;
        let pop_ms = broker.now_ms();
        loop {
            let Some(poll) = registry.poll(&self.client_id) else {
                return Ok(self.popped(PopStatus::PollingFull, pop_ms));
            };
            self.offer_what_was_missed();
            let mut popped = self.popped(PopStatus::Found, broker.now_ms());
            let mut soon = Vec::new();
            while popped.messages.len() < self.room
                && let Some(name) = registry.take(&self.client_id, broker.now_ms())
            {
                if let There::Soon(queue, offset) = self.look(&name, &mut popped).await? {
                    soon.push((queue, offset));
                }
            }
            if !popped.messages.is_empty() || self.deadline.is_none() {
                soon.iter().for_each(|(queue, _)| registry.offer_to(&self.client_id, queue.topic()));
                let status = if popped.messages.is_empty() { PopStatus::PollingTimeout } else { PopStatus::Found };
                return Ok(Popped { status, ..popped });
            }
            let deadline = self.deadline.expect("looked at above");
            if registry.is_looking(&self.client_id) && Instant::now() < deadline {
                // Others have what was found so far; there is more to look at.
                soon.iter().for_each(|(queue, _)| registry.offer_to(&self.client_id, queue.topic()));
                tokio::task::yield_now().await;
                continue;
            }
            let until = if soon.is_empty() { deadline } else { deadline.min(Instant::now() + SOON) };
            let arrival = async {
                match soon.first() {
                    Some((queue, offset)) => queue.wait_beyond(*offset).await,
                    None => poll.woken().await,
                }
            };
            let in_time = tokio::select! {
                arrived = tokio::time::timeout_at(until, arrival) => arrived.is_ok(),
                () = broker.stopping.cancelled() => return Ok(self.popped(PopStatus::PollingTimeout, pop_ms)),
            };
            soon.iter().for_each(|(queue, _)| registry.offer_to(&self.client_id, queue.topic()));
            if !in_time && until == deadline {
                return Ok(self.popped(PopStatus::PollingTimeout, pop_ms));
            }
        }
    }

    fn popped(&self, status: PopStatus, pop_ms: i64) -> Popped {
        let (invisible_ms, revive_queue) = (self.invisible_ms, ORDER_REVIVE_QUEUE);
        Popped { status, pop_ms, invisible_ms, revive_queue, rest: 0, messages: Vec::new() }
    }

    /// Events found no room, or the client is new: everything it wants is looked at once, a part of it at a time if it
    /// finds much.
    fn offer_what_was_missed(&self) {
        let (lite, client) = (&self.broker.lite, &self.client_id);
        let Some(Look { mut behind, wildcard }) = lite.registry.begin_look(client) else { return };
        loop {
            let names = match wildcard {
                true => lite.names_behind(&self.topic, behind.as_ref(), LOOK_NAMES),
                false => lite.registry.names_behind(client, behind.as_ref(), LOOK_NAMES),
            };
            if names.is_empty() {
                return;
            }
            for name in names {
                if self.broker.lite_has_more(&self.group, &name)
                    && !lite.registry.offer_looked_at(client, &name, behind.as_ref())
                {
                    return;
                }
                behind = Some(name);
            }
        }
    }

    /// Takes what there is of one lite topic.
    async fn look(&self, name: &LiteQueue, popped: &mut Popped) -> Result<There, Error> {
        let broker = &*self.broker;
        let Some(queue) = broker.store.find_queue(name, 0) else { return Ok(There::Nothing) };
        let Some(reading) = Lines::read(broker, (self.group.clone(), name.clone())) else { return Ok(There::Nothing) };
        let attempt_id = self.attempt_id.as_deref();
        if reading.batch(|batch| batch.blocked_until(attempt_id, popped.pop_ms)).is_some() {
            return Ok(There::Nothing);
        }
        let first = self.first_offset(name, &queue).await?;
        let entries =
            broker.store.entries(&queue, QueueOffset(first as u64), self.room - popped.messages.len()).await?;
        if entries.is_empty() {
            let unseen = queue.next_offset().0 as i64 > first;
            return Ok(if unseen { There::Soon(queue, QueueOffset(first as u64)) } else { There::Nothing });
        }
        // What was acked out of turn stays in the batch, which knows it for as long as one before it is open.
        let mut offsets: Vec<i64> = Vec::with_capacity(entries.len());
        let mut found: Vec<(i64, Bytes)> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let offset = entry.queue_offset.0 as i64;
            if reading.batch(|batch| batch.has_acked(offset)) {
                offsets.push(offset);
                continue;
            }
            let slices = broker.store.read(&[(entry.log_offset, entry.size)]).await?;
            if let Some(record) = slices.into_iter().find_map(|slice| slice.bytes) {
                offsets.push(offset);
                found.push((offset, record));
            }
        }
        if found.is_empty() {
            // Acked, or gone with an old segment: the next look is behind them.
            let behind = entries.last().map_or(first, |last| last.queue_offset.0 as i64 + 1);
            broker.offsets.commit(name, &self.group, 0, behind);
            broker.lite.registry.offer_to(&self.client_id, name);
            return Ok(There::Nothing);
        }
        let (pop_ms, invisible_ms) = (popped.pop_ms, self.invisible_ms);
        let counts =
            reading.batch(|batch| batch.hand_out(attempt_id, pop_ms, invisible_ms, &offsets, Vec::new).clone());
        broker.lite.lines.look_at(pop_ms.saturating_add(invisible_ms), (self.group.clone(), name.clone()));
        let broker_name: Arc<str> = broker.config().broker_name.as_str().into();
        let bytes = found.iter().map(|(_, record)| record.len()).sum();
        broker.stats.delivered(&self.topic, &self.group, found.len(), bytes);
        popped.messages.extend(found.into_iter().map(|(queue_offset, record)| PoppedMessage {
            record,
            deliveries: counts.get(&queue_offset).copied().unwrap_or(0),
            receipt: Receipt {
                start_offset: 0,
                pop_ms,
                invisible_ms,
                revive_queue: ORDER_REVIVE_QUEUE,
                retry: Retry::None,
                broker_name: broker_name.clone(),
                queue_id: 0,
                queue_offset,
                log_offset: None,
            },
        }));
        Ok(There::Nothing)
    }

    /// Where the group goes on in a lite topic; one that is new to it begins at the front if that is young, else at the
    /// last message.
    async fn first_offset(&self, name: &LiteQueue, queue: &Queue) -> Result<i64, Error> {
        let (broker, group) = (&*self.broker, &*self.group);
        if let Some(offset) = broker.offsets.take_reset(name, group, 0) {
            broker.lite.lines.clear(&(self.group.clone(), name.clone()));
            broker.offsets.commit(name, group, 0, offset);
        }
        let (min, next) = (queue.min_offset().0 as i64, queue.next_offset().0 as i64);
        let offset = match broker.query_offset(name, group, 0).await? {
            crate::QueryOffset::At(offset) => offset.clamp(min, next),
            crate::QueryOffset::StartAt(offset) => offset,
            crate::QueryOffset::Unknown => (queue.max_offset().0 as i64 - 1).max(min),
        };
        if broker.offsets.get(name, group, 0) != Some(offset) {
            broker.offsets.commit(name, group, 0, offset);
        }
        Ok(offset)
    }
}
