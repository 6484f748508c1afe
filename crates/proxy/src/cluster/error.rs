//! Why a broker or a name server did not do what was asked.

use protocol::HeaderError;
use protocol::code::Code;
use protocol::json::ScanError;
use remoting::CallError;

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Wait, or check the addresses: no name server answers.
    #[error("no name server of {addresses} answers: {reason}")]
    NameServers { addresses: String, reason: String },
    /// Create the topic, or check its name.
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// It is down, or the name is wrong.
    #[error("broker {0:?} is not known to the name servers")]
    UnknownBroker(String),
    /// None is up now.
    #[error("no broker of topic {topic} has a {wanted} queue")]
    NoQueue { topic: String, wanted: &'static str },
    /// Not reached, or no answer. Unless it was not reached, the request may have been carried out.
    #[error("broker {broker}: {error}")]
    Call { broker: String, error: CallError },
    /// The broker answered, and the answer is no.
    #[error("{remark}")]
    Refused { code: Code, remark: String },
    /// The broker is not what we take it for, or one of us has a bug.
    #[error("broker {broker} answered {request} with something unreadable: {reason}")]
    Unreadable { broker: String, request: &'static str, reason: String },
    /// The proxy ends.
    #[error("the server is stopping")]
    Stopping,
}

impl Error {
    /// Whether the request surely was not carried out, so that another broker may be asked.
    pub(crate) fn is_elsewhere_possible(&self) -> bool {
        matches!(self, Error::Call { error: CallError::Connect { .. }, .. } | Error::UnknownBroker(_))
    }

    /// Whether nobody could be asked: what was known before still counts then.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Error::NameServers { .. } | Error::Call { .. } | Error::UnknownBroker(_))
    }
}

/// What is unreadable about an answer.
pub(crate) trait Unreadable {
    fn reason(self) -> String;
}

impl Unreadable for HeaderError {
    fn reason(self) -> String {
        self.to_string()
    }
}

impl Unreadable for ScanError {
    fn reason(self) -> String {
        self.to_string()
    }
}

impl Unreadable for &str {
    fn reason(self) -> String {
        self.to_owned()
    }
}
