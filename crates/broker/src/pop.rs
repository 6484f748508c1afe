//! POP: the broker hands messages out, to any consumer of the group, and each is invisible to the others until it is
//! acked or its time is over.
//!
//! A group's offset in a queue is where its next pop begins: a pop moves it and leaves an entry of the
//! [due table](crate::due) for each message, at the time at which it becomes visible again ([`flight`]). An ack takes
//! the entry out; what is still there at its time is stored again in a retry topic ([`revive`]). Ordered pops are
//! different: the offset follows the acks, and what was not acked comes again from the queue itself ([`order`]).
//!
//! An ack is in the log a fraction of a second later: a crash may deliver the last moment's messages again, and loses
//! none. Nothing is stored for a message that is acked faster than that.
//!
//! Source: `PopMessageProcessor`, `AckMessageProcessor`, `ChangeInvisibleTimeProcessor`, `PopReviveService`.

mod take;
mod types; // start here

mod flight;
mod owner;
mod revive;
mod settle;

mod order;
mod wait;

mod assign;
mod look;

use std::sync::Arc;

use parking_lot::Mutex;
use protocol::body::GroupConfig;
use tokio::time::Instant;

use crate::filter::Filter;
use crate::state::{Change, Journal};
use crate::{Broker, Error, Topic};

pub use assign::Assignment;
pub(crate) use assign::RequestModes;
pub(crate) use flight::FlightChange;
pub use look::{Notice, NoticeRequest, NoticeWait, Peeked};
pub(crate) use order::{Acked, Batch, OrderChange, OrderTable};
pub(crate) use owner::OwnerTable;
pub use types::{Ack, ChangeInvisible, Invisible, PopFrom, PopRequest, PopStatus, Popped, PoppedMessage};

/// What a broker remembers of pops besides the due table and the offsets.
pub(crate) struct Pops {
    pub(crate) owners: owner::Owners,
    pub(crate) orders: order::Orders,
    pub(crate) modes: RequestModes,
    flights: flight::Flights,
    waiting: wait::Waiting,
    broker_name: Arc<str>,
    /// The log says where groups stood at this time; held by who writes that.
    saved_ms: Mutex<i64>,
}

/// A pop that passed all checks.
pub struct Pop {
    broker: Arc<Broker>,
    topic: Arc<Topic>,
    group: Arc<GroupConfig>,
    queue_id: i32,
    max_messages: usize,
    invisible_ms: i64,
    deadline: Option<Instant>,
    from: PopFrom,
    filter: Filter,
    order: bool,
    attempt_id: Option<Box<str>>,
}

impl Pops {
    pub(crate) fn new(journal: &Arc<Journal>, broker_name: &str) -> Pops {
        Pops {
            owners: owner::Owners::new(journal.clone()),
            orders: order::Orders::default(),
            modes: RequestModes::new(journal.clone()),
            flights: flight::Flights::default(),
            waiting: wait::Waiting::default(),
            broker_name: broker_name.into(),
            saved_ms: Mutex::new(0),
        }
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.replay_topic_deleted(topic);
        self.waiting.forget(topic);
    }

    /// Forgets a deleted group.
    pub(crate) fn forget_group(&self, group: &str) {
        self.replay_group_deleted(group);
    }

    pub(crate) fn replay_topic_deleted(&self, topic: &str) {
        self.owners.remove_topic(topic);
        self.orders.remove_topic(topic);
        self.modes.remove_topic(topic);
    }

    pub(crate) fn replay_group_deleted(&self, group: &str) {
        self.owners.remove_group(group);
        self.orders.remove_group(group);
        self.modes.remove_group(group);
    }

    /// Forgets what nobody uses any more.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.orders.sweep(now_ms);
    }
}

impl Broker {
    /// Writes to the log what changed since the last call: where groups stand, and behind which messages in flight.
    ///
    /// # Errors
    /// The log takes no records now; what it lacks is kept for the next attempt.
    pub(crate) fn save_offsets(&self) -> Result<(), Error> {
        let mut saved_ms = self.pop.saved_ms.lock();
        let begun_ms = self.now_ms();
        // The offsets are looked at before the messages in flight, and written behind them.
        let offsets = self.offsets.take_unsaved();
        let orders = self.pop.orders.take_unsaved();
        let flights = {
            let _change = self.due.change();
            self.record_flights()
        };
        if let Err(error) = flights.and_then(|()| self.save_orders(&orders)) {
            self.pop.orders.unsave(&orders);
            self.offsets.unsave(&offsets);
            return Err(error);
        }
        self.offsets.append(&offsets)?;
        *saved_ms = begun_ms;
        Ok(())
    }

    fn save_orders(&self, orders: &[OrderChange]) -> Result<(), Error> {
        for part in orders.chunks(ORDERS_OF_A_RECORD) {
            self.journal.append(&Change::Orders(part.to_vec()))?;
        }
        Ok(())
    }
}

/// Bounds a record to some hundred KiB.
const ORDERS_OF_A_RECORD: usize = 200;
