//! What stops a measurement.

use std::io;

use protocol::code::Code;

/// Why nothing could be measured. Refusals while it runs are counted instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there, or gone in the middle.
    #[error("{address}: {source}")]
    Connection {
        /// Who was called.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server answered, but not with success.
    #[error("{address} refused to {what}: {code}{remark}")]
    Refused {
        /// Who was called.
        address: String,
        /// A verb phrase.
        what: &'static str,
        /// Its answer.
        code: Code,
        /// Its words, with a separator in front.
        remark: String,
    },
    /// The answer makes no sense.
    #[error("{address} answered {what} with something unreadable: {reason}")]
    Unreadable {
        /// Who was called.
        address: String,
        /// What was asked.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Options that contradict each other, or a server without what they ask for.
    #[error("{0}")]
    Impossible(String),
    /// The process to watch is not there.
    #[error("process {pid}: {reason}")]
    Process {
        /// Its id.
        pid: u32,
        /// What is wrong.
        reason: String,
    },
    /// Threads, timers, epoll.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Error::System(errno.into())
    }
}
