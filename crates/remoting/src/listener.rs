//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::limits::connections_max;
use crate::{Service, Tls, connection};

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
    tls: Arc<Tls>,
}

impl<S: Service> Listener<S> {
    /// Puts a service behind a socket, for plaintext and TLS.
    pub fn new(socket: TcpListener, service: Arc<S>, tls: Arc<Tls>) -> Self {
        Listener { socket, service, tls }
    }

    /// Accepts until `stop`, then waits until every connection has answered what it owes.
    pub async fn run(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let open = |stream: TcpStream, remote, place| match connection::open(
            stream,
            self.service.clone(),
            Some(self.tls.clone()),
        ) {
            Ok((_, connection)) => {
                let stop = stop.clone();
                connections.spawn(async move {
                    connection.run(stop).await;
                    drop(place);
                });
            }
            Err(error) => debug!(%remote, %error, "connection ended before it began"),
        };
        accept(self.socket, &stop, open).await;
        connections.close();
        connections.wait().await;
    }
}

/// Accepts connections until `stop`, as many as the process may have; `open` keeps the place while it lasts.
pub async fn accept(socket: TcpListener, stop: &CancellationToken, mut open: impl FnMut(TcpStream, SocketAddr, Place)) {
    let limit = connections_max(getrlimit(Resource::Nofile).current);
    // Told once, not for each of thousands that keep trying.
    let mut refusing = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly; a pause lets connections end instead of spinning.
                if !std::mem::replace(&mut refusing, true) {
                    warn!(%error, "connections not accepted, trying again");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = Place::take(limit) else {
            if !std::mem::replace(&mut refusing, true) {
                warn!(%remote, limit, "connections refused, too many are open; raise the limit of open files");
            }
            continue;
        };
        refusing = false;
        open(stream, remote, place);
    }
}

/// A connection's share of what the process may open: listeners have no limits of their own, as files know no
/// listeners either.
#[derive(Debug)]
pub struct Place(());

static PLACES_TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take(limit: usize) -> Option<Place> {
        if PLACES_TAKEN.fetch_add(1, Ordering::Relaxed) < limit {
            return Some(Place(()));
        }
        PLACES_TAKEN.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        PLACES_TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
