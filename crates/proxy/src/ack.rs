//! Acknowledging, and asking for more or less time.
//!
//! Source: `AckMessageActivity`, `ChangeInvisibleDurationActivity`.

use std::time::Duration;

use futures_util::future::join_all;
use protocol::receipt::Receipt;

use crate::context::Context;
use crate::limits::ACK_ENTRIES_MAX;
use crate::settle::Place;
use crate::status::{self, Refusal};
use crate::v2::{
    AckMessageEntry, AckMessageRequest, AckMessageResponse, AckMessageResultEntry, ChangeInvisibleDurationRequest,
    ChangeInvisibleDurationResponse, Code,
};
use crate::{lite, validate};

/// What was handed back comes again no sooner. Java looks once a second for what became visible; some clients rely on
/// that: Node's push consumer asks for no pause at all, and would use up all attempts in a blink.
const INVISIBLE_MIN: Duration = Duration::from_secs(1);

/// The receipt that a client means. One that is renewed has changed since the client got it.
pub(crate) async fn receipt(context: &Context, group: &str, topic: &str, handle: &str) -> Result<Receipt, Refusal> {
    if let Some(receipt) = context.renewals.take(group, topic, handle).await {
        return Ok(receipt);
    }
    // Java fails with whatever its parser throws.
    handle.parse().map_err(|error| Refusal::new(Code::InternalServerError, format!("{error}")))
}

fn check_alive(context: &Context, receipt: &Receipt) -> Result<(), Refusal> {
    match receipt.visible_ms() <= context.backend.now_ms() {
        true => Err(Refusal::new(Code::InvalidReceiptHandle, "receipt handle is expired")),
        false => Ok(()),
    }
}

pub(crate) async fn ack(context: &Context, request: AckMessageRequest) -> Result<AckMessageResponse, Refusal> {
    let topic = validate::topic(request.topic.as_ref())?;
    let group = validate::group(request.group.as_ref())?;
    if request.entries.len() > ACK_ENTRIES_MAX {
        let message = format!("{} entries at once, the limit is {ACK_ENTRIES_MAX}", request.entries.len());
        return Err(Refusal::new(Code::PayloadTooLarge, message));
    }
    let result = |entry: AckMessageEntry| async move {
        let lite_topic = entry.lite_topic.as_deref().filter(|lite_topic| !lite_topic.is_empty());
        let status = match ack_one(context, Place { group, topic, lite_topic }, &entry.receipt_handle).await {
            Ok(()) => status::ok(),
            Err(refusal) => refusal.into(),
        };
        let AckMessageEntry { message_id, receipt_handle, .. } = entry;
        AckMessageResultEntry { message_id, receipt_handle, status: Some(status) }
    };
    let entries = join_all(request.entries.into_iter().map(result)).await;
    let status = status::summary(entries.iter().filter_map(|entry| entry.status.as_ref()));
    Ok(AckMessageResponse { status: Some(status), entries })
}

/// Acks the message of a handle.
async fn ack_one(context: &Context, place: Place<'_>, handle: &str) -> Result<(), Refusal> {
    let receipt = receipt(context, place.group, place.topic, handle).await?;
    check_alive(context, &receipt)?;
    ack_receipt(context, place, &receipt).await
}

pub(crate) async fn ack_receipt(context: &Context, place: Place<'_>, receipt: &Receipt) -> Result<(), Refusal> {
    let abnormal = |Refusal { code, message }| Refusal::new(code, format!("ack failed: status is abnormal: {message}"));
    context.backend.ack(place, receipt).await.map_err(abnormal)
}

pub(crate) async fn change_invisible(
    context: &Context,
    request: &ChangeInvisibleDurationRequest,
) -> Result<ChangeInvisibleDurationResponse, Refusal> {
    let topic = validate::topic(request.topic.as_ref())?;
    let group = validate::group(request.group.as_ref())?;
    let invisible = validate::duration(request.invisible_duration.as_ref())
        .ok_or_else(|| Refusal::new(Code::IllegalInvisibleTime, "the invisibleTime is too small. min is 0"))?;
    validate::invisible(invisible)?;
    let invisible = invisible.max(INVISIBLE_MIN);
    let receipt = receipt(context, group, topic, &request.receipt_handle).await?;
    check_alive(context, &receipt)?;
    let lite_topic = lite::of_receipt(context, group, request.lite_topic.as_deref(), &receipt).await?;
    let place = Place { group, topic, lite_topic: lite_topic.as_deref() };
    let suspend = request.suspend.unwrap_or(false);
    let changed = context.backend.change_invisible(place, &receipt, invisible, suspend).await?;
    let receipt_handle = changed.to_string();
    Ok(ChangeInvisibleDurationResponse { status: Some(status::ok()), receipt_handle })
}
