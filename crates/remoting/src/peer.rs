//! The other end of a connection, as the rest of the program sees it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::Frame;
use protocol::frame::FLAG_ONEWAY;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::limits::OUTGOING_MAX;

/// The other end of a connection: who it is, and a way to ask it something.
#[derive(Debug)]
pub struct Peer {
    id: u64,
    remote: SocketAddr,
    local: SocketAddr,
    outgoing: mpsc::Sender<Outgoing>,
    closing: CancellationToken,
}

/// A request of ours on its way to the peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Boxed, because a channel keeps room for 32 of these, for each of tens of thousands of connections.
    pub(crate) frame: Box<Frame>,
    pub(crate) reply: Option<oneshot::Sender<Frame>>,
}

const _: () = assert!(size_of::<Outgoing>() <= 24);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there, or not in time.
    #[error("connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The connection ended before the answer came. The request may have been carried out.
    #[error("the connection to {0} was closed")]
    Closed(SocketAddr),
    /// No answer in time. The request may have been carried out.
    #[error("{address} did not answer request {code} within {timeout:?}")]
    Timeout {
        /// Who.
        address: SocketAddr,
        /// Request code.
        code: i32,
        /// How long it had.
        timeout: Duration,
    },
    /// Too many requests wait for this peer already.
    #[error("{OUTGOING_MAX} requests wait to be sent to {0} already")]
    Busy(SocketAddr),
}

impl Peer {
    pub(crate) fn new(remote: SocketAddr, local: SocketAddr) -> (Peer, mpsc::Receiver<Outgoing>) {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        (Peer { id, remote, local, outgoing, closing: CancellationToken::new() }, queue)
    }

    /// A number no other connection of this process has or had.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The other end's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Our address on this connection: one that the other end can reach.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether the connection has ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.outgoing.is_closed() || self.closing.is_cancelled()
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.closing.cancel();
    }

    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Sends a request that wants no answer. Gives up at once when the peer does not keep up.
    pub fn notify(&self, mut frame: Frame) -> Result<(), CallError> {
        frame.flag |= FLAG_ONEWAY;
        self.outgoing.try_send(Outgoing { frame: frame.into(), reply: None }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Busy(self.remote),
            mpsc::error::TrySendError::Closed(_) => CallError::Closed(self.remote),
        })
    }

    /// Sends a request and waits for its answer.
    pub async fn call(&self, frame: Frame, timeout: Duration) -> Result<Frame, CallError> {
        let (address, code) = (self.remote, frame.code);
        let exchange = async {
            let (reply, answer) = oneshot::channel();
            let sent = self.outgoing.send(Outgoing { frame: frame.into(), reply: Some(reply) }).await;
            sent.map_err(|_| CallError::Closed(address))?;
            answer.await.map_err(|_| CallError::Closed(address))
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(CallError::Timeout { address, code, timeout }))
    }
}
