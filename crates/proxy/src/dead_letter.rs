//! Messages that a consumer gives up on.
//!
//! Source: `ForwardMessageToDLQActivity`, `ProducerProcessor.forwardMessageToDeadLetterQueue`.

use crate::ack;
use crate::context::Context;
use crate::settle::Place;
use crate::status::{self, Refusal};
use crate::v2::{Code, ForwardMessageToDeadLetterQueueRequest, ForwardMessageToDeadLetterQueueResponse};
use crate::{lite, validate};

pub(crate) async fn forward(
    context: &Context,
    request: &ForwardMessageToDeadLetterQueueRequest,
) -> Result<ForwardMessageToDeadLetterQueueResponse, Refusal> {
    let group = validate::group(request.group.as_ref())?;
    let topic = validate::topic(request.topic.as_ref())?;
    let receipt = ack::receipt(context, group, topic, &request.receipt_handle).await?;
    let offset = receipt.log_offset;
    let offset = offset.ok_or_else(|| Refusal::new(Code::InvalidReceiptHandle, "commit log offset is empty"))?;
    let lite_topic = lite::of_receipt(context, group, request.lite_topic.as_deref(), &receipt).await?;
    let place = Place { group, topic, lite_topic: lite_topic.as_deref() };
    context.backend.bury(place, &receipt.broker_name, offset).await?;
    ack::ack_receipt(context, place, &receipt).await?;
    Ok(ForwardMessageToDeadLetterQueueResponse { status: Some(status::ok()) })
}
