//! The message log of one broker and everything derived from it.
//!
//! A [`Store`] appends records, hands out views of them, and says how far the log is written and flushed. Topic
//! settings, consumer groups and sockets are somebody else's business.
//!
//! The commit log is RocketMQ's, byte for byte. Everything else in the directory (consume queues, key index,
//! checkpoints) is ours, derives from the log, and is made again if it is missing.

mod core;
mod store; // start here

mod log;
mod mark;
mod progress;
mod wakers;

mod keys;
mod queue;

mod checkpoint;
mod recover;
mod retention;
mod state;

mod clock;
mod cold;
mod error;
pub mod io;
mod limits;
mod offset;
mod options;
mod stats;

#[cfg(feature = "sim")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use error::Error;
pub use keys::IndexKey;
pub use log::append::Appended;
pub use log::gather::Gather;
pub use log::read::Slice;
pub use mark::{Mark, Wait};
pub use offset::{LogOffset, QueueOffset};
pub use options::{Flush, Options, Retention};
pub use queue::{Entry, Queue, WaitBeyond};
pub use recover::Recovery;
pub use state::STATE_TOPIC;
pub use stats::Stats;
pub use store::{Boundary, Store, Usage};
