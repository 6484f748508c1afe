//! Everything one store consists of. The modules add what it does; [`crate::Store`] is its public face.

use crate::checkpoint::Maintenance;
use crate::clock::Clock;
use crate::cold::ColdReads;
use crate::io::Io;
use crate::keys::Keys;
use crate::log::append::Appender;
use crate::log::prepare::Prepare;
use crate::log::segment::Segments;
use crate::log::tail::TailCache;
use crate::log::writer::Writer;
use crate::mark::Mark;
use crate::options::{Flush, Options};
use crate::progress::Progress;
use crate::queue::Queues;
use crate::stats::Counters;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// Locks are taken in this order: `maintenance`, `syncing`, `writer`, `appender`, the state of a queue, others.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) io: Arc<dyn Io>,
    pub(crate) clock: Arc<dyn Clock>,

    pub(crate) appender: Mutex<Appender>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) syncing: Mutex<()>,
    pub(crate) writer_parked: AtomicBool,
    pub(crate) writer_thread: OnceLock<Thread>,
    pub(crate) prepare: Prepare,
    pub(crate) segments: Segments,
    pub(crate) tail: TailCache,
    pub(crate) progress: Arc<Progress>,

    pub(crate) queues: Queues,
    pub(crate) keys: Keys,

    /// Held by checkpoints and retention: only one of them changes what is saved.
    pub(crate) maintenance: Mutex<Maintenance>,
    /// An append beyond this place asks for a checkpoint.
    pub(crate) checkpoint_due: AtomicU64,
    pub(crate) checkpoint_wanted: AtomicBool,
    /// What lies before it the caller can do without; see [`crate::Store::release`].
    pub(crate) released: AtomicU64,
    /// End of the segment that retention wants to delete and may not, or 0.
    pub(crate) held_back: AtomicU64,
    pub(crate) housekeeper: OnceLock<Thread>,

    pub(crate) stats: Counters,
    pub(crate) cold_reads: ColdReads,
    /// The last write met a full disk; it is tried again.
    pub(crate) disk_full: AtomicBool,
    /// Percentage of the disk in use, rounded up, if that is so much that retention refuses more; otherwise 0.
    pub(crate) disk_refused: AtomicU8,
    /// The threads are to finish what was appended, and end.
    pub(crate) stopping: AtomicBool,
}

impl Core {
    pub(crate) fn acknowledged(&self) -> &Mark {
        match self.options.flush {
            Flush::Sync => &self.progress.flushed,
            Flush::Async { .. } => &self.progress.written,
        }
    }
}
