//! Clients that are online, as their front ends reach them.
//!
//! A broker knows a client by its [`ConnectionId`]; what is behind that is a front end's. Each hands in a
//! [`Client`] for a connection that said who it is, so that whoever learns something can pass it on, whatever
//! wire the client speaks.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Broker, ConnectionId, Members, TransactionCheck, Unsubscribed};

/// What somebody waits for.
pub type Asked = Pin<Box<dyn Future<Output = Result<Told, AskError>> + Send>>;

/// A way to tell a client something. Nothing here may wait or block.
pub trait Client: Send + Sync {
    /// Others joined or left a group of the client, or its topics changed.
    fn group_changed(&self, group: &str);

    /// Asks a producer what became of a transaction. Its answer comes as a decision, or not at all.
    fn check_transaction(&self, check: &TransactionCheck);

    /// Another client of the group took a lite topic over.
    fn lite_topic_lost(&self, gone: &Unsubscribed);

    /// Asks something on behalf of an admin tool. `None` when the client speaks the wire that admin tools speak:
    /// their request is then handed on as it is.
    fn ask(self: Arc<Self>, question: Question) -> Option<Asked>;
}

/// What an admin tool wants to know of a client.
#[derive(Debug, Clone)]
pub enum Question {
    /// What its threads do.
    ThreadStack,
    /// What becomes of this message, of a record, when it is consumed now.
    Consume(Bytes),
}

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// What its threads do.
    ThreadStack(String),
    /// It consumed the message.
    Consumed,
    /// It failed to and would try again later.
    Later,
    /// It could not make sense of the message.
    Unreadable,
}

/// Why a client said nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It is not there any more, or does not listen.
    #[error("the client {0} is not reachable")]
    Gone(String),
    /// Not in time.
    #[error("the client {0} did not answer in time")]
    Timeout(String),
    /// It does not do that.
    #[error("the client {client} refused: {reason}")]
    Refused {
        /// Client id.
        client: String,
        /// Its words.
        reason: String,
    },
}

/// All of them.
#[derive(Default)]
pub struct Reach(Mutex<HashMap<ConnectionId, Arc<dyn Client>>>);

impl Reach {
    /// Makes a client reachable until [`Reach::remove`]. Adding it again does nothing.
    pub fn add(&self, connection: ConnectionId, client: impl FnOnce() -> Arc<dyn Client>) {
        self.0.lock().entry(connection).or_insert_with(client);
    }

    /// The connection has ended.
    pub fn remove(&self, connection: ConnectionId) {
        self.0.lock().remove(&connection);
    }

    /// The client of a connection.
    pub fn get(&self, connection: ConnectionId) -> Option<Arc<dyn Client>> {
        self.0.lock().get(&connection).cloned()
    }
}

impl Broker {
    /// Tells members of groups that others came or went, where the group wants that.
    pub fn tell(&self, changed: &[Members]) {
        for members in changed {
            let silent = self.groups.get(&members.group).is_some_and(|group| !group.notify_consumer_ids_changed_enable);
            if silent {
                continue;
            }
            for client in members.connections.iter().filter_map(|id| self.reach.get(*id)) {
                client.group_changed(&members.group);
            }
        }
    }
}
