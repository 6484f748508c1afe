//! Lite topics. The broker can store their messages and does not serve them yet.

use crate::status::Refusal;
use crate::v2::{Code, SyncLiteSubscriptionRequest, SyncLiteSubscriptionResponse};
use crate::validate;

pub(crate) fn sync(request: &SyncLiteSubscriptionRequest) -> Result<SyncLiteSubscriptionResponse, Refusal> {
    validate::topic(request.topic.as_ref())?;
    validate::group(request.group.as_ref())?;
    Err(Refusal::new(Code::NotImplemented, "lite topics are not supported yet"))
}
