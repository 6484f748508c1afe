//! Connections by client id.

use std::collections::{BTreeSet, HashMap};

use crate::ConnectionId;

/// What each connection called itself last. It forgets a connection only when that is closed.
#[derive(Debug, Default)]
pub(crate) struct ClientIndex {
    ids: HashMap<ConnectionId, String>,
    connections: HashMap<String, BTreeSet<ConnectionId>>,
}

impl ClientIndex {
    pub(crate) fn insert(&mut self, connection: ConnectionId, client_id: &str) {
        if self.ids.get(&connection).is_some_and(|known| known == client_id) {
            return;
        }
        self.remove(connection);
        self.ids.insert(connection, client_id.to_owned());
        self.connections.entry(client_id.to_owned()).or_default().insert(connection);
    }

    pub(crate) fn remove(&mut self, connection: ConnectionId) {
        let Some(client_id) = self.ids.remove(&connection) else { return };
        if let Some(connections) = self.connections.get_mut(&client_id) {
            connections.remove(&connection);
            if connections.is_empty() {
                self.connections.remove(&client_id);
            }
        }
    }

    /// The newest first.
    pub(crate) fn find(&self, client_id: &str) -> Vec<ConnectionId> {
        self.connections.get(client_id).into_iter().flat_map(|found| found.iter().rev().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_by_its_newest_connection_until_it_hangs_up() {
        let mut index = ClientIndex::default();
        let found = |index: &ClientIndex, id: &str| index.find(id).iter().map(|id| id.0).collect::<Vec<_>>();
        index.insert(ConnectionId(1), "a");
        index.insert(ConnectionId(2), "a");
        index.insert(ConnectionId(2), "a");
        assert_eq!(found(&index, "a"), [2, 1]);
        index.insert(ConnectionId(2), "b");
        assert_eq!((found(&index, "a"), found(&index, "b")), (vec![1], vec![2]));
        index.remove(ConnectionId(1));
        index.remove(ConnectionId(2));
        assert!(index.ids.is_empty() && index.connections.is_empty());
    }
}
