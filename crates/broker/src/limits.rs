//! Bounds of what one request may take.

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

/// Delayed messages handed over between two saves of how far a level is: what a crash may deliver twice.
pub(crate) const SCHEDULE_BATCH: usize = 32;

/// Names of changed topics that are remembered for name servers; one that is further behind hears everything.
pub(crate) const CHANGES_KEPT: usize = 16 * 1024;

/// Bytes of records that are read at once to be filtered, so that a pull that is full soon has not read much in vain.
pub(crate) const FILTER_STEP_BYTES: usize = 256 * 1024;

/// Bytes of records after which a pull looks at no more of them, whether any matched or not.
pub(crate) const FILTER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest SQL92 expression in bytes. Java has no bound; a list of some thousand words still fits.
pub(crate) const SQL_BYTES_MAX: usize = 32 * 1024;

/// Levels inside each other in a SQL92 expression: parentheses, NOTs, signs, comparisons of comparisons. Reading and
/// evaluating use some hundred bytes of stack for each.
pub(crate) const SQL_DEPTH_MAX: usize = 128;

/// Different properties in an expression that are looked up without allocating.
pub(crate) const SQL_NAMES_IN_PLACE: usize = 16;

/// Different properties in an expression at most: each property of a message is looked for among them.
pub(crate) const SQL_NAMES_MAX: usize = 256;

/// Compiled expressions that are kept.
pub(crate) const FILTERS_KEPT: usize = 256;

/// Bytes of their texts together. A compiled expression takes up to some twenty times its text, usually a few.
pub(crate) const FILTERS_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(FILTER_STEP_BYTES <= FILTER_BYTES_MAX && SQL_BYTES_MAX <= FILTERS_BYTES_MAX);
/// Timers delivered between two records that say so: what a crash may deliver twice.
pub(crate) const TIMER_BATCH: usize = 1024;

/// Bytes of timers read at once; the first always fits.
pub(crate) const TIMER_BATCH_BYTES: u64 = 4 << 20;

/// Half messages looked at in one go.
pub(crate) const CHECK_BATCH: usize = 256;

/// Commits at the end of the log that a start compares with the halves: those that happened at one time, each of a
/// thread of its own, may all lack their op records.
pub(crate) const COMMITS_REPLAYED: usize = 256;

/// Log that a start may have to read for the due table, before its file is written again: a fraction of a second.
pub(crate) const DUE_REPLAY_BYTES: u64 = 256 << 20;

/// Age of changes that the file of the due table does not have, after which it is written again.
pub(crate) const DUE_SNAPSHOT_AGE_MS: i64 = 300_000;

/// Subscriptions to lite topics of all clients together. Source: `maxLiteSubscriptionCount`, times ten: one takes some
/// hundred bytes.
pub(crate) const LITE_SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// Lite topics with something new that are remembered for one client, if its group says nothing else. Source:
/// `maxClientEventCount`.
pub(crate) const LITE_EVENTS: usize = 100;

/// The same, whatever the group says.
pub(crate) const LITE_EVENTS_MAX: usize = 100_000;

/// A client that has not popped for so long passes on what waits for it. Source: `LiteEventDispatcher`.
pub(crate) const LITE_IDLE_MS: i64 = 10_000;

/// A client that was not heard of for so long is forgotten. Source: `liteSubscriptionCheckTimeoutMills`.
pub(crate) const LITE_SILENT_MS: i64 = 180_000;

/// No lite topic is deleted before its last message is that old. Source: `minLiteTTl`.
pub(crate) const LITE_TTL_MIN_MS: i64 = 15 * 60_000;

/// Pops that one client may have waiting.
pub(crate) const LITE_POLLS_MAX: usize = 16;
/// Messages of one pop at most. Source: `PopMessageProcessor`.
pub(crate) const POP_MESSAGES_MAX: i32 = 32;

/// Popped messages that wait for an ack, of all groups together: at under 100 bytes each, some 1 GB.
pub(crate) const INVISIBLE_MAX: usize = 10_000_000;

/// Pairs of group and topic that are remembered because they popped; each costs some hundred bytes.
pub(crate) const POP_OWNERS_MAX: usize = 1_000_000;

/// Attempts to take from one queue while others take from it too; then the next queue has its turn. One of those who
/// collide always gets on.
pub(crate) const POP_TRIES_MAX: usize = 8;

/// Popped messages in one record of the log, some hundred KiB at worst.
pub(crate) const FLIGHTS_OF_A_RECORD: usize = 10_000;

/// Messages made visible again between two records that say so: what a crash may deliver twice.
pub(crate) const REVIVE_BATCH: usize = 1024;

/// State of an ordered queue that nobody used for this long is forgotten. Source: `ConsumerOrderInfoManager`.
pub(crate) const ORDER_IDLE_MS: i64 = 24 * 3600 * 1000;

/// Longest attempt id that is kept. Clients use a UUID.
pub(crate) const ATTEMPT_ID_BYTES_MAX: usize = 256;

/// Longest time for which a message may be invisible: ten years. Sums with times must not overflow.
pub(crate) const INVISIBLE_MS_MAX: i64 = 10 * 366 * 86_400_000;

const _: () = assert!(POP_MESSAGES_MAX <= 64, "an ordered batch has a bit for each message");

/// Backlog of a queue from which on a notice does not look for tags in it. Source:
/// `maxMessageFilterNumForNotification`.
pub(crate) const NOTICE_SCANNED_BACKLOG: i64 = 64;

/// Entries that it looks at below that.
pub(crate) const NOTICE_ENTRIES: usize = 32;
