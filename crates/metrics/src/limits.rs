//! Bounds of what showing metrics takes.

use std::time::Duration;

/// Connections to the port of metrics and health at a time: a few scrapers and probes.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 64;

/// Time in which a request's head must be there.
pub(crate) const HTTP_HEAD_TIME: Duration = Duration::from_secs(5);

/// Data points of one request to a collector. With names of usual length a point is some 300 bytes, with the longest
/// ones 1 KB, and collectors take requests up to 4 MiB unless told otherwise.
pub(crate) const POINTS_OF_A_PUSH: usize = 2_000;

/// Data points of one line of the log.
pub(crate) const POINTS_OF_A_LINE: usize = 200;

/// Requests that wait for the one under way, so that a scrape of any size takes the memory of three.
pub(crate) const REQUESTS_WAITING: usize = 1;

/// Times that one request is sent before it is left to the next round.
pub(crate) const PUSH_ATTEMPTS: u32 = 3;

/// Pause after the first attempt; it doubles with each.
pub(crate) const PUSH_PAUSE: Duration = Duration::from_secs(1);

/// Time that the last round has while a server stops: nobody restarts a server for its metrics.
pub(crate) const LAST_ROUND: Duration = Duration::from_secs(3);

/// Length of an answer of a collector: it says what it did not take.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;
