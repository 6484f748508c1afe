//! What can go wrong, by what the caller can do about it.

use protocol::record::LimitError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the variants. Cheap to clone: one failed sync answers every waiter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Passing: try again after a pause. Nothing was stored.
    #[error("{backlog_bytes} bytes wait to be written already, the limit is {limit_bytes}")]
    Busy {
        /// Bytes appended and not written yet.
        backlog_bytes: u64,
        /// [`crate::Options::backlog_bytes_max`].
        limit_bytes: u64,
    },
    /// Make room, or wait for retention to do so. Nothing was stored.
    #[error("the disk is full")]
    DiskFull,
    /// The same, by [`crate::Retention::refuse_ratio`] and not yet by the disk itself.
    #[error(
        "the disk is full: {used_percent} % of it is in use, more than the {:.0} % of \
         diskSpaceWarningLevelRatio",
        limit * 100.0
    )]
    DiskNearlyFull {
        /// How much is in use, rounded up.
        used_percent: u8,
        /// That ratio.
        limit: f64,
    },
    /// A write or sync failed, so nothing is known about the end of the log: reopen the store.
    #[error("the log takes no more writes until it is reopened: {0}")]
    Failed(Arc<str>),
    /// Passing, or not: the disk has not finished a sync for ten seconds. Try again.
    #[error("the disk does not answer")]
    Stalled,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Send something smaller.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Send something smaller: a record, or a batch, must fit [`crate::Options::record_bytes_max`] or a segment.
    #[error("{bytes} bytes are more than the limit of {limit_bytes}")]
    TooLarge {
        /// Bytes of the record or batch.
        bytes: u64,
        /// The limit that was passed.
        limit_bytes: u64,
    },
    /// The topic was deleted, or the record is for another queue: look the queue up again.
    #[error("this is not the queue {queue_id} of topic {topic:?}")]
    WrongQueue {
        /// Topic of the record.
        topic: Arc<str>,
        /// Queue of the record.
        queue_id: u32,
    },
    /// Another process (a Java broker or one of ours) uses the directory.
    #[error("{0} is locked by another process")]
    Locked(PathBuf),
    /// The log contradicts itself in a way that only an operator can judge.
    #[error("{0}")]
    Damaged(Arc<str>),
    /// A file could not be used; `doing` says which and how.
    #[error("{doing}: {source}")]
    Io {
        /// A verb phrase with the path.
        doing: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// Adds to an [`io::Error`] what was being done.
pub(crate) trait Doing<T> {
    /// `verb` and `path` end up in the message.
    fn doing(self, verb: &str, path: &Path) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, verb: &str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing: format!("{verb} {}", path.display()).into(), source: source.into() })
    }
}
