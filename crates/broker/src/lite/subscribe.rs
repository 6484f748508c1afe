//! Subscriptions to lite topics.

use std::sync::Arc;

use super::registry::{LiteQueue, QuotaExceeded, Who};
use crate::attribute::{
    LITE_BIND_TOPIC, LITE_CLIENT_EVENTS, LITE_RESET_EXCLUSIVE, LITE_RESET_UNSUBSCRIBE, LITE_SUB_MODEL, LITE_WILDCARD,
};
use crate::limits::{LITE_EVENTS, LITE_SUBSCRIPTIONS_MAX};
use crate::{Broker, ConnectionId, Error};
use protocol::body::GroupConfig;
use protocol::name;

/// What happens to a subscription. Source: `LiteSubscriptionAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteAction {
    /// These lite topics more.
    PartialAdd,
    /// These no longer.
    PartialRemove,
    /// These and no others.
    CompleteAdd,
    /// The client leaves.
    CompleteRemove,
}

/// Where a new subscription begins. Source: `OffsetOption`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteStart {
    /// Where the group stands.
    Keep,
    /// At the first message.
    Min,
    /// Behind the last one.
    Max,
    /// At an offset.
    Offset(i64),
    /// So many before where the group stands.
    Tail(i64),
}

/// A change of what a client subscribes to.
#[derive(Debug, Clone)]
pub struct LiteSubscription<'a> {
    /// What happens.
    pub action: LiteAction,
    /// Client.
    pub client_id: &'a str,
    /// Consumer group.
    pub group: &'a str,
    /// Parent topic.
    pub topic: &'a str,
    /// Lite topics.
    pub lite_topics: &'a [&'a str],
    /// Where a new subscription begins; counts for [`LiteAction::PartialAdd`].
    pub start: Option<LiteStart>,
    /// Where the client hears that it lost a lite topic.
    pub connection: Option<ConnectionId>,
}

/// A client that lost a lite topic to another of its group and is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribed {
    /// Client.
    pub client_id: String,
    /// Its connection, if it has one.
    pub connection: Option<ConnectionId>,
    /// Consumer group.
    pub group: String,
    /// Lite topic.
    pub lite_topic: String,
}

impl Broker {
    /// Changes what a client subscribes to. The answer lists clients that lost something by it.
    ///
    /// # Errors
    /// The group may not read lite topics, or there are too many subscriptions.
    pub fn lite_subscribe(&self, change: &LiteSubscription<'_>) -> Result<Vec<Unsubscribed>, Error> {
        self.check_running()?;
        let registry = &self.lite.registry;
        if change.action == LiteAction::CompleteRemove {
            registry.forget(change.client_id);
            return Ok(Vec::new());
        }
        let refuse = |reason: String| Error::Illegal(format!("lite subscription refused, {reason}"));
        let group = self.groups.get(change.group);
        let group = group.ok_or_else(|| refuse(format!("the group {} does not exist", change.group)))?;
        if !group.consume_enable {
            return Err(refuse(format!("the group {} may not consume", change.group)));
        }
        let wildcard = group.attributes.contains_key(LITE_WILDCARD);
        let who = Who {
            client: change.client_id,
            group: change.group,
            parent: change.topic,
            connection: change.connection,
            events_max: events_max(&group),
        };
        let now_ms = self.now_ms();
        let names = change.lite_topics.iter().map(|lite_topic| self.lite_queue_name(change.topic, lite_topic));
        match change.action {
            LiteAction::PartialAdd if wildcard => {
                Err(refuse(format!("the group {} reads all lite topics, it cannot add single ones", change.group)))
            }
            LiteAction::PartialAdd => {
                let mut gone = Vec::new();
                for name in names {
                    self.lite_add(who, &group, &name, change.start, &mut gone)?;
                }
                Ok(gone)
            }
            LiteAction::PartialRemove => {
                let reset = is_set(&group, LITE_RESET_UNSUBSCRIBE);
                for name in names {
                    if registry.remove(who, &name, now_ms) && reset {
                        self.lite_reset(change.group, &name, 0);
                    }
                }
                Ok(Vec::new())
            }
            LiteAction::CompleteAdd if wildcard => {
                registry.heard(who, true, now_ms);
                Ok(Vec::new())
            }
            LiteAction::CompleteAdd => {
                let names: Vec<_> = names.collect();
                for name in registry.replace(who, &names, now_ms) {
                    self.lite_offer_backlog(who.client, who.group, &name);
                }
                Ok(Vec::new())
            }
            LiteAction::CompleteRemove => unreachable!("dealt with above"),
        }
    }

    fn lite_add(
        &self,
        who: Who<'_>,
        group: &GroupConfig,
        name: &LiteQueue,
        start: Option<LiteStart>,
        gone: &mut Vec<Unsubscribed>,
    ) -> Result<(), Error> {
        let exclusive = group.attributes.get(LITE_SUB_MODEL).is_some_and(|model| model == "Exclusive");
        let added = self.lite.registry.add(who, name, exclusive, self.now_ms());
        let evicted = added.map_err(|QuotaExceeded| {
            Error::Quota(format!(
                "{LITE_SUBSCRIPTIONS_MAX} subscriptions to lite topics are the most this broker keeps"
            ))
        })?;
        if !evicted.is_empty() && is_set(group, LITE_RESET_EXCLUSIVE) {
            self.lite_reset(who.group, name, 0);
        }
        let lite_topic = name::parse_lite_queue(name).map_or("", |(_, lite_topic)| lite_topic);
        gone.extend(evicted.into_iter().map(|evicted| Unsubscribed {
            client_id: evicted.client,
            connection: evicted.connection,
            group: who.group.to_owned(),
            lite_topic: lite_topic.to_owned(),
        }));
        if let Some(offset) = start.and_then(|start| self.lite_start(who.group, name, start)) {
            self.lite_reset(who.group, name, offset);
        }
        self.lite_offer_backlog(who.client, who.group, name);
        Ok(())
    }

    /// The offset that a group is moved to, if it is.
    fn lite_start(&self, group: &str, name: &str, start: LiteStart) -> Option<i64> {
        match start {
            LiteStart::Keep => None,
            LiteStart::Min => Some(0),
            LiteStart::Max => Some(self.queue_range(name, 0).1),
            LiteStart::Offset(offset) => Some(offset.max(0)),
            LiteStart::Tail(count) => Some((self.offsets.get(name, group, 0)? - count.max(0)).max(0)),
        }
    }

    /// Moves a group in a lite topic; what was handed out is forgotten.
    fn lite_reset(&self, group: &str, name: &LiteQueue, offset: i64) {
        self.offsets.reset(name, group, 0, offset);
        self.lite.lines.clear(&(group.into(), name.clone()));
    }

    /// Tells a client of a lite topic that has something for it already.
    pub(super) fn lite_offer_backlog(&self, client: &str, group: &str, name: &LiteQueue) {
        if self.lite_has_more(group, name) {
            self.lite.registry.offer_to(client, name);
        }
    }

    pub(super) fn lite_has_more(&self, group: &str, name: &str) -> bool {
        let Some(queue) = self.store.find_queue(name, 0) else { return false };
        let next = queue.next_offset().0 as i64;
        self.offsets.get(name, group, 0).map_or(next > 0, |offset| offset < next)
    }

    /// The name under which everybody knows a lite topic; shared if it exists.
    pub(super) fn lite_queue_name(&self, parent: &str, lite_topic: &str) -> Arc<str> {
        let name = name::lite_queue(parent, lite_topic);
        match self.store.find_queue(&name, 0) {
            Some(queue) => queue.topic().clone(),
            None => name.into(),
        }
    }
}

/// The parent topic of a group that reads lite topics.
pub(super) fn bound_topic(group: &GroupConfig) -> Option<&str> {
    group.attributes.get(LITE_BIND_TOPIC).map(String::as_str)
}

fn is_set(group: &GroupConfig, attribute: &str) -> bool {
    group.attributes.get(attribute).is_some_and(|value| value == "true")
}

/// Events that may wait for a client of the group. Source: `LiteMetadataUtil.getMaxClientEventCount`.
pub(super) fn events_max(group: &GroupConfig) -> usize {
    group.attributes.get(LITE_CLIENT_EVENTS).and_then(|value| value.parse().ok()).unwrap_or(LITE_EVENTS)
}
