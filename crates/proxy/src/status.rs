//! Which status each refusal has: the only place that decides it.
//!
//! Source: `ResponseBuilder`, `GrpcProxyException`.

use std::collections::BTreeSet;

use remoting::CallError;

use crate::cluster;
use crate::v2::{self, Code, Status};

/// An answer that is not success; what a call returns to get out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    /// gRPC's own status, where there is no answer to put ours into. Source: `ClientActivity.processTelemetryException`.
    pub(crate) fn into_grpc(self) -> tonic::Status {
        match self.code as i32 {
            40_000..50_000 => tonic::Status::invalid_argument(self.message),
            _ => tonic::Status::internal(self.message),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        Status { code: refusal.code as i32, message: refusal.message }
    }
}

impl From<broker::Error> for Refusal {
    fn from(error: broker::Error) -> Refusal {
        Refusal::new(code_of(&error), error.to_string())
    }
}

/// Source: `ResponseBuilder.buildStatus` of what a broker answers.
impl From<cluster::Error> for Refusal {
    fn from(error: cluster::Error) -> Refusal {
        use cluster::Error;
        let code = match &error {
            Error::UnknownTopic(_) => Code::TopicNotFound,
            Error::UnknownBroker(_) => Code::BadRequest,
            Error::NoQueue { .. } => Code::Forbidden,
            Error::Call { error: CallError::Timeout { .. }, .. } => Code::ProxyTimeout,
            Error::Call { error: CallError::Busy(_), .. } => Code::TooManyRequests,
            Error::Refused { code, .. } => of_answer(*code),
            Error::NameServers { .. } | Error::Call { .. } | Error::Unreadable { .. } | Error::Stopping => {
                Code::InternalServerError
            }
        };
        Refusal::new(code, error.to_string())
    }
}

fn of_answer(code: protocol::code::Code) -> Code {
    use protocol::code;
    match code {
        code::TOPIC_NOT_EXIST => Code::TopicNotFound,
        code::SUBSCRIPTION_GROUP_NOT_EXIST => Code::ConsumerGroupNotFound,
        code::SUBSCRIPTION_PARSE_FAILED => Code::IllegalFilterExpression,
        code::SYSTEM_BUSY => Code::TooManyRequests,
        code::REQUEST_CODE_NOT_SUPPORTED => Code::NotImplemented,
        code::LITE_SUBSCRIPTION_QUOTA_EXCEEDED => Code::LiteSubscriptionQuotaExceeded,
        _ => Code::InternalServerError,
    }
}

/// What a broker says of a message that it has stored, although not as safely as it should. Source:
/// `ResponseBuilder`, `SendStatus`.
pub(crate) fn of_storing(code: protocol::code::Code) -> Option<Refusal> {
    use protocol::code;
    Some(match code {
        code::FLUSH_DISK_TIMEOUT => Refusal::new(Code::MasterPersistenceTimeout, "the flush took too long"),
        code::FLUSH_SLAVE_TIMEOUT => Refusal::new(Code::SlavePersistenceTimeout, "the replicas took too long"),
        code::SLAVE_NOT_AVAILABLE => Refusal::new(Code::HaNotAvailable, "no replica was there"),
        _ => return None,
    })
}

/// Whether a message with this status is stored.
pub(crate) fn is_stored(status: &Status) -> bool {
    let stored = [Code::Ok, Code::MasterPersistenceTimeout, Code::SlavePersistenceTimeout, Code::HaNotAvailable];
    stored.iter().any(|code| *code as i32 == status.code)
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Refusal {
        broker::Error::from(error).into()
    }
}

fn code_of(error: &broker::Error) -> Code {
    use broker::Error;
    match error {
        Error::UnknownTopic(_) => Code::TopicNotFound,
        Error::UnknownGroup(_) => Code::ConsumerGroupNotFound,
        Error::Filter(_) => Code::IllegalFilterExpression,
        Error::Unsupported(_) => Code::NotImplemented,
        Error::Store(store::Error::Busy { .. }) => Code::TooManyRequests,
        Error::Quota(_) => Code::LiteSubscriptionQuotaExceeded,
        // Names and numbers were checked before; what is left is the same to a client as a failure in here.
        _ => Code::InternalServerError,
    }
}

/// Success.
pub(crate) fn ok() -> Status {
    of(Code::Ok)
}

/// A status that only says its name.
pub(crate) fn of(code: Code) -> Status {
    Status { code: code as i32, message: code.as_str_name().to_owned() }
}

/// The status of an answer whose entries have their own. Source: `ResponseBuilder`, `AckMessageActivity`.
pub(crate) fn summary<'s>(entries: impl Iterator<Item = &'s Status>) -> Status {
    let codes: BTreeSet<i32> = entries.map(|status| status.code).collect();
    match (codes.first(), codes.len()) {
        (Some(code), 1) => of(Code::try_from(*code).unwrap_or(Code::InternalServerError)),
        (None, _) => of(Code::InternalServerError),
        _ => of(Code::MultipleResults),
    }
}

/// An answer with a status inside.
pub(crate) trait Answer: Default {
    fn set_status(&mut self, status: Status);
    /// Code of the status.
    fn code(&self) -> i32;
}

macro_rules! answers {
    ($($name:ident)*) => {
        $(impl Answer for v2::$name {
            fn set_status(&mut self, status: Status) {
                self.status = Some(status);
            }

            fn code(&self) -> i32 {
                self.status.as_ref().map_or(0, |status| status.code)
            }
        })*
    };
}

answers! {
    QueryRouteResponse SendMessageResponse QueryAssignmentResponse AckMessageResponse
    ForwardMessageToDeadLetterQueueResponse HeartbeatResponse EndTransactionResponse NotifyClientTerminationResponse
    ChangeInvisibleDurationResponse UpdateOffsetResponse GetOffsetResponse QueryOffsetResponse RecallMessageResponse
    SyncLiteSubscriptionResponse
}

/// The answer of a call, whatever became of it.
pub(crate) fn answer<A: Answer>(outcome: Result<A, Refusal>) -> A {
    outcome.unwrap_or_else(|refusal| {
        let mut answer = A::default();
        answer.set_status(refusal.into());
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_one_code_or_says_that_there_are_several() {
        let check = |codes: &[Code], wanted: Code| {
            let entries: Vec<_> = codes.iter().map(|code| of(*code)).collect();
            assert_eq!(summary(entries.iter()).code, wanted as i32, "{codes:?}");
        };
        check(&[Code::Ok, Code::Ok], Code::Ok);
        check(&[Code::InvalidReceiptHandle], Code::InvalidReceiptHandle);
        check(&[Code::Ok, Code::InvalidReceiptHandle], Code::MultipleResults);
        check(&[], Code::InternalServerError);
    }

    #[test]
    fn refusals_of_the_broker_have_the_codes_of_java() {
        let check = |error: broker::Error, wanted: Code| assert_eq!(Refusal::from(error).code, wanted);
        check(broker::Error::UnknownTopic("t".into()), Code::TopicNotFound);
        check(broker::Error::UnknownGroup("g".into()), Code::ConsumerGroupNotFound);
        check(broker::Error::Unsupported("x".into()), Code::NotImplemented);
        check(broker::Error::MessageIllegal("x".into()), Code::InternalServerError);
        check(broker::Error::Stopping, Code::InternalServerError);
    }

    #[test]
    fn a_stream_ends_with_a_code_of_grpc() {
        let check = |code, wanted| assert_eq!(Refusal::new(code, "").into_grpc().code(), wanted);
        check(Code::IllegalTopic, tonic::Code::InvalidArgument);
        check(Code::InternalServerError, tonic::Code::Internal);
    }
}
