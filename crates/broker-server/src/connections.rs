//! Connections of clients that the broker may have to call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use broker::{Asked, Broker, Client, ConnectionId, TransactionCheck, Unsubscribed};
use parking_lot::Mutex;
use protocol::request::{
    CheckTransactionState, CheckTransactionStateHeader, ConsumerGroupHeader, NotifyConsumerIdsChanged,
    NotifyUnsubscribeLite, NotifyUnsubscribeLiteHeader, Request,
};
use protocol::{Frame, name};
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
    pub(crate) fn add(&self, broker: &Broker, peer: &Arc<Peer>) {
        self.peers.lock().entry(id_of(peer)).or_insert_with(|| peer.clone());
        let broker_name = &broker.config().broker_name;
        broker.reach().add(id_of(peer), || Arc::new(Line { peer: peer.clone(), broker_name: broker_name.clone() }));
    }

    pub(crate) fn remove(&self, broker: &Broker, peer: &Peer) {
        self.peers.lock().remove(&id_of(peer));
        broker.reach().remove(id_of(peer));
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Peer>> {
        self.peers.lock().get(&id).cloned()
    }

    /// Begins to ask a client; `None` while it is asked already.
    pub(crate) fn ask(&self, id: ConnectionId) -> Option<Question<'_>> {
        self.asked.lock().insert(id).then(|| Question { connections: self, id })
    }
}

/// A client of remoting, as the broker reaches it.
struct Line {
    peer: Arc<Peer>,
    broker_name: String,
}

impl Client for Line {
    fn group_changed(&self, group: &str) {
        let frame = Frame::request(NotifyConsumerIdsChanged::CODE, &ConsumerGroupHeader { consumer_group: group });
        if let Err(error) = self.peer.notify(frame) {
            // It rebalances by itself every 20 seconds.
            debug!(group, client = %self.peer.remote(), %error, "client not told of a change");
        }
    }

    fn check_transaction(&self, check: &TransactionCheck) {
        let header = CheckTransactionStateHeader {
            topic: Some(name::HALF_TOPIC),
            tran_state_table_offset: check.queue_offset as i64,
            commit_log_offset: check.log_offset as i64,
            msg_id: Some(&check.unique_key),
            transaction_id: Some(&check.unique_key),
            offset_msg_id: Some(&check.offset_message_id),
            broker_name: Some(&self.broker_name),
        };
        let frame = Frame::request(CheckTransactionState::CODE, &header).with_body(check.record.clone());
        if let Err(error) = self.peer.notify(frame) {
            // Another producer may be asked at the next check.
            debug!(group = check.group, client = %self.peer.remote(), %error, "producer not asked about a transaction");
        }
    }

    fn lite_topic_lost(&self, gone: &Unsubscribed) {
        let header = NotifyUnsubscribeLiteHeader {
            lite_topic: &gone.lite_topic,
            consumer_group: &gone.group,
            client_id: &gone.client_id,
        };
        if let Err(error) = self.peer.notify(Frame::request(NotifyUnsubscribeLite::CODE, &header)) {
            debug!(client = gone.client_id, lite_topic = gone.lite_topic, %error, "client not told of a lost lite topic");
        }
    }

    fn ask(self: Arc<Self>, _question: broker::Question) -> Option<Asked> {
        None
    }
}
