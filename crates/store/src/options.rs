//! What a store can be told.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of a store. The defaults are meant to be right; a path is all most callers set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the store, `storePathRootDir` of a Java broker. Made if it is missing.
    pub dir: PathBuf,
    /// Bytes of a new log file. 1 GiB is what a Java broker expects; files that exist keep their size.
    pub segment_bytes: u64,
    /// When an appended record counts as acknowledged.
    pub flush: Flush,
    /// Memory for the newest part of the log, from which consumers near the end are served without a read.
    pub tail_cache_bytes: usize,
    /// Bytes appended and not written yet above which appends answer [`crate::Error::Busy`].
    pub backlog_bytes_max: u64,
    /// Largest record. Java: `maxMessageSize` + 64 KiB.
    pub record_bytes_max: u32,
    /// What is deleted when.
    pub retention: Retention,
    /// Time between two checkpoints while something changes. Longer means more log to replay after a crash.
    pub checkpoint_interval: Duration,
    /// Appended bytes that cause a checkpoint before its time. Bounds the replay after a crash, and the memory for
    /// queue entries that are not in their files yet.
    pub checkpoint_bytes: u64,
    /// Delay of level 1, 2, ...; the queue entries of `SCHEDULE_TOPIC_XXXX` carry delivery times made from it.
    pub delay_levels: Vec<Duration>,
    /// Topics whose records are state of the caller: opening hands them over beside the state records, and nothing is
    /// deleted before [`crate::Store::release`] allows it.
    pub replay_topics: Vec<String>,
    /// Hand over committed messages of transactions as well.
    pub replay_commits: bool,
    /// Hand over all the log still has, not only what came after the last state checkpoint: what the caller saved
    /// himself is lost.
    pub replay_all: bool,
    /// Reads of cold data that may block at one time, each on a thread of its own.
    pub blocking_reads_max: usize,
    /// Whether the store runs threads of its own. Without them nothing is written until
    /// [`crate::Store::write_pending`] is called: for simulations that must not depend on scheduling.
    pub threads: bool,
}

/// When a record is acknowledged, and with that visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// After it is durable.
    Sync,
    /// After it is handed to the operating system; durable at most `interval` later. A crash of the machine (not of
    /// the process) may lose the last interval.
    Async {
        /// Time between two syncs.
        interval: Duration,
    },
}

/// What is deleted when. The newest segment never is.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Age of its last record from which a segment may go.
    pub max_age: Duration,
    /// Bytes of log above which the oldest segments go at any time and age.
    pub max_bytes: Option<u64>,
    /// Hour of the day, UTC, in which aged segments go; `None` means all day. Java's `deleteWhen` is local time: the
    /// caller converts.
    pub delete_hour: Option<u8>,
    /// Used share of the disk above which aged segments go at any hour. Java: `diskMaxUsedSpaceRatio` / 100.
    pub clean_ratio: f64,
    /// Used share above which the oldest segments go whatever their age. Java: `diskSpaceCleanForciblyRatio`.
    pub force_ratio: f64,
    /// Used share above which appends answer [`crate::Error::DiskNearlyFull`]. Java: `diskSpaceWarningLevelRatio`.
    pub refuse_ratio: f64,
    /// Time between two looks.
    pub check_interval: Duration,
}

impl Options {
    /// The defaults, in a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        let second = Duration::from_secs;
        Self {
            dir: PathBuf::from("store"),
            segment_bytes: 1 << 30,
            flush: Flush::Sync,
            tail_cache_bytes: 64 << 20,
            backlog_bytes_max: 64 << 20,
            record_bytes_max: (4 << 20) + (64 << 10),
            retention: Retention::default(),
            checkpoint_interval: second(10),
            checkpoint_bytes: 128 << 20,
            delay_levels: [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200]
                .map(second)
                .to_vec(),
            replay_topics: Vec::new(),
            replay_commits: false,
            replay_all: false,
            blocking_reads_max: 16,
            threads: true,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(72 * 3600),
            max_bytes: None,
            delete_hour: Some(4),
            clean_ratio: 0.75,
            force_ratio: 0.85,
            refuse_ratio: 0.90,
            check_interval: Duration::from_secs(10),
        }
    }
}
