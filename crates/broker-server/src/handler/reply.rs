//! Replies to request messages: handed to the client that asked, and kept.
//!
//! Source: `ReplyMessageProcessor`.

use broker::{NewMessage, ReplyTo};
use protocol::name::AUTO_CREATE_TOPIC;
use protocol::request::{PushReply, PushReplyHeader, Request, SendMessageHeader, SendMessageReply};
use protocol::{Fields, Frame, code, id, properties};
use remoting::Response;
use store::Appended;
use tracing::warn;

use super::relay::CLIENT_TIMEOUT;
use super::send::{header_of, message_of};
use crate::code::Outcome;
use crate::table::Call;

pub(crate) async fn reply(call: Call) -> Outcome {
    let header = header_of(&call.frame)?;
    let message = message_of(&call.context, &call.peer, &call.frame, &header);
    let to = call.broker().check_reply(&message)?;
    let handed_over = hand_over(&call, &header, &message, &to).await;
    let stored = store(&call, &message, to.queue_id).await;

    // What was handed over but not kept still needs an id that clients can read: Java answers 0.
    let msg_id = match &stored {
        Some(stored) => id::offset_id(message.store_host, stored.log_offsets[0].0),
        None => "0".to_owned(),
    };
    let config = call.broker().config();
    let header = SendMessageReply {
        recall_handle: None,
        msg_id: &msg_id,
        queue_id: to.queue_id,
        queue_offset: stored.map_or(0, |stored| stored.queue_offset.0 as i64),
        transaction_id: None,
        msg_region: Some(&config.region),
        trace_on: Some(if config.trace_on { "true" } else { "false" }),
    };
    let fields = Fields::of(&header);
    Ok(match handed_over {
        Ok(()) => Response { fields, ..Response::ok() },
        // Also when it was kept: who replies must know that nobody has heard it.
        Err(remark) => Response { fields, ..Response::error(code::SYSTEM_ERROR, remark) },
    })
}

/// Hands the reply to the client that waits for it. The errors are Java's texts.
async fn hand_over(
    call: &Call,
    header: &SendMessageHeader<'_>,
    message: &NewMessage<'_>,
    to: &ReplyTo<'_>,
) -> Result<(), String> {
    let Some(client) = to.client else {
        return Err("reply message properties[REPLY_TO_CLIENT] is null".to_owned());
    };
    let connections = to.connections.iter().filter_map(|connection| call.context.connections.get(*connection));
    let Some(peer) = connections.into_iter().find(|peer| !peer.is_closed()) else {
        return Err(format!("push reply message fail, channel of <{client}> not found."));
    };
    let now_ms = call.broker().now_ms();
    let mut text = message.properties.to_owned();
    properties::set(&mut text, properties::PUSH_REPLY_TIME, Some(&now_ms.to_string()));
    let push = PushReplyHeader {
        producer_group: header.producer_group.unwrap_or_default(),
        topic: header.topic,
        default_topic: header.default_topic.unwrap_or(AUTO_CREATE_TOPIC),
        default_topic_queue_nums: message.template_queues,
        queue_id: header.queue_id,
        sys_flag: message.sys_flag,
        born_timestamp: message.born_timestamp,
        flag: message.flag,
        properties: Some(&text),
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        born_host: &message.born_host.to_string(),
        store_host: &message.store_host.to_string(),
        store_timestamp: now_ms,
    };
    let frame = Frame::request(PushReply::CODE, &push).with_body(call.frame.body.clone());
    let reason = match peer.call(frame, CLIENT_TIMEOUT).await {
        Ok(answer) if answer.code == code::SUCCESS.0 => return Ok(()),
        Ok(answer) => answer.remark.unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    warn!(client, reason, "reply not taken by the client that waits for it");
    Err(format!("push reply message to {client}fail."))
}

/// Keeps the reply if replies are kept. That it could not be kept changes nothing for who replies or waits.
async fn store(call: &Call, message: &NewMessage<'_>, queue_id: i32) -> Option<Appended> {
    let stored = match call.broker().store_reply(message, queue_id) {
        Ok(stored) => stored?,
        Err(error) => {
            warn!(topic = message.topic, %error, "reply not kept");
            return None;
        }
    };
    let mark = call.broker().store().acknowledged();
    match tokio::time::timeout(call.context.flush_timeout(), mark.wait(stored.end)).await {
        Ok(Err(error)) => {
            warn!(topic = message.topic, %error, "reply not kept");
            None
        }
        // A slow flush is no failure: the record is in the log.
        _ => Some(stored),
    }
}
