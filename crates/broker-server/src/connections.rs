//! Connections of clients that the broker may have to call.

use std::collections::HashMap;
use std::sync::Arc;

use broker::{Broker, ConnectionId, Members};
use parking_lot::Mutex;
use protocol::Frame;
use protocol::request::{ConsumerGroupHeader, NotifyConsumerIdsChanged, Request};
use remoting::Peer;
use tracing::debug;

/// Peers by connection, of clients that sent a heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<HashMap<ConnectionId, Arc<Peer>>>);

/// The broker's name for a connection.
pub(crate) fn id_of(peer: &Peer) -> ConnectionId {
    ConnectionId(peer.id())
}

impl Connections {
    pub(crate) fn add(&self, peer: &Arc<Peer>) {
        self.0.lock().entry(id_of(peer)).or_insert_with(|| peer.clone());
    }

    pub(crate) fn remove(&self, peer: &Peer) {
        self.0.lock().remove(&id_of(peer));
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Peer>> {
        self.0.lock().get(&id).cloned()
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
