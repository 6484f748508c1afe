//! Bounds of what one request may take.

/// Most messages one pull returns, whatever the client asks for.
pub(crate) const PULL_MESSAGES_MAX: usize = 1024;

/// Bytes after which a pull stops adding messages; the first always fits. Four times Java's
/// `maxTransferBytesOnMessageInMemory`, because a slice of the log costs nothing to hand out.
pub(crate) const PULL_BYTES_MAX: usize = 1024 * 1024;

/// Queue entries one pull looks at, so that a filter that matches nothing cannot hold a thread for long. Source:
/// `maxFilterMessageSize` / 20 = 800.
pub(crate) const PULL_ENTRIES_MAX: usize = 800;

/// Longest time a pull may wait, in milliseconds; clients ask for 15 to 30 seconds.
pub(crate) const SUSPEND_MS_MAX: i64 = 120_000;

/// Messages one query returns at most. Source: `maxMsgsNumBatch`.
pub(crate) const QUERY_MESSAGES_MAX: usize = 64;

/// Queues of a topic at most; a typing mistake must not make a million rows.
pub(crate) const TOPIC_QUEUES_MAX: i32 = 65_536;

/// Delayed messages handed over between two saves of how far a level is: what a crash may deliver twice.
pub(crate) const SCHEDULE_BATCH: usize = 32;

/// Names of changed topics that are remembered for name servers; one that is further behind hears everything.
pub(crate) const CHANGES_KEPT: usize = 16 * 1024;
