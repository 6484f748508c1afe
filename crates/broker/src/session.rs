//! Who is online: producers and consumers by group, from their heartbeats.
//!
//! Source: `ConsumerManager`, `ProducerManager`, `ClientManageProcessor`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use protocol::body::{
    Connection, ConsumerConnection, ConsumerData, HeartbeatData, MessageModel, ProducerInfo, SubscriptionData,
};
use protocol::peer::Language;

use crate::client_index::ClientIndex;

/// A connection of a client, unique in this process. What is behind it is the front end's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// A number for a client of a front end that has no numbers of its own. Remoting has: those of its connections,
    /// which never get this far.
    pub fn next() -> ConnectionId {
        static IDS: AtomicU64 = AtomicU64::new(1 << 63);
        ConnectionId(IDS.fetch_add(1, Ordering::Relaxed))
    }
}

/// A client says that it is alive.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Connection it came over.
    pub connection: ConnectionId,
    /// Address of the client.
    pub address: String,
    /// Its language.
    pub language: Language,
    /// Its release.
    pub version: i32,
    /// What it said.
    pub data: HeartbeatData,
}

/// Connections of a group that should hear that its members or topics changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Consumer group.
    pub group: String,
    /// Who to tell.
    pub connections: Vec<ConnectionId>,
}

/// One member of a consumer group.
#[derive(Debug, Clone)]
pub struct ConsumerSession {
    /// Connection to reach it by.
    pub connection: ConnectionId,
    /// What admin tools are shown.
    pub shown: Connection,
}

/// One producer.
#[derive(Debug, Clone)]
pub struct ProducerSession {
    /// Connection to reach it by.
    pub connection: ConnectionId,
    /// What admin tools are shown.
    pub shown: Connection,
}

#[derive(Debug, Clone)]
struct Member {
    shown: Connection,
    heard_ms: i64,
}

#[derive(Debug, Default)]
struct ConsumerGroup {
    members: BTreeMap<ConnectionId, Member>,
    model: MessageModel,
    consume_type: Option<String>,
    from_where: Option<String>,
    subscriptions: BTreeMap<String, SubscriptionData>,
}

#[derive(Debug, Default)]
struct Inner {
    consumers: HashMap<String, ConsumerGroup>,
    producers: HashMap<String, BTreeMap<ConnectionId, Member>>,
    /// Groups of either kind that a connection has been in, so that its end need not look at all groups.
    joined: HashMap<ConnectionId, BTreeSet<String>>,
    clients: ClientIndex,
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Inner>);

impl Sessions {
    /// Takes a heartbeat in. `admits` says which consumer groups may be there at all; the answer lists the groups
    /// whose members should hear of a change.
    pub(crate) fn heartbeat(
        &self,
        beat: &Heartbeat,
        now_ms: i64,
        admits: impl Fn(&ConsumerData) -> bool,
    ) -> Vec<Members> {
        let shown = Connection {
            client_addr: beat.address.clone(),
            client_id: beat.data.client_id.clone(),
            language: beat.language,
            version: beat.version,
        };
        let member = Member { shown, heard_ms: now_ms };
        let admitted: Vec<_> = beat.data.consumer_data_set.iter().filter(|consumer| admits(consumer)).collect();
        let mut inner = self.0.lock();
        let producers = beat.data.producer_data_set.iter().map(|producer| &producer.group_name);
        let groups = admitted.iter().map(|consumer| &consumer.group_name).chain(producers);
        inner.joined.entry(beat.connection).or_default().extend(groups.cloned());
        inner.clients.insert(beat.connection, &beat.data.client_id);
        for producer in beat.data.producer_data_set.iter().filter(|producer| !producer.group_name.is_empty()) {
            inner.producers.entry(producer.group_name.clone()).or_default().insert(beat.connection, member.clone());
        }
        let mut changed = Vec::new();
        for consumer in admitted {
            let group = inner.consumers.entry(consumer.group_name.clone()).or_default();
            let joined = group.members.insert(beat.connection, member.clone()).is_none();
            let resubscribed = !beat.data.without_sub && group.subscribe(consumer);
            if (joined || resubscribed) && group.model != MessageModel::Broadcasting {
                changed.push(group.members_of(&consumer.group_name));
            }
        }
        changed
    }

    /// Takes over what a member of a group says about topics that the group subscribes to, where it is newer.
    pub fn renew(&self, connection: ConnectionId, group: &str, subscriptions: &[SubscriptionData]) {
        let mut inner = self.0.lock();
        let Some(group) = inner.consumers.get_mut(group) else { return };
        if group.members.contains_key(&connection) {
            for subscription in subscriptions {
                group.renew(subscription);
            }
        }
    }

    /// A client leaves a group of each kind.
    pub fn unregister(
        &self,
        connection: ConnectionId,
        producer_group: Option<&str>,
        consumer_group: Option<&str>,
    ) -> Vec<Members> {
        let mut inner = self.0.lock();
        let gone = |id, _: &Member| id == connection;
        inner.remove_producers(producer_group, gone);
        inner.remove_consumers(consumer_group, gone)
    }

    /// A connection has ended.
    pub fn disconnected(&self, connection: ConnectionId) -> Vec<Members> {
        let mut inner = self.0.lock();
        inner.clients.remove(connection);
        let joined = inner.joined.remove(&connection).unwrap_or_default();
        let gone = |id, _: &Member| id == connection;
        inner.remove_producers(joined.iter().map(String::as_str), gone);
        inner.remove_consumers(joined.iter().map(String::as_str), gone)
    }

    /// Connections that sent heartbeats of this client and are open, the newest first.
    pub fn connections_of(&self, client_id: &str) -> Vec<ConnectionId> {
        self.0.lock().clients.find(client_id)
    }

    /// Forgets clients that were silent since `before_ms`.
    pub(crate) fn expire(&self, before_ms: i64) -> Vec<Members> {
        let mut inner = self.0.lock();
        let gone = |_, member: &Member| member.heard_ms < before_ms;
        let (producers, consumers): (Vec<_>, Vec<_>) =
            (inner.producers.keys().cloned().collect(), inner.consumers.keys().cloned().collect());
        inner.remove_producers(producers.iter().map(String::as_str), gone);
        inner.remove_consumers(consumers.iter().map(String::as_str), gone)
    }

    /// Client ids of a consumer group; a client with two connections counts once.
    pub fn client_ids(&self, group: &str) -> Vec<String> {
        let inner = self.0.lock();
        let members = inner.consumers.get(group).map(|group| group.members.values());
        let ids: BTreeSet<_> = members.into_iter().flatten().map(|member| member.shown.client_id.clone()).collect();
        ids.into_iter().collect()
    }

    /// Members of a consumer group.
    pub fn consumers(&self, group: &str) -> Vec<ConsumerSession> {
        let inner = self.0.lock();
        let members = inner.consumers.get(group).map(|group| group.members.iter());
        let session =
            |(id, member): (&ConnectionId, &Member)| ConsumerSession { connection: *id, shown: member.shown.clone() };
        members.into_iter().flatten().map(session).collect()
    }

    /// Consumer groups with members.
    pub fn consumer_groups(&self) -> Vec<String> {
        self.0.lock().consumers.keys().cloned().collect()
    }

    /// A group as admin tools see it, `None` when nobody is there.
    pub fn consumer_connection(&self, group: &str) -> Option<ConsumerConnection> {
        let inner = self.0.lock();
        let group = inner.consumers.get(group)?;
        Some(ConsumerConnection {
            connection_set: group.members.values().map(|member| member.shown.clone()).collect(),
            consume_from_where: group.from_where.clone(),
            consume_type: group.consume_type.clone(),
            message_model: group.model,
            subscription_table: group.subscriptions.clone(),
        })
    }

    /// Subscription of a group to a topic: the outer `None` says that nobody of the group is online.
    pub fn subscription(&self, group: &str, topic: &str) -> Option<Option<SubscriptionData>> {
        let inner = self.0.lock();
        inner.consumers.get(group).map(|group| group.subscriptions.get(topic).cloned())
    }

    /// How a group shares messages, `None` when nobody is online.
    pub fn message_model(&self, group: &str) -> Option<MessageModel> {
        self.0.lock().consumers.get(group).map(|group| group.model)
    }

    /// Groups that subscribe to a topic.
    pub fn groups_of_topic(&self, topic: &str) -> Vec<String> {
        let inner = self.0.lock();
        let subscribed = inner.consumers.iter().filter(|(_, group)| group.subscriptions.contains_key(topic));
        subscribed.map(|(name, _)| name.clone()).collect()
    }

    /// Topics that a group subscribes to.
    pub fn topics_of_group(&self, group: &str) -> Vec<String> {
        let inner = self.0.lock();
        inner.consumers.get(group).map(|group| group.subscriptions.keys().cloned().collect()).unwrap_or_default()
    }

    /// Members of a producer group.
    pub fn producers(&self, group: &str) -> Vec<ProducerSession> {
        let inner = self.0.lock();
        let members = inner.producers.get(group).map(|members| members.iter());
        let session =
            |(id, member): (&ConnectionId, &Member)| ProducerSession { connection: *id, shown: member.shown.clone() };
        members.into_iter().flatten().map(session).collect()
    }

    /// One member of a producer group; another with every turn.
    pub(crate) fn producer(&self, group: &str, turn: usize) -> Option<ConnectionId> {
        let inner = self.0.lock();
        let members = inner.producers.get(group)?;
        members.keys().nth(turn % members.len().max(1)).copied()
    }

    /// All producers by group.
    pub fn all_producers(&self) -> BTreeMap<String, Vec<ProducerInfo>> {
        let inner = self.0.lock();
        let info = |member: &Member| ProducerInfo {
            client_id: member.shown.client_id.clone(),
            language: member.shown.language,
            last_update_timestamp: member.heard_ms,
            remote_ip: member.shown.client_addr.clone(),
            version: member.shown.version,
        };
        inner.producers.iter().map(|(name, members)| (name.clone(), members.values().map(info).collect())).collect()
    }
}

impl ConsumerGroup {
    /// Takes a member's subscriptions over: newer versions replace, topics it no longer names go. Returns whether the
    /// set of topics changed.
    fn subscribe(&mut self, consumer: &ConsumerData) -> bool {
        self.model = consumer.message_model;
        self.consume_type.clone_from(&consumer.consume_type);
        self.from_where.clone_from(&consumer.consume_from_where);
        let mut changed = false;
        for subscription in &consumer.subscription_data_set {
            if !self.renew(subscription) {
                self.subscriptions.insert(subscription.topic.clone(), subscription.clone());
                changed = true;
            }
        }
        let before = self.subscriptions.len();
        self.subscriptions
            .retain(|topic, _| consumer.subscription_data_set.iter().any(|wanted| wanted.topic == *topic));
        changed || self.subscriptions.len() != before
    }

    /// Takes the newer of two subscriptions to a topic. Returns whether there was one.
    fn renew(&mut self, subscription: &SubscriptionData) -> bool {
        let Some(known) = self.subscriptions.get_mut(&subscription.topic) else { return false };
        if subscription.sub_version > known.sub_version {
            known.clone_from(subscription);
        }
        true
    }

    fn members_of(&self, group: &str) -> Members {
        Members { group: group.to_owned(), connections: self.members.keys().copied().collect() }
    }
}

impl Inner {
    fn remove_producers<'g>(
        &mut self,
        groups: impl IntoIterator<Item = &'g str>,
        gone: impl Fn(ConnectionId, &Member) -> bool,
    ) {
        for group in groups {
            let Some(members) = self.producers.get_mut(group) else { continue };
            members.retain(|id, member| !gone(*id, member));
            if members.is_empty() {
                self.producers.remove(group);
            }
        }
    }

    /// Removes members; the answer lists the groups that lost some and still have others.
    fn remove_consumers<'g>(
        &mut self,
        groups: impl IntoIterator<Item = &'g str>,
        gone: impl Fn(ConnectionId, &Member) -> bool,
    ) -> Vec<Members> {
        let mut changed = Vec::new();
        for name in groups {
            let Some(group) = self.consumers.get_mut(name) else { continue };
            let before = group.members.len();
            group.members.retain(|id, member| !gone(*id, member));
            if group.members.is_empty() {
                self.consumers.remove(name);
            } else if group.members.len() != before && group.model != MessageModel::Broadcasting {
                changed.push(group.members_of(name));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(connection: u64, topics: &[&str]) -> Heartbeat {
        let subscription = |topic: &&str| SubscriptionData { topic: (*topic).into(), ..SubscriptionData::default() };
        let consumer = ConsumerData {
            group_name: "G".into(),
            subscription_data_set: topics.iter().map(subscription).collect(),
            ..ConsumerData::default()
        };
        let client_id = format!("client-{connection}");
        let data = HeartbeatData { client_id, consumer_data_set: vec![consumer], ..HeartbeatData::default() };
        Heartbeat {
            connection: ConnectionId(connection),
            address: String::new(),
            language: Language::JAVA,
            version: 0,
            data,
        }
    }

    fn told(members: &[Members]) -> Vec<u64> {
        members.iter().flat_map(|members| members.connections.iter().map(|id| id.0)).collect()
    }

    #[test]
    fn members_hear_of_joining_leaving_and_new_topics_only() {
        let sessions = Sessions::default();
        let heartbeat = |beat: &Heartbeat| told(&sessions.heartbeat(beat, 0, |_| true));
        assert_eq!(heartbeat(&beat(1, &["T"])), [1]);
        assert!(heartbeat(&beat(1, &["T"])).is_empty());
        assert_eq!(heartbeat(&beat(2, &["T"])), [1, 2]);
        assert_eq!(heartbeat(&beat(2, &["T", "U"])), [1, 2]);
        assert_eq!(sessions.client_ids("G"), ["client-1", "client-2"]);
        assert_eq!(told(&sessions.disconnected(ConnectionId(1))), [2]);
        assert!(told(&sessions.unregister(ConnectionId(2), None, Some("G"))).is_empty());
        assert!(sessions.consumer_connection("G").is_none());
    }

    #[test]
    fn a_heartbeat_without_subscriptions_keeps_them() {
        let sessions = Sessions::default();
        sessions.heartbeat(&beat(1, &["T"]), 0, |_| true);
        let mut short = beat(1, &[]);
        short.data.without_sub = true;
        assert!(told(&sessions.heartbeat(&short, 5, |_| true)).is_empty());
        assert_eq!(sessions.topics_of_group("G"), ["T"]);
        assert!(told(&sessions.expire(5)).is_empty());
        assert_eq!(sessions.client_ids("G").len(), 1);
        sessions.expire(6);
        assert!(sessions.client_ids("G").is_empty());
    }
}
