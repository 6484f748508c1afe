//! Replies to request messages: who waits for one, and keeping it.
//!
//! Handing it over is the front end's work, between [`Broker::check_reply`] and [`Broker::store_reply`].
//! Source: `ReplyMessageProcessor`.

use protocol::properties;
use store::Appended;

use crate::send::choose_queue;
use crate::{Broker, ConnectionId, Error, NewMessage};

/// A reply that may be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo<'a> {
    /// Queue of the reply topic that it would be kept in.
    pub queue_id: i32,
    /// Client that waits for it, unless the reply does not say.
    pub client: Option<&'a str>,
    /// That client's connections, the newest first.
    pub connections: Vec<ConnectionId>,
}

impl Broker {
    /// Checks a reply as a send is checked, and finds who waits for it.
    ///
    /// # Errors
    /// See [`Error`]; nobody should get the reply.
    pub fn check_reply<'a>(&self, reply: &NewMessage<'a>) -> Result<ReplyTo<'a>, Error> {
        self.check_running()?;
        let topic = self.topic_to_send_to(reply)?;
        let queue_id = choose_queue(&topic, reply.queue_id)?;
        let client = properties::get(reply.properties, properties::REPLY_TO_CLIENT);
        let connections = client.map(|client| self.sessions.connections_of(client)).unwrap_or_default();
        Ok(ReplyTo { queue_id, client, connections })
    }

    /// Keeps a reply with the properties it came with; `None` if replies are not kept. It may be told of when
    /// [`store::Store::acknowledged`] has reached its end.
    ///
    /// # Errors
    /// See [`Error`]; it was not stored.
    pub fn store_reply(&self, reply: &NewMessage<'_>, queue_id: i32) -> Result<Option<Appended>, Error> {
        if !self.config().store_replies {
            return Ok(None);
        }
        self.check_body(reply.body)?;
        let topic = self.topics.require(reply.topic)?;
        let appended = self.append(&topic, queue_id, 0, reply, reply.properties.into(), "")?;
        self.stats.stored(&topic, 1, &appended);
        Ok(Some(appended))
    }
}
