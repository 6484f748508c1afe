//! Messages that a consumer gives up on.
//!
//! Source: `ForwardMessageToDLQActivity`, `ProducerProcessor.forwardMessageToDeadLetterQueue`.

use std::net::SocketAddr;

use broker::SendBack;

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
    let receipt = ack::receipt(context, group, topic, &request.receipt_handle)?;
    let offset = receipt.log_offset;
    let offset = offset.ok_or_else(|| Refusal::new(Code::InvalidReceiptHandle, "commit log offset is empty"))?;
    bury(context, group, offset).await?;
    let lite_topic = lite::of_receipt(context, group, request.lite_topic.as_deref(), &receipt).await?;
    ack::ack_receipt(context, Place { group, topic, lite_topic: lite_topic.as_deref() }, &receipt)?;
    Ok(ForwardMessageToDeadLetterQueueResponse { status: Some(status::ok()) })
}

/// Makes a dead letter of the message at a place of the log, and waits until it is safe.
pub(crate) async fn bury(context: &Context, group: &str, log_offset: u64) -> Result<(), Refusal> {
    let ip = context.advertised.ip.unwrap_or_else(|| [127, 0, 0, 1].into());
    let back = SendBack {
        group: group.to_owned(),
        offset: i64::try_from(log_offset).unwrap_or(i64::MAX),
        delay_level: -1,
        max_reconsume_times: Some(0),
        unit: false,
        store_host: SocketAddr::new(ip, context.advertised.remoting_port),
    };
    if let Some(appended) = context.broker.send_back(&back).await? {
        // What is acked then is gone: its copy must be there.
        context.safe(appended.end).await?;
    }
    Ok(())
}
