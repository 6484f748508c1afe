//! Which status each refusal has: the only place that decides it.
//!
//! Source: `ResponseBuilder`, `GrpcProxyException`.

use std::collections::BTreeSet;

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
}

macro_rules! answers {
    ($($name:ident)*) => {
        $(impl Answer for v2::$name {
            fn set_status(&mut self, status: Status) {
                self.status = Some(status);
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
