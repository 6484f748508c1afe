//! Which client of which group wants which lite topics, and what is new for it.
//!
//! A client has a list of *events*: names of lite topics that may have something for it. A message makes an event for
//! one client of each group that subscribes; the client's next pop takes it. An event says "look there", no more: one
//! too many costs a look, and none may be lost. Where a list is full, its client is marked, and looks at everything it
//! subscribes to once it has caught up.
//!
//! Source: RocketMQ 5.5.0, `LiteSubscriptionRegistryImpl`, `LiteEventDispatcher`.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ConnectionId;
use crate::limits::{LITE_EVENTS_MAX, LITE_IDLE_MS, LITE_POLLS_MAX, LITE_SILENT_MS, LITE_SUBSCRIPTIONS_MAX};

/// Name of a lite topic's queue.
pub(crate) type LiteQueue = Arc<str>;

type Names = BTreeSet<LiteQueue>;

/// Who subscribes, and to which parent topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) client: &'a str,
    pub(crate) group: &'a str,
    pub(crate) parent: &'a str,
    /// Where the client is told that it lost a lite topic.
    pub(crate) connection: Option<ConnectionId>,
    /// Events that it may have waiting.
    pub(crate) events_max: usize,
}

/// A subscription that another client took over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evicted {
    pub(crate) client: String,
    pub(crate) connection: Option<ConnectionId>,
}

/// The limit on all subscriptions together is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QuotaExceeded;

#[derive(Debug)]
struct Client {
    group: Arc<str>,
    parent: Arc<str>,
    connection: Option<ConnectionId>,
    names: Names,
    /// Wants every lite topic of the parent.
    wildcard: bool,
    events: VecDeque<LiteQueue>,
    waiting: HashSet<LiteQueue, RandomState>,
    events_max: usize,
    /// Something found no room in `events`: all that it wants is to be looked at.
    missed: bool,
    /// A look found no room either, and goes on behind this one.
    looked: Option<LiteQueue>,
    heard_ms: i64,
    polled_ms: i64,
    polls: usize,
    wake: Arc<Notify>,
}

impl Client {
    /// Whether there is room; a name that waits already needs none.
    fn offer(&mut self, name: &LiteQueue) -> bool {
        if self.waiting.contains(name) {
            return true;
        }
        if self.events.len() >= self.events_max {
            return false;
        }
        self.waiting.insert(name.clone());
        self.events.push_back(name.clone());
        self.wake.notify_one();
        true
    }
}

/// A look at everything that a client wants.
pub(crate) struct Look {
    /// It was begun, and goes on behind this lite topic.
    pub(crate) behind: Option<LiteQueue>,
    /// Everything is all of the parent.
    pub(crate) wildcard: bool,
}

/// The range of names behind one.
pub(crate) fn following(behind: Option<&LiteQueue>) -> (Bound<&LiteQueue>, Bound<&LiteQueue>) {
    (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

type Clients = BTreeSet<Arc<str>>;

#[derive(Debug, Default)]
struct Inner {
    clients: HashMap<Arc<str>, Client, RandomState>,
    /// Clients by the lite topics that they name.
    by_name: HashMap<LiteQueue, Clients, RandomState>,
    /// Clients by the parent topic that they want all of.
    by_parent: HashMap<Arc<str>, Clients, RandomState>,
    pairs: usize,
    turn: usize,
}

/// A wait for events, until it is dropped.
pub(crate) struct Poll<'a> {
    registry: &'a Registry,
    id: Arc<str>,
    wake: Arc<Notify>,
}

impl Poll<'_> {
    /// Returns when there was an event since the last return, or the client is forgotten.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.registry.0.lock().clients.get_mut(&self.id) {
            client.polls = client.polls.saturating_sub(1);
        }
    }
}

/// All subscriptions to lite topics.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Inner>);

impl Registry {
    /// Notes that a client is there.
    pub(crate) fn heard(&self, who: Who<'_>, wildcard: bool, now_ms: i64) {
        self.0.lock().client(who, wildcard, now_ms);
    }

    /// Adds a lite topic to what a client wants. With `exclusive`, other clients of the group lose it.
    pub(crate) fn add(
        &self,
        who: Who<'_>,
        name: &LiteQueue,
        exclusive: bool,
        now_ms: i64,
    ) -> Result<Vec<Evicted>, QuotaExceeded> {
        let mut inner = self.0.lock();
        inner.client(who, false, now_ms);
        let id = inner.id(who.client);
        if inner.clients[&id].names.contains(name) {
            return Ok(Vec::new());
        }
        if inner.pairs >= LITE_SUBSCRIPTIONS_MAX {
            return Err(QuotaExceeded);
        }
        let mut evicted = Vec::new();
        if exclusive {
            for other in inner.others_of_group(name, &id) {
                inner.remove(&other, name);
                evicted.push(Evicted { client: other.to_string(), connection: inner.clients[&other].connection });
            }
        }
        inner.insert(&id, name);
        Ok(evicted)
    }

    /// Takes a lite topic from what a client wants. Returns whether it was there.
    pub(crate) fn remove(&self, who: Who<'_>, name: &LiteQueue, now_ms: i64) -> bool {
        let mut inner = self.0.lock();
        inner.client(who, false, now_ms);
        inner.remove(who.client, name)
    }

    /// Makes `names` all that a client wants. Returns what is new in it.
    pub(crate) fn replace(&self, who: Who<'_>, names: &[LiteQueue], now_ms: i64) -> Vec<LiteQueue> {
        let mut inner = self.0.lock();
        inner.client(who, false, now_ms);
        let id = inner.id(who.client);
        let wanted: Names = names.iter().cloned().collect();
        let gone: Vec<_> = inner.clients[&id].names.difference(&wanted).cloned().collect();
        for name in &gone {
            inner.remove(&id, name);
        }
        let new: Vec<_> = wanted.difference(&inner.clients[&id].names).cloned().collect();
        new.iter().for_each(|name| inner.insert(&id, name));
        new
    }

    /// Forgets a client; what waited for it goes to others.
    pub(crate) fn forget(&self, client: &str) {
        self.0.lock().forget(client);
    }

    /// Something is new in a lite topic: one client of each group is told.
    pub(crate) fn arrived(&self, parent: &str, name: &LiteQueue) {
        let mut inner = self.0.lock();
        let named = inner.by_name.get(name).into_iter();
        let clients: Vec<_> = named.chain(inner.by_parent.get(parent)).flatten().cloned().collect();
        inner.tell_one_of_each_group(&clients, name, None);
    }

    /// Tells a client of a group that a lite topic may have something for it; the one who had it before comes last.
    pub(crate) fn offer(&self, group: &str, parent: &str, name: &LiteQueue, not_first: Option<&str>) {
        let mut inner = self.0.lock();
        let named = inner.by_name.get(name).into_iter();
        let clients: Vec<_> = named.chain(inner.by_parent.get(parent)).flatten().cloned().collect();
        let clients: Vec<_> = clients.into_iter().filter(|id| *inner.clients[id].group == *group).collect();
        inner.tell_one_of_each_group(&clients, name, not_first);
    }

    /// Tells one client.
    pub(crate) fn offer_to(&self, client: &str, name: &LiteQueue) {
        if let Some(client) = self.0.lock().clients.get_mut(client) {
            client.missed |= !client.offer(name);
        }
    }

    /// The next event of a client.
    pub(crate) fn take(&self, client: &str, now_ms: i64) -> Option<LiteQueue> {
        let mut inner = self.0.lock();
        let client = inner.clients.get_mut(client)?;
        client.polled_ms = now_ms;
        let name = client.events.pop_front()?;
        client.waiting.remove(&name);
        Some(name)
    }

    /// Whether a client was not told of something. It is to look at all that it wants then, in the order of the names,
    /// behind the one that is answered.
    pub(crate) fn begin_look(&self, client: &str) -> Option<Look> {
        let mut inner = self.0.lock();
        let client = inner.clients.get_mut(client)?;
        // Not before most of what it has is dealt with, or the look would find no room again.
        if client.events.len() * 5 > client.events_max {
            return None;
        }
        let behind = client.looked.take();
        if behind.is_none() && !std::mem::take(&mut client.missed) {
            return None;
        }
        Some(Look { behind, wildcard: client.wildcard })
    }

    /// Whether a look was begun and goes on.
    pub(crate) fn is_looking(&self, client: &str) -> bool {
        self.0.lock().clients.get(client).is_some_and(|client| client.looked.is_some())
    }

    /// The next lite topics that a client names, in their order.
    pub(crate) fn names_behind(&self, client: &str, behind: Option<&LiteQueue>, most: usize) -> Vec<LiteQueue> {
        let inner = self.0.lock();
        let names = inner.clients.get(client).map(|client| &client.names);
        names.into_iter().flat_map(|names| names.range::<LiteQueue, _>(following(behind))).take(most).cloned().collect()
    }

    /// Tells one client, which looks at everything. Without room the look goes on later behind `behind`.
    pub(crate) fn offer_looked_at(&self, client: &str, name: &LiteQueue, behind: Option<&LiteQueue>) -> bool {
        let mut inner = self.0.lock();
        let Some(client) = inner.clients.get_mut(client) else { return false };
        let told = client.offer(name);
        if !told {
            client.looked = behind.cloned();
            // There is no place before the first.
            client.missed |= behind.is_none();
        }
        told
    }

    /// Begins to wait for a client's next event; `None` if it has too many waits under way, or is not there any more.
    pub(crate) fn poll(&self, client: &str) -> Option<Poll<'_>> {
        let mut inner = self.0.lock();
        let id = inner.clients.get_key_value(client)?.0.clone();
        let client = inner.clients.get_mut(client).filter(|client| client.polls < LITE_POLLS_MAX)?;
        client.polls += 1;
        Some(Poll { registry: self, wake: client.wake.clone(), id })
    }

    /// Whether a client belongs to a group of the parent.
    pub(crate) fn is_member(&self, client: &str, group: &str, parent: &str) -> bool {
        let inner = self.0.lock();
        inner.clients.get(client).is_some_and(|client| *client.group == *group && *client.parent == *parent)
    }

    /// Forgets clients that were silent, and gives to others what waits for clients that do not pop.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut inner = self.0.lock();
        let silent = |client: &Client| client.heard_ms.max(client.polled_ms) + LITE_SILENT_MS < now_ms;
        let gone: Vec<_> = inner.clients.iter().filter(|(_, c)| silent(c)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| inner.forget(id));
        let idle = |client: &Client| !client.events.is_empty() && client.polled_ms + LITE_IDLE_MS < now_ms;
        let idle: Vec<_> = inner.clients.iter().filter(|(_, c)| idle(c)).map(|(id, _)| id.clone()).collect();
        for id in idle {
            inner.pass_on(&id);
        }
    }

    /// Forgets a lite topic.
    pub(crate) fn forget_name(&self, name: &LiteQueue) {
        let mut inner = self.0.lock();
        for id in inner.by_name.get(name).cloned().unwrap_or_default() {
            inner.remove(&id, name);
        }
    }

    /// Clients and groups that want a lite topic; those that want all of its parent as the client `*`.
    pub(crate) fn subscribers(&self, parent: &str, name: &LiteQueue) -> Vec<(String, String)> {
        let inner = self.0.lock();
        let pair = |id: &Arc<str>, shown: &str| (shown.to_owned(), inner.clients[id].group.to_string());
        let named = inner.by_name.get(name).into_iter().flatten().map(|id| pair(id, id));
        let mut all: Vec<_> =
            named.chain(inner.by_parent.get(parent).into_iter().flatten().map(|id| pair(id, "*"))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// When a client was heard of, and what it wants.
    pub(crate) fn client(&self, client: &str) -> Option<(i64, Vec<LiteQueue>)> {
        let inner = self.0.lock();
        let client = inner.clients.get(client)?;
        Some((client.heard_ms, client.names.iter().cloned().collect()))
    }

    /// Clients of a group.
    pub(crate) fn clients_of(&self, group: &str) -> Vec<String> {
        let inner = self.0.lock();
        inner.clients.iter().filter(|(_, client)| *client.group == *group).map(|(id, _)| id.to_string()).collect()
    }

    /// Marks a client, so that its next pop looks at everything it wants.
    pub(crate) fn look_again(&self, client: &str) {
        if let Some(client) = self.0.lock().clients.get_mut(client) {
            client.missed = true;
            client.wake.notify_one();
        }
    }

    /// Subscriptions, and lists of events.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.0.lock();
        (inner.pairs, inner.clients.len())
    }
}

impl Inner {
    fn id(&self, client: &str) -> Arc<str> {
        self.clients.get_key_value(client).expect("the client was noted").0.clone()
    }

    /// Notes a client; one that comes with another group or parent begins anew.
    fn client(&mut self, who: Who<'_>, wildcard: bool, now_ms: i64) {
        let other = |client: &Client| *client.group != *who.group || *client.parent != *who.parent;
        if self.clients.get(who.client).is_some_and(other) {
            self.forget(who.client);
        }
        if !self.clients.contains_key(who.client) {
            let client = Client {
                group: who.group.into(),
                parent: who.parent.into(),
                connection: None,
                names: Names::default(),
                wildcard: false,
                events: VecDeque::new(),
                waiting: HashSet::default(),
                events_max: 0,
                missed: false,
                looked: None,
                heard_ms: now_ms,
                polled_ms: now_ms,
                polls: 0,
                wake: Arc::default(),
            };
            self.clients.insert(who.client.into(), client);
        }
        let id = self.id(who.client);
        let client = self.clients.get_mut(who.client).expect("inserted above");
        client.connection = who.connection.or(client.connection);
        client.events_max = who.events_max.min(LITE_EVENTS_MAX);
        client.heard_ms = now_ms;
        if wildcard && !std::mem::replace(&mut client.wildcard, true) {
            client.missed = true;
            client.wake.notify_one();
            self.by_parent.entry(client.parent.clone()).or_default().insert(id);
            self.pairs += 1;
        }
    }

    fn insert(&mut self, id: &Arc<str>, name: &LiteQueue) {
        let client = self.clients.get_mut(id).expect("the client was noted");
        if client.names.insert(name.clone()) {
            self.pairs += 1;
            self.by_name.entry(name.clone()).or_default().insert(id.clone());
        }
    }

    fn remove(&mut self, id: &str, name: &LiteQueue) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        if !client.names.remove(name) {
            return false;
        }
        self.pairs -= 1;
        if client.waiting.remove(name) {
            client.events.retain(|event| event != name);
        }
        if let Some(clients) = self.by_name.get_mut(name) {
            clients.remove(id);
            if clients.is_empty() {
                self.by_name.remove(name);
            }
        }
        true
    }

    fn forget(&mut self, id: &str) {
        self.pass_on(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        let names: Vec<_> = client.names.iter().cloned().collect();
        let (parent, wildcard) = (client.parent.clone(), client.wildcard);
        // Whoever waits for it looks once more, and finds that it is gone.
        client.wake.notify_waiters();
        client.wake.notify_one();
        for name in &names {
            self.remove(id, name);
        }
        if wildcard && let Some(clients) = self.by_parent.get_mut(&parent) {
            self.pairs -= usize::from(clients.remove(id));
            if clients.is_empty() {
                self.by_parent.remove(&parent);
            }
        }
        self.clients.remove(id);
    }

    /// Gives what waits for a client to others of its group, where there are some.
    fn pass_on(&mut self, id: &str) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let (group, parent) = (client.group.clone(), client.parent.clone());
        let events = std::mem::take(&mut client.events);
        client.waiting.clear();
        for name in events {
            let others: Vec<_> = self
                .by_name
                .get(&name)
                .into_iter()
                .chain(self.by_parent.get(&parent))
                .flatten()
                .filter(|other| ***other != *id && self.clients[*other].group == group)
                .cloned()
                .collect();
            if others.is_empty() {
                self.clients.get_mut(id).expect("found above").offer(&name);
            } else {
                self.tell_one_of_each_group(&others, &name, None);
            }
        }
    }

    fn others_of_group(&self, name: &LiteQueue, id: &Arc<str>) -> Vec<Arc<str>> {
        let group = &self.clients[id].group;
        let clients = self.by_name.get(name).into_iter().flatten();
        clients.filter(|other| *other != id && self.clients[*other].group == *group).cloned().collect()
    }

    /// Offers to one client of each group, another one with every turn; one without room is passed over, and if all
    /// are, each is marked.
    fn tell_one_of_each_group(&mut self, clients: &[Arc<str>], name: &LiteQueue, not_first: Option<&str>) {
        let mut by_group: HashMap<Arc<str>, Vec<Arc<str>>, RandomState> = HashMap::default();
        for id in clients {
            by_group.entry(self.clients[id].group.clone()).or_default().push(id.clone());
        }
        for mut members in by_group.into_values() {
            self.turn = self.turn.wrapping_add(1);
            let first = self.turn % members.len();
            members.rotate_left(first);
            members.sort_by_key(|id| Some(&**id) == not_first);
            let told = members.iter().any(|id| self.clients.get_mut(id).is_some_and(|client| client.offer(name)));
            if !told {
                for id in &members {
                    self.clients.get_mut(id).expect("listed above").missed = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who<'a>(client: &'a str, group: &'a str) -> Who<'a> {
        Who { client, group, parent: "P", connection: None, events_max: 3 }
    }

    fn name(text: &str) -> LiteQueue {
        text.into()
    }

    fn events(registry: &Registry, client: &str) -> Vec<String> {
        std::iter::from_fn(|| registry.take(client, 0)).map(|name| name.to_string()).collect()
    }

    #[test]
    fn one_client_of_each_group_hears_of_a_message() {
        let registry = Registry::default();
        for (client, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            registry.add(who(client, group), &name("x"), false, 0).unwrap();
        }
        registry.heard(who("w", "all"), true, 0);
        assert!(registry.begin_look("w").is_some(), "it is new");
        registry.arrived("P", &name("x"));
        registry.arrived("P", &name("x"));
        let of_a = [events(&registry, "a1"), events(&registry, "a2")].concat();
        assert!(of_a == ["x"] || of_a == ["x", "x"], "{of_a:?}");
        assert_eq!(events(&registry, "b1"), ["x"]);
        assert_eq!(events(&registry, "w"), ["x"]);
        registry.arrived("P", &name("other"));
        assert_eq!(events(&registry, "w"), ["other"]);
        assert!(events(&registry, "b1").is_empty());
        assert_eq!(registry.counts(), (4, 4));
    }

    #[test]
    fn a_full_list_makes_its_client_look_at_everything_later() {
        let registry = Registry::default();
        for i in 0..5 {
            registry.add(who("c", "g"), &name(&i.to_string()), false, 0).unwrap();
            registry.arrived("P", &name(&i.to_string()));
        }
        assert!(registry.begin_look("c").is_none(), "it has enough to do");
        assert_eq!(events(&registry, "c"), ["0", "1", "2"]);
        // The look finds more than there is room for, and goes on behind the last that was told.
        let look = registry.begin_look("c").unwrap();
        assert_eq!(look.behind, None);
        let all = registry.names_behind("c", None, 9);
        assert_eq!(all, ["0", "1", "2", "3", "4"].map(name));
        assert!((0..3).all(|i| registry.offer_looked_at("c", &all[i], i.checked_sub(1).map(|i| &all[i]))));
        assert!(!registry.offer_looked_at("c", &all[3], Some(&all[2])));
        assert!(registry.begin_look("c").is_none(), "not before there is room");
        assert!(registry.is_looking("c"));
        assert_eq!(events(&registry, "c"), ["0", "1", "2"]);
        let look = registry.begin_look("c").unwrap();
        assert_eq!(registry.names_behind("c", look.behind.as_ref(), 9), ["3", "4"].map(name));
        assert!(registry.begin_look("c").is_none() && !registry.is_looking("c"));
    }

    #[test]
    fn what_waits_for_a_client_that_left_goes_to_another() {
        let registry = Registry::default();
        registry.add(who("a", "g"), &name("x"), false, 0).unwrap();
        registry.arrived("P", &name("x"));
        registry.add(who("b", "g"), &name("x"), false, 0).unwrap();
        registry.forget("a");
        assert_eq!(events(&registry, "b"), ["x"]);
        assert_eq!(registry.counts(), (1, 1));

        registry.add(who("a", "g"), &name("x"), false, 0).unwrap();
        registry.offer("g", "P", &name("x"), Some("b"));
        assert_eq!(registry.take("b", 1), None);
        registry.take("b", LITE_IDLE_MS + 2);
        registry.sweep(LITE_IDLE_MS + 2);
        assert_eq!(registry.take("b", LITE_IDLE_MS + 2).as_deref(), Some("x"));
        registry.sweep(LITE_SILENT_MS + LITE_IDLE_MS + 3);
        assert_eq!(registry.counts(), (0, 0));
    }

    #[test]
    fn an_exclusive_subscription_takes_over() {
        let registry = Registry::default();
        assert_eq!(registry.add(who("a", "g"), &name("x"), true, 0), Ok(vec![]));
        assert_eq!(registry.add(who("z", "h"), &name("x"), true, 0), Ok(vec![]));
        let evicted = registry.add(who("b", "g"), &name("x"), true, 0).unwrap();
        assert_eq!(evicted, [Evicted { client: "a".into(), connection: None }]);
        let pair = |client: &str, group: &str| (client.to_owned(), group.to_owned());
        assert_eq!(registry.subscribers("P", &name("x")), [pair("b", "g"), pair("z", "h")]);
        assert_eq!(registry.replace(who("b", "g"), &[name("y"), name("x")], 0), [name("y")]);
        registry.forget_name(&name("x"));
        assert_eq!(registry.client("b"), Some((0, vec![name("y")])));
        assert!(registry.remove(who("b", "g"), &name("y"), 0) && !registry.remove(who("b", "g"), &name("y"), 0));
    }
}
