//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::limits::CONNECTIONS_MAX;
use crate::{Service, connection};

/// Opens a listening socket; port 0 lets the system choose.
///
/// # Errors
/// Names the address, because "address in use" alone helps nobody.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error: io::Error| io::Error::new(error.kind(), format!("listen on {address}: {error}")))
}

/// A listening socket and the service behind it.
pub struct Listener<S> {
    socket: TcpListener,
    service: Arc<S>,
}

impl<S: Service> Listener<S> {
    /// Puts a service behind a socket.
    pub fn new(socket: TcpListener, service: Arc<S>) -> Self {
        Listener { socket, service }
    }

    /// Accepts until `stop`, then waits until every connection has answered what it owes.
    pub async fn run(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly; a pause lets connections end instead of spinning.
                    warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if connections.len() >= CONNECTIONS_MAX {
                warn!(%remote, limit = CONNECTIONS_MAX, "connection refused, too many are open");
                continue;
            }
            match connection::open(stream, self.service.clone()) {
                Ok((_, connection)) => drop(connections.spawn(connection.run(stop.clone()))),
                Err(error) => debug!(%remote, %error, "connection ended before it began"),
            }
        }
        drop(self.socket);
        connections.close();
        connections.wait().await;
    }
}
