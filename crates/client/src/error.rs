//! What may go wrong, by what the caller can do about it.

use protocol::code::Code;
use remoting::CallError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name server answers: check the addresses, or wait.
    #[error("cannot reach a name server at {addresses}: {reason}")]
    NameServer {
        /// All that were tried.
        addresses: String,
        /// What the last one said.
        reason: String,
    },
    /// Create the topic, or check its name.
    #[error("topic {0:?} does not exist")]
    UnknownTopic(String),
    /// The topic exists, but none of its queues can be used this way now: no broker is up, or the permission is missing.
    #[error("topic {topic:?} has no {wanted} queue")]
    NoQueue {
        /// Topic.
        topic: String,
        /// `writeable` or `readable`.
        wanted: &'static str,
    },
    /// No address is known under this name: the broker is down or the name is wrong.
    #[error("broker {0:?} is not known to the name server")]
    UnknownBroker(String),
    /// The server answered, and the answer is no.
    #[error("{address} refused {request}: {code}{}", remark_text(.remark))]
    Refused {
        /// Who.
        address: String,
        /// Name of the request.
        request: &'static str,
        /// Response code.
        code: Code,
        /// What it says.
        remark: String,
    },
    /// Not reached, or no answer. The request may have been carried out.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer makes no sense: the server is not what we take it for, or one of us has a bug.
    #[error("{address} answered {request} with something unreadable: {reason}")]
    Unreadable {
        /// Who.
        address: String,
        /// Name of the request.
        request: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's mistake; trying again does not help.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// The code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the server was not reached or did not answer, so that another server may.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::NameServer { .. } | Error::Call(_) | Error::UnknownBroker(_))
    }
}

/// The first line of a remark: Java appends links and stacks.
fn remark_text(remark: &str) -> String {
    match remark.lines().next().map(str::trim) {
        None | Some("") => String::new(),
        Some(line) => format!(", {line}"),
    }
}
