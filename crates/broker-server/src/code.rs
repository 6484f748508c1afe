//! Which response code each refusal has: the only place that decides it.

use protocol::code::{self, Code};
use protocol::json::ScanError;
use protocol::{Fields, HeaderError};
use remoting::Response;

/// An answer that is not success; what a handler returns to get out.
pub(crate) struct Refusal(pub(crate) Box<Response>);

/// What a handler returns.
pub(crate) type Outcome = Result<Response, Refusal>;

impl Refusal {
    pub(crate) fn new(code: Code, remark: impl Into<String>) -> Refusal {
        Response::error(code, remark).into()
    }
}

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Refusal(Box::new(response))
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Response::from(error).into()
    }
}

impl From<ScanError> for Refusal {
    fn from(error: ScanError) -> Self {
        Refusal::new(code::SYSTEM_ERROR, format!("the body of the request is not readable: {error}"))
    }
}

impl From<broker::Error> for Refusal {
    fn from(error: broker::Error) -> Self {
        let mut response = Response::error(code_of(&error), error.to_string());
        if let broker::Error::Forbidden { kind, .. } = error {
            let mut fields = Fields::default();
            fields.push("forbiddenType", &(kind as i32).to_string());
            response.fields = fields;
        }
        response.into()
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        broker::Error::from(error).into()
    }
}

/// Source: `SendMessageProcessor`, `PullMessageProcessor`, `AdminBrokerProcessor`.
fn code_of(error: &broker::Error) -> Code {
    use broker::Error;
    match error {
        Error::UnknownTopic(_) => code::TOPIC_NOT_EXIST,
        Error::UnknownGroup(_) => code::SUBSCRIPTION_GROUP_NOT_EXIST,
        Error::Name(_) | Error::Parameter(_) => code::INVALID_PARAMETER,
        Error::ClosedTopic(_) | Error::Forbidden { .. } => code::NO_PERMISSION,
        Error::MessageIllegal(_) => code::MESSAGE_ILLEGAL,
        Error::Illegal(_) => code::ILLEGAL_OPERATION,
        Error::Quota(_) => code::LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
        Error::Filter(_) => code::SUBSCRIPTION_PARSE_FAILED,
        Error::NoSubscription { .. } => code::SUBSCRIPTION_NOT_EXIST,
        Error::OldSubscription { .. } => code::SUBSCRIPTION_NOT_LATEST,
        Error::NoMessage(_) => code::NO_MESSAGE,
        Error::Busy(_) => code::SYSTEM_BUSY,
        Error::Stopping => code::SERVICE_NOT_AVAILABLE,
        // Java has no better code for these, and clients look at the text.
        Error::Unsupported(_) | Error::Attribute(_) | Error::NotFound(_) | Error::Settings(_) => code::SYSTEM_ERROR,
        Error::Store(error) => store_code(error),
    }
}

pub(crate) fn store_code(error: &store::Error) -> Code {
    use store::Error;
    match error {
        Error::Busy { .. } => code::SYSTEM_BUSY,
        Error::DiskFull | Error::DiskNearlyFull { .. } | Error::Closed => code::SERVICE_NOT_AVAILABLE,
        Error::Limit(_) | Error::TooLarge { .. } => code::MESSAGE_ILLEGAL,
        _ => code::SYSTEM_ERROR,
    }
}
