//! How much of anything there may be. What an operator may want to choose is in [`crate::Options`] instead.

use std::time::Duration;

/// Bytes of a chunk of memory that records are appended to; a larger record gets one of its own. Large enough that
/// taking a new one is rare, small enough that the tail cache can let go in steps.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// Chunks kept for the next appends. More than a batch needs, far less than the tail cache holds.
pub(crate) const SPARE_CHUNKS: usize = 16;

/// Slices of one write; `IOV_MAX` is 1024 on Linux.
pub(crate) const WRITE_SLICES_MAX: usize = 64;

/// The longest read of several records: half a millisecond of a fast device, which a sync may have to wait for.
pub(crate) const STRETCH_BYTES: u64 = 256 << 10;

/// Records with more than this between them are read one by one. Reading so much takes a device about as long as
/// another visit.
pub(crate) const STRETCH_GAP: u64 = 32 << 10;

/// What the size field at an offset that anybody may have made up can make us read, if the limit for new records is
/// not larger: records may be older than that limit.
pub(crate) const CLAIMED_BYTES: u64 = 16 << 20;

/// Space of deleted files that the file system gets back at once, and the rest after it: 270 MB/s. Where freed blocks are
/// told to the device (`discard`), a gigabyte at once keeps it busy for 200 ms; so much, a millisecond.
pub(crate) const FREE_STEP_BYTES: u64 = 4 << 20;
pub(crate) const FREE_REST: Duration = Duration::from_millis(15);

/// How many such rests a file is waited for that somebody reads.
pub(crate) const FREE_WAITS_MAX: u32 = 600;

/// How long a checkpoint, or closing, waits for the disk. Longer than the worst sync of a healthy one.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A gap between queue offsets up to this size is bridged with holes, 20 bytes each; a larger one begins the queue
/// anew. Only damaged logs have gaps.
pub(crate) const HOLES_MAX: u64 = 1 << 20;

/// Keys the append lock collects before it hands them over, and a query may look through under that lock: some
/// microseconds.
pub(crate) const ACTIVE_KEYS: usize = 16 << 10;

/// Keys that may wait for a checkpoint, 16 bytes each. With checkpoints every [`crate::Options::checkpoint_bytes`]
/// of log a tenth of it is reached; if checkpoints fail for long, the index is given up until the next start, as the
/// log must go on.
pub(crate) const FROZEN_KEYS_MAX: usize = 16 << 20;

/// Keys of a run that is not merged any further: 128 MiB, about a second of reading and writing.
pub(crate) const MERGED_KEYS_MAX: u64 = 8 << 20;

/// Records read for one query. A popular tag with a time range long ago could otherwise read the whole log.
pub(crate) const EXAMINED_MAX: usize = 100_000;

/// An empty list of waiting tasks longer than this is given back: a burst should not be remembered for ever.
pub(crate) const WAKER_SLOTS_KEPT: usize = 4096;

/// Log that is read between two checkpoints of a rebuild; bounds its memory.
pub(crate) const REBUILD_BYTES: u64 = 512 << 20;

// The smallest record with three keys is about 150 bytes.
const _: () = assert!((REBUILD_BYTES / 150 * 3) as usize <= FROZEN_KEYS_MAX);
