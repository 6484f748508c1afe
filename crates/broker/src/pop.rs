//! POP: the broker hands messages out, to any consumer of the group, and each is invisible to the others until it is
//! acked or its time is over.
//!
//! Source: `PopMessageProcessor`, `AckMessageProcessor`, `ChangeInvisibleTimeProcessor`.

mod types;

pub use types::{Ack, ChangeInvisible, Invisible, PopFrom, PopRequest, PopStatus, Popped, PoppedMessage};

use std::sync::Arc;

use crate::{Broker, Error};

/// A pop that passed all checks.
pub struct Pop {
    _broker: Arc<Broker>,
}

impl Broker {
    /// Checks a pop.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin_pop(self: &Arc<Self>, request: &PopRequest<'_>) -> Result<Pop, Error> {
        Err(Error::Unsupported(format!("POP of topic {:?} is not there yet", request.topic)))
    }

    /// Says that a popped message was consumed. Saying it twice does no harm, nor does a stale receipt.
    ///
    /// # Errors
    /// The receipt names something that never was.
    pub fn ack(&self, ack: &Ack<'_>) -> Result<(), Error> {
        Err(Error::Unsupported(format!("POP of topic {:?} is not there yet", ack.topic)))
    }

    /// Changes for how long, from now on, a popped message is invisible. The old receipt is dead then.
    ///
    /// # Errors
    /// The receipt names something that never was.
    pub fn change_invisible(&self, change: &ChangeInvisible<'_>) -> Result<Invisible, Error> {
        Err(Error::Unsupported(format!("POP of topic {:?} is not there yet", change.topic)))
    }
}

impl Pop {
    /// Takes messages, waiting for some until the deadline. May be dropped at any time.
    ///
    /// # Errors
    /// The store could not read.
    pub async fn run(self) -> Result<Popped, Error> {
        Err(Error::Unsupported("POP is not there yet".into()))
    }
}
