//! Connections of clients that the broker may have to call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use broker::{Broker, ConnectionId, Members};
use parking_lot::Mutex;
use protocol::Frame;
use protocol::request::{ConsumerGroupHeader, NotifyConsumerIdsChanged, Request};
use remoting::Peer;
use tracing::debug;

/// Clients that sent a heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    peers: Mutex<HashMap<ConnectionId, Arc<Peer>>>,
    asked: Mutex<HashSet<ConnectionId>>,
}

/// A question that is put to a client once at a time, until this is dropped.
pub(crate) struct Question<'a> {
    connections: &'a Connections,
    id: ConnectionId,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.connections.asked.lock().remove(&self.id);
    }
}

/// The broker's name for a connection.
pub(crate) fn id_of(peer: &Peer) -> ConnectionId {
    ConnectionId(peer.id())
}

impl Connections {
    pub(crate) fn add(&self, peer: &Arc<Peer>) {
        self.peers.lock().entry(id_of(peer)).or_insert_with(|| peer.clone());
    }

    pub(crate) fn remove(&self, peer: &Peer) {
        self.peers.lock().remove(&id_of(peer));
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Peer>> {
        self.peers.lock().get(&id).cloned()
    }

    /// Begins to ask a client; `None` while it is asked already.
    pub(crate) fn ask(&self, id: ConnectionId) -> Option<Question<'_>> {
        self.asked.lock().insert(id).then(|| Question { connections: self, id })
    }

    /// Tells members of groups that others came or went, where the group wants that.
    pub(crate) fn notify(&self, broker: &Broker, changed: &[Members]) {
        for members in changed {
            let silent =
                broker.groups().get(&members.group).is_some_and(|group| !group.notify_consumer_ids_changed_enable);
            if silent {
                continue;
            }
            let header = ConsumerGroupHeader { consumer_group: &members.group };
            let frame = Frame::request(NotifyConsumerIdsChanged::CODE, &header);
            for peer in members.connections.iter().filter_map(|id| self.get(*id)) {
                if let Err(error) = peer.notify(frame.clone()) {
                    // It rebalances by itself every 20 seconds.
                    debug!(group = members.group, client = %peer.remote(), %error, "client not told of a change");
                }
            }
        }
    }
}
