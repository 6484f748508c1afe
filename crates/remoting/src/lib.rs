//! One TCP or TLS connection, a listener and a client pool, over the frames of [`protocol`].
//!
//! A [`Service`] answers requests; it neither reads nor writes sockets. Both ends of a connection run the same loop,
//! because both may ask: a broker tells its consumers that their group changed, over the connection they opened.

mod connection; // start here
mod limits;
mod listener;
mod outbox;
mod peer;
mod pool;
mod service;
mod stream;
mod tls;

mod cache;

pub use cache::Cache;
pub use listener::{Listener, Place, accept, bind};
pub use outbox::{Outbox, ReplyTo};
pub use peer::{CallError, Peer};
pub use pool::Pool;
pub use service::{Answer, NoParked, Parked, Refuse, Response, Service};
pub use tls::{FIRST_BYTE, Tls, TlsError, TlsSettings};
