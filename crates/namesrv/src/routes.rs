//! The tables of a name server and what changes them.
//!
//! | table | from | to |
//! |---|---|---|
//! | topics | topic | queues by broker name |
//! | brokers | broker name | cluster, addresses by broker id |
//! | live | cluster and address | when it was last heard of, its data version |
//!
//! One change at a time holds `changing`; readers take no lock and never wait for a registration. `topics` and `live`
//! are concurrent maps whose values are replaced as a whole; `brokers` is a snapshot, because it changes rarely and
//! every answer wants it consistent.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use protocol::body::{DataVersion, QueueData, TopicConfig};
use protocol::perm;
use remoting::Peer;
use tracing::{info, warn};

use crate::limits::{BROKERS_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use crate::{Advertise, Clock, Refused, Registered, Registration, Topics};

pub(crate) type Map<K, V> = papaya::HashMap<K, V, foldhash::fast::RandomState>;

/// Brokers by name.
pub(crate) type Brokers = BTreeMap<Arc<str>, Arc<Group>>;

/// Brokers of one name: a master and its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    pub(crate) cluster: Arc<str>,
    pub(crate) members: BTreeMap<i64, Advertise>,
    pub(crate) acting_master: bool,
    pub(crate) zone: Option<String>,
}

/// Queues of a topic at the brokers of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queues {
    pub(crate) broker: Arc<str>,
    pub(crate) perm: i32,
    pub(crate) read: i32,
    pub(crate) write: i32,
    pub(crate) sys_flag: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LiveKey {
    cluster: Arc<str>,
    at: Advertise,
}

/// A broker that was heard of.
#[derive(Debug)]
struct Live {
    broker: Arc<str>,
    id: i64,
    /// Milliseconds on our clock.
    heard: AtomicU64,
    timeout: Option<Duration>,
    version: DataVersion,
    ha: Option<Advertise>,
    peer: Option<Arc<Peer>>,
    /// Which text it registered, and how many topics had been dropped then; see [`Routes::refresh`].
    text: Option<(u64, u64)>,
}

/// Whose queues of a topic are meant.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Every broker's.
    Everyone,
    /// Those of the brokers of a cluster.
    Cluster(&'a str),
    /// Those of the brokers of one name.
    Broker(&'a str),
}

/// Over which connection a registration came, and the fingerprint of its text.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) peer: Option<Arc<Peer>>,
    pub(crate) fingerprint: Option<u64>,
}

pub(crate) struct Routes {
    pub(crate) topics: Map<Arc<str>, Arc<[Queues]>>,
    pub(crate) brokers: ArcSwap<Brokers>,
    live: Map<LiveKey, Arc<Live>>,
    changing: Mutex<()>,
    /// Counts the times topics were dropped.
    drops: AtomicU64,
    clock: Clock,
    seed: foldhash::quality::RandomState,
}

impl Routes {
    pub(crate) fn new(clock: Clock) -> Routes {
        Routes {
            topics: Map::default(),
            brokers: ArcSwap::default(),
            live: Map::default(),
            changing: Mutex::default(),
            drops: AtomicU64::new(0),
            clock,
            seed: foldhash::quality::RandomState::default(),
        }
    }

    /// A number for a registration's whole text, equal for equal texts.
    pub(crate) fn fingerprint(&self, text: impl Hash) -> u64 {
        self.seed.hash_one(text)
    }

    /// Takes what a broker says of itself.
    ///
    /// Java refuses a broker that is not registered yet and brings exactly one topic, taking it for the registration
    /// of a single new topic that came too early. Here every registration adds what it brings, and the next full one
    /// adds what is still unknown even under the same data version, so nothing is lost by accepting it, and a broker
    /// with one topic works.
    pub(crate) fn register(&self, new: Registration, session: Session) -> Result<Registered, Refused> {
        let _changing = self.changing.lock();
        let known = self.brokers.load().get(new.broker_name.as_str()).cloned();
        let mut group = known.as_ref().map_or_else(|| Group::empty(&new), |group| Group::clone(group));
        group.cluster = shared(&group.cluster, &new.cluster);
        group.acting_master = new.enable_acting_master == Some(true);
        group.zone.clone_from(&new.zone);
        // An address belongs to one id only: a replica that becomes master leaves its old id.
        group.members.retain(|id, at| *at != new.at || *id == new.broker_id);
        let key = LiveKey { cluster: group.cluster.clone(), at: new.at.clone() };
        if self.is_overtaken(&group, &new) {
            warn!(broker = %group.name, id = new.broker_id, at = ?new.at, "registration ignored, a later master has the id");
            self.live.pin().remove(&key);
            return Ok(Registered::default());
        }
        let first = group.members.insert(new.broker_id, new.at.clone()).is_none();
        let has_topics = new.broker_id == 0
            || (new.enable_acting_master.is_some() && group.members.keys().next() == Some(&new.broker_id));
        self.check_room(&new, first, has_topics)?;
        self.forget_former_name(&new);
        if first {
            info!(broker = %group.name, id = new.broker_id, at = ?new.at, "broker registered");
        }

        let changed = first || self.live.pin().get(&key).is_none_or(|live| live.version != new.version);
        let (name, read_only) = (group.name.clone(), group.acting_master && new.broker_id != 0);
        let registered = self.registered(&group, new.broker_id);
        // The broker is known before its topics, so that no reader finds a topic without its broker.
        if known.is_none_or(|known| *known != group) {
            self.publish(group);
        }
        if has_topics {
            self.put_topics(&name, &new.topics, changed, read_only);
        }
        let live = Live {
            broker: name,
            id: new.broker_id,
            heard: AtomicU64::new(self.now()),
            timeout: new.timeout,
            version: new.version,
            ha: new.ha,
            peer: session.peer,
            text: session.fingerprint.map(|text| (text, self.drops.load(Ordering::Relaxed))),
        };
        self.live.pin().insert(key, Arc::new(live));
        Ok(registered)
    }

    /// Does what [`Routes::register`] would do for a text that was taken before, without reading it: brokers repeat
    /// theirs every 30 seconds, and most of the time nothing has changed. `None` when it has to be read.
    pub(crate) fn refresh(&self, cluster: &str, at: &Advertise, peer: &Arc<Peer>, text: u64) -> Option<Registered> {
        let live = self.live(cluster, at)?;
        let same_text = live.text == Some((text, self.drops.load(Ordering::Relaxed)));
        let same_peer = live.peer.as_ref().is_some_and(|known| known.id() == peer.id());
        let brokers = self.brokers.load();
        let group = brokers.get(&live.broker)?;
        if !same_text || !same_peer || group.members.get(&live.id) != Some(at) {
            return None;
        }
        live.heard.store(self.now(), Ordering::Relaxed);
        Some(self.registered(group, live.id))
    }

    /// A broker was heard of. Unknown ones stay unknown: they register soon.
    pub(crate) fn heard(&self, cluster: &str, at: &Advertise) {
        if let Some(live) = self.live(cluster, at) {
            live.heard.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Data version that a broker registered with.
    pub(crate) fn version(&self, cluster: &str, at: &Advertise) -> Option<DataVersion> {
        self.live(cluster, at).map(|live| live.version)
    }

    /// A broker leaves.
    pub(crate) fn unregister(&self, cluster: &str, broker_name: &str, at: &Advertise) {
        let _changing = self.changing.lock();
        self.forget(vec![(LiveKey { cluster: cluster.into(), at: at.clone() }, broker_name.into())]);
    }

    /// Whether a broker registered over this connection.
    pub(crate) fn has_peer(&self, peer: &Peer) -> bool {
        self.live.pin().values().any(|live| live.is_from(peer))
    }

    /// The brokers behind a connection are gone. Returns their names.
    pub(crate) fn unregister_peer(&self, peer: &Peer) -> Vec<Arc<str>> {
        let _changing = self.changing.lock();
        self.forget(self.live.pin().iter().filter(|(_, live)| live.is_from(peer)).map(Live::named).collect())
    }

    /// Forgets the brokers that were not heard of in time or whose connection is gone. Returns their names.
    pub(crate) fn expire(&self) -> Vec<Arc<str>> {
        let _changing = self.changing.lock();
        let now = Duration::from_millis(self.now());
        let gone: Vec<_> = self.live.pin().iter().filter(|(_, live)| live.is_gone(now)).map(Live::named).collect();
        for (key, _) in &gone {
            // The broker may be alive behind a connection that hangs; closing it makes it come back over a new one.
            if let Some(peer) = self.live.pin().get(key).and_then(|live| live.peer.as_ref()) {
                peer.close();
            }
        }
        self.forget(gone)
    }

    /// Changes the permission of every topic of a broker; returns how many topics it has.
    pub(crate) fn change_perm(&self, broker_name: &str, change: impl Fn(i32) -> i32) -> usize {
        let _changing = self.changing.lock();
        let of_broker = |queues: &Queues| *queues.broker == *broker_name;
        let count = self.topics.pin().values().filter(|all| all.iter().any(of_broker)).count();
        self.rewrite(|_, queues| of_broker(queues).then(|| Some(queues.with_perm(change(queues.perm)))));
        count
    }

    /// Forgets a topic.
    pub(crate) fn delete_topic(&self, topic: &str, of: Of<'_>) {
        let _changing = self.changing.lock();
        let brokers = self.brokers.load();
        let meant = |name: &str| match of {
            Of::Everyone => true,
            Of::Cluster(cluster) => brokers.get(name).is_some_and(|group| *group.cluster == *cluster),
            Of::Broker(broker) => name == broker,
        };
        let topics = self.topics.pin();
        if let Some((name, all)) = topics.get_key_value(topic) {
            let rest: Arc<[Queues]> = all.iter().filter(|queues| !meant(&queues.broker)).cloned().collect();
            self.replace(name, all, rest);
        }
    }

    /// Adds queues by hand. Those of brokers that are not registered are left out.
    pub(crate) fn add_topic(&self, topic: &str, queues: &[QueueData]) -> Result<(), Refused> {
        let _changing = self.changing.lock();
        check_topic_name(topic)?;
        if self.topics.len() >= TOPICS_MAX {
            return Err(Refused::Full { what: "topics", limit: TOPICS_MAX });
        }
        let brokers = self.brokers.load();
        for data in queues {
            if let Some(group) = brokers.get(data.broker_name.as_str()) {
                self.put_queues(
                    topic,
                    Queues {
                        broker: group.name.clone(),
                        perm: data.perm,
                        read: data.read_queue_nums,
                        write: data.write_queue_nums,
                        sys_flag: data.topic_sys_flag,
                    },
                );
            }
        }
        Ok(())
    }

    /// An address belongs to one broker name only: a broker that was renamed would else never leave its old one.
    fn forget_former_name(&self, new: &Registration) {
        if let Some(live) = self.live(&new.cluster, &new.at).filter(|live| *live.broker != *new.broker_name) {
            let key = LiveKey { cluster: new.cluster.as_str().into(), at: new.at.clone() };
            self.forget(vec![(key, live.broker.clone())]);
        }
    }

    /// Whether another address holds the id with a later term, so that the newcomer is a master of the past.
    fn is_overtaken(&self, group: &Group, new: &Registration) -> bool {
        let holder = group.members.get(&new.broker_id).filter(|holder| **holder != new.at);
        let live = holder.and_then(|holder| self.live(&group.cluster, holder));
        live.is_some_and(|live| live.version.state_version > new.version.state_version)
    }

    fn check_room(&self, new: &Registration, new_member: bool, has_topics: bool) -> Result<(), Refused> {
        if new_member && self.live.len() >= BROKERS_MAX {
            return Err(Refused::Full { what: "brokers", limit: BROKERS_MAX });
        }
        let list = if has_topics { new.topics.list() } else { &[] };
        list.iter().try_for_each(|topic| check_topic_name(&topic.topic_name))?;
        let topics = self.topics.pin();
        if topics.len() + list.len() > TOPICS_MAX {
            let unknown = list.iter().filter(|topic| !topics.contains_key(topic.topic_name.as_str())).count();
            if topics.len() + unknown > TOPICS_MAX {
                return Err(Refused::Full { what: "topics", limit: TOPICS_MAX });
            }
        }
        Ok(())
    }

    fn put_topics(&self, broker: &Arc<str>, new: &Topics, changed: bool, read_only: bool) {
        for topic in new.list() {
            if changed || !self.has_queues(&topic.topic_name, broker) {
                self.put_queues(&topic.topic_name, Queues::of(broker.clone(), topic, read_only));
            }
        }
        if let (Topics::All(list), true) = (new, changed) {
            let listed: HashSet<&str> = list.iter().map(|topic| topic.topic_name.as_str()).collect();
            self.rewrite(|topic, queues| (queues.broker == *broker && !listed.contains(topic)).then_some(None));
        }
    }

    fn has_queues(&self, topic: &str, broker: &str) -> bool {
        self.topics.pin().get(topic).is_some_and(|all| all.iter().any(|queues| *queues.broker == *broker))
    }

    fn put_queues(&self, topic: &str, queues: Queues) {
        let topics = self.topics.pin();
        let Some((name, all)) = topics.get_key_value(topic) else {
            topics.insert(topic.into(), [queues].into());
            return;
        };
        if all.contains(&queues) {
            return;
        }
        let others = all.iter().filter(|other| other.broker != queues.broker).cloned();
        let all: Arc<[Queues]> = others.chain([queues.clone()]).collect();
        topics.insert(name.clone(), all);
    }

    /// Walks all queues: `change` answers `None` to leave them, `Some(None)` to drop them, else what replaces them.
    fn rewrite(&self, change: impl Fn(&str, &Queues) -> Option<Option<Queues>>) {
        let topics = self.topics.pin();
        let touched = |topic: &str, all: &[Queues]| all.iter().any(|queues| change(topic, queues).is_some());
        let touched: Vec<_> = topics.iter().filter(|(topic, all)| touched(topic, all)).collect();
        for (topic, all) in touched {
            let kept = all.iter().filter_map(|queues| change(topic, queues).unwrap_or_else(|| Some(queues.clone())));
            let kept: Arc<[Queues]> = kept.collect();
            self.replace(topic, all, kept);
        }
    }

    fn replace(&self, topic: &Arc<str>, all: &[Queues], kept: Arc<[Queues]>) {
        if kept.len() < all.len() {
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
        if kept.is_empty() {
            self.topics.pin().remove(topic);
        } else {
            self.topics.pin().insert(topic.clone(), kept);
        }
    }

    /// Removes addresses; a broker name without any loses its topics, one without a master its write permission where
    /// a replica acts for it. Returns the names of those that left.
    fn forget(&self, gone: Vec<(LiveKey, Arc<str>)>) -> Vec<Arc<str>> {
        let names = gone.iter().map(|(_, name)| name.clone()).collect();
        let mut brokers = Brokers::clone(&self.brokers.load());
        let (mut removed, mut reduced) = (HashSet::new(), HashSet::new());
        for (key, name) in gone {
            self.live.pin().remove(&key);
            // A broker that moved to another cluster is alive there.
            let Some(group) = brokers.get_mut(&name).filter(|group| group.cluster == key.cluster) else { continue };
            Arc::make_mut(group).members.retain(|_, at| *at != key.at);
            if group.members.is_empty() {
                brokers.remove(&name);
                removed.insert(name);
            } else if group.acting_master && !group.members.contains_key(&0) {
                reduced.insert(name);
            }
        }
        self.brokers.store(Arc::new(brokers));
        if !removed.is_empty() || !reduced.is_empty() {
            self.rewrite(|_, queues| match &queues.broker {
                broker if removed.contains(broker) => Some(None),
                broker if reduced.contains(broker) => Some(Some(queues.with_perm(queues.perm & !perm::WRITE))),
                _ => None,
            });
        }
        names
    }

    fn registered(&self, group: &Group, id: i64) -> Registered {
        let master = group.members.get(&0).filter(|_| id != 0);
        let live = master.and_then(|master| self.live(&group.cluster, master));
        live.map_or_else(Registered::default, |live| Registered { master: master.cloned(), ha: live.ha.clone() })
    }

    fn publish(&self, group: Group) {
        let mut brokers = Brokers::clone(&self.brokers.load());
        brokers.insert(group.name.clone(), Arc::new(group));
        self.brokers.store(Arc::new(brokers));
    }

    fn live(&self, cluster: &str, at: &Advertise) -> Option<Arc<Live>> {
        self.live.pin().get(&LiveKey { cluster: cluster.into(), at: at.clone() }).cloned()
    }

    fn now(&self) -> u64 {
        self.clock.now().as_millis() as u64
    }
}

impl Group {
    fn empty(new: &Registration) -> Group {
        Group {
            name: new.broker_name.as_str().into(),
            cluster: new.cluster.as_str().into(),
            members: BTreeMap::new(),
            acting_master: false,
            zone: None,
        }
    }
}

impl Queues {
    fn of(broker: Arc<str>, topic: &TopicConfig, read_only: bool) -> Queues {
        Queues {
            broker,
            perm: if read_only { topic.perm & !perm::WRITE } else { topic.perm },
            read: topic.read_queue_nums,
            write: topic.write_queue_nums,
            sys_flag: topic.topic_sys_flag,
        }
    }

    fn with_perm(&self, perm: i32) -> Queues {
        Queues { perm, ..self.clone() }
    }
}

impl Live {
    fn is_from(&self, peer: &Peer) -> bool {
        self.peer.as_ref().is_some_and(|known| known.id() == peer.id())
    }

    fn is_gone(&self, now: Duration) -> bool {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.timeout.is_some_and(|timeout| now.saturating_sub(heard) > timeout)
            || self.peer.as_ref().is_some_and(|peer| peer.is_closed())
    }

    fn named((key, live): (&LiveKey, &Arc<Live>)) -> (LiveKey, Arc<str>) {
        (key.clone(), live.broker.clone())
    }
}

/// The shared text if it still says the same, so that equal names stay one allocation.
fn shared(known: &Arc<str>, text: &str) -> Arc<str> {
    if **known == *text { known.clone() } else { text.into() }
}

fn check_topic_name(topic: &str) -> Result<(), Refused> {
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
        let shown: String = topic.chars().take(64).collect();
        return Err(Refused::Invalid(format!("topic {shown:?} has not 1 to {TOPIC_BYTES_MAX} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
