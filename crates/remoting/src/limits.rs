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

/// Connections that a process accepts, all listeners together. Each idle one costs a few KiB; file descriptors run out
/// first on most machines, see [`connections_max`].
pub(crate) const CONNECTIONS_MAX: usize = 200_000;

/// Descriptors that are no connections': the log, which must be able to open its next file whatever clients do,
/// checkpoints, and connections of our own to others.
const DESCRIPTORS_KEPT: usize = 512;

/// Connections that a process accepts when it may open so many files.
pub(crate) fn connections_max(open_files: Option<u64>) -> usize {
    let files = open_files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    // Where there are very few, both sides get half.
    CONNECTIONS_MAX.min(files.saturating_sub(DESCRIPTORS_KEPT).max(files / 2))
}

/// Source: `connectTimeoutMillis`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files() {
        for (files, connections) in
            [(None, CONNECTIONS_MAX), (Some(1 << 20), CONNECTIONS_MAX), (Some(20_000), 19_488), (Some(256), 128)]
        {
            assert_eq!(connections_max(files), connections);
        }
    }
}
