//! Bounds of one connection.

use std::time::Duration;

/// Space reserved before each read. A read that fills it is followed by another at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Output above which answering pauses until the socket took it: a peer that asks and never reads costs no more.
pub(crate) const OUTBOX_BYTES_MAX: usize = 1024 * 1024;

/// Requests of one connection that were carried out and wait for the log. More stay unread in the socket, so the
/// sender feels it; a window of thousands already hides any flush.
pub(crate) const PARKED_MAX: usize = 8 * 1024;

/// Requests of one connection that wait for something else, mostly long polls: one for each queue a client consumes.
pub(crate) const PENDING_MAX: usize = 128 * 1024;

/// Requests of ours that wait to be written to one peer.
pub(crate) const OUTGOING_MAX: usize = 1024;

/// Silence in both directions after which a connection is closed. Source: `serverChannelMaxIdleTimeSeconds`.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(120);

/// Longest time one write may make no progress.
pub(crate) const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Connections of one listener. Each idle one costs a few KiB; file descriptors run out first on most machines.
pub(crate) const CONNECTIONS_MAX: usize = 200_000;

/// Source: `connectTimeoutMillis`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
