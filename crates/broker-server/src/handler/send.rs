//! Sending, giving messages back, and calling them back.

use std::net::SocketAddr;

use broker::{LogOffset, NewMessage, SendBack};
use protocol::header::{FieldWriter, Header};
use protocol::name::AUTO_CREATE_TOPIC;
use protocol::peer::VERSION_MAX_RECONSUME_TIMES;
use protocol::receipt_template::ReceiptValues;
use protocol::request::{
    ConsumerSendBackHeader, RecallMessageHeader, RecallMessageReply, Request, SendMessage, SendMessageHeader,
    SendMessageReply, SendMessageV2Header, SendReply,
};
use protocol::{Frame, HeaderError, id, properties};
use remoting::{Answer, Outbox, Peer, ReplyTo, Response};
use tokio::time::Instant;

use crate::code::{Outcome, Refusal};
use crate::service::{Context, ParkedSend};
use crate::table::Call;

/// The hot path: borrows everything, where other handlers get a [`Call`] of their own.
pub(crate) fn send(context: &Context, peer: &Peer, frame: &Frame, arrived: Instant) -> Answer<ParkedSend> {
    match try_send(context, peer, frame, arrived) {
        Ok(parked) => Answer::Parked(parked),
        Err(Refusal(response)) => response.into(),
    }
}

fn try_send(context: &Context, peer: &Peer, frame: &Frame, arrived: Instant) -> Result<ParkedSend, Refusal> {
    let message = message_of(context, peer, frame, &header_of(frame)?);
    let store_host = message.store_host;
    let receipt = context.broker.send(&message)?;
    Ok(ParkedSend {
        end: receipt.appended.end,
        request: frame.code,
        oneway: frame.is_oneway(),
        arrived,
        deadline: arrived + context.flush_timeout(),
        receipt,
        store_host,
    })
}

/// The header of a send or a reply, under whichever names its fields come.
pub(super) fn header_of(frame: &Frame) -> Result<SendMessageHeader<'_>, HeaderError> {
    match frame.code {
        SendMessage::CODE | SendReply::CODE => frame.header(),
        _ => frame.header::<SendMessageV2Header<'_>>().map(Into::into),
    }
}

/// The message in a send or a reply.
pub(super) fn message_of<'a>(
    context: &Context,
    peer: &Peer,
    frame: &'a Frame,
    header: &SendMessageHeader<'a>,
) -> NewMessage<'a> {
    NewMessage {
        topic: header.topic,
        template: header.default_topic.unwrap_or(AUTO_CREATE_TOPIC),
        template_queues: header.default_topic_queue_nums.unwrap_or(4),
        queue_id: header.queue_id,
        flag: header.flag.unwrap_or(0),
        sys_flag: header.sys_flag.unwrap_or(0),
        born_timestamp: header.born_timestamp.unwrap_or_else(|| context.broker.now_ms()),
        born_host: canonical(peer.remote()),
        store_host: context.store_host(peer),
        reconsume_times: header.reconsume_times.unwrap_or(0),
        max_reconsume_times: header.max_reconsume_times.filter(|_| frame.version >= VERSION_MAX_RECONSUME_TIMES),
        unit: header.unit_mode,
        properties: header.properties.unwrap_or_default(),
        batch: header.batch,
        body: &frame.body,
    }
}

/// Writes the receipt of a message that was stored, if it is one of the many that look alike.
pub(crate) fn write_plain_receipt(context: &Context, parked: &ParkedSend, to: ReplyTo, out: &mut Outbox) -> bool {
    let ParkedSend { receipt: broker::Receipt { queue_id, appended, unique_key, recall_handle, .. }, .. } = parked;
    let (Some(unique_key), [log_offset], None) = (unique_key, &appended.log_offsets[..], recall_handle) else {
        return false;
    };
    out.reply_json(to, |opaque, bytes| {
        let receipt = ReceiptValues {
            opaque,
            store_host: parked.store_host,
            log_offset: log_offset.0,
            queue_id: *queue_id,
            queue_offset: appended.queue_offset.0 as i64,
            unique_key,
        };
        context.receipts.encode(&receipt, bytes)
    })
}

/// Writes the header of any receipt.
pub(crate) fn write_receipt(context: &Context, parked: &ParkedSend, reply: impl FnOnce(&dyn Fn(&mut FieldWriter<'_>))) {
    let ParkedSend { receipt, store_host, .. } = parked;
    let id = |offset: &LogOffset| id::offset_id(*store_host, offset.0);
    let msg_id = match &receipt.appended.log_offsets[..] {
        [one] => id(one),
        batch => batch.iter().map(id).collect::<Vec<_>>().join(","),
    };
    let config = context.broker.config();
    let header = SendMessageReply {
        msg_id: &msg_id,
        queue_id: receipt.queue_id,
        queue_offset: receipt.appended.queue_offset.0 as i64,
        transaction_id: receipt.unique_key.as_deref(),
        msg_region: Some(&config.region),
        trace_on: Some(if config.trace_on { "true" } else { "false" }),
        recall_handle: receipt.recall_handle.as_deref(),
    };
    reply(&|out| header.encode(out));
}

pub(crate) async fn send_back(call: Call) -> Outcome {
    let header: ConsumerSendBackHeader<'_> = call.frame.header()?;
    let back = SendBack {
        group: header.group.to_owned(),
        offset: header.offset,
        delay_level: header.delay_level,
        max_reconsume_times: header.max_reconsume_times.filter(|_| call.frame.version >= VERSION_MAX_RECONSUME_TIMES),
        unit: header.unit_mode,
        store_host: call.context.store_host(&call.peer),
    };
    let stored = call.broker().send_back(&back).await?;
    if let Some(appended) = stored {
        // The consumer commits its offset past this message once it hears of success: the copy must be safe by then.
        call.broker().store().acknowledged().wait(appended.end).await?;
    }
    Ok(Response::ok())
}

/// Says the region whatever comes of it: clients trace a recall, also one that was refused, only if it is there. Source:
/// `DefaultRecallMessageTraceHook`.
pub(crate) async fn recall(call: Call) -> Outcome {
    let mut outcome = recall_now(&call).await;
    let response = match &mut outcome {
        Ok(response) => response,
        Err(Refusal(response)) => response,
    };
    response.fields.push(properties::MSG_REGION, &call.broker().config().region);
    outcome
}

async fn recall_now(call: &Call) -> Outcome {
    let header: RecallMessageHeader<'_> = call.frame.header()?;
    let (born_host, store_host) = (canonical(call.peer.remote()), call.context.store_host(&call.peer));
    let recalled = call.broker().recall(header.topic, header.recall_handle, born_host, store_host)?;
    if let Some(appended) = recalled.appended {
        call.broker().store().acknowledged().wait(appended.end).await?;
    }
    Ok(Response::of(&RecallMessageReply { msg_id: &recalled.unique_key }))
}

/// IPv4 clients of a socket that listens on both families, as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
