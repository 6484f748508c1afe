//! Connections to servers, one for each address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::Frame;
use tokio::net::{TcpStream, lookup_host};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::CONNECT_TIMEOUT;
use crate::{CallError, Peer, Refuse, Service, connection};

/// Opens a connection when an address is first called and keeps it while it works.
///
/// Dropping the pool closes its connections.
pub struct Pool<S: Service = Refuse> {
    service: Arc<S>,
    peers: Mutex<HashMap<String, Arc<Slot>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One address. The lock makes callers that come together share one connection attempt.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<Arc<Peer>>>);

impl Default for Pool<Refuse> {
    fn default() -> Self {
        Pool::new(Arc::new(Refuse))
    }
}

impl<S: Service> Pool<S> {
    /// `service` answers what the servers ask of us.
    pub fn new(service: Arc<S>) -> Self {
        Pool { service, peers: Mutex::default(), tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Sends a request and waits for its answer, connecting first if need be.
    pub async fn call(&self, address: &str, frame: Frame, timeout: Duration) -> Result<Frame, CallError> {
        self.peer(address).await?.call(frame, timeout).await
    }

    /// The connection to an address.
    pub async fn peer(&self, address: &str) -> Result<Arc<Peer>, CallError> {
        let slot = self.peers.lock().entry(address.to_owned()).or_default().clone();
        let mut current = slot.0.lock().await;
        if let Some(peer) = current.as_ref().filter(|peer| !peer.is_closed()) {
            return Ok(peer.clone());
        }
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(address)).await;
        let failed = |reason: String| CallError::Connect { address: address.to_owned(), reason };
        let stream = connected
            .map_err(|_| failed(format!("no answer within {CONNECT_TIMEOUT:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        let (peer, connection) =
            connection::open(stream, self.service.clone(), None).map_err(|error| failed(error.to_string()))?;
        self.tasks.spawn(connection.run(self.stop.clone()));
        *current = Some(peer.clone());
        Ok(peer)
    }

    /// Closes every connection and waits until they are gone.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<S: Service> Drop for Pool<S> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host(address).await?.collect();
    TcpStream::connect(&addresses[..]).await
}
