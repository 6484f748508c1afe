//! Lite topics.

use broker::{LiteAction, LiteStart, LiteSubscription, PopLiteRequest, PopStatus, Unsubscribed};
use protocol::body::{LiteOffsetOption, LiteSubscriptionEntry, LiteSubscriptions};
use protocol::request::{
    LiteClientHeader, LiteDispatchHeader, LiteGroupHeader, LiteTopicHeader, ParentTopicHeader, PopLiteMessageHeader,
    PopLiteMessageReply,
};
use protocol::{Fields, code, json};
use remoting::Response;

use crate::code::{Outcome, Refusal};
use crate::connections::id_of;
use crate::handler::pop::{millis, wait};
use crate::table::Call;

/// A name that was given: as in Java, one of blanks is none.
pub(crate) fn named(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.trim().is_empty())
}

pub(crate) async fn pop(call: Call) -> Outcome {
    let header: PopLiteMessageHeader<'_> = call.frame.header()?;
    let Some(wait) = wait(&call, header.born_time, header.poll_time) else {
        return Err(Refusal::new(code::POLLING_TIMEOUT, "the wait was over before the request came"));
    };
    let pop = call.broker().begin_pop_lite(&PopLiteRequest {
        client_id: header.client_id,
        group: header.consumer_group,
        topic: header.topic,
        max_messages: header.max_msg_num,
        invisible: millis(header.invisible_time),
        wait,
        attempt_id: header.attempt_id,
    })?;
    let popped = pop.run().await?;
    let (code, remark) = match popped.status {
        PopStatus::Found => (code::SUCCESS, "FOUND"),
        PopStatus::PollingTimeout => (code::POLLING_TIMEOUT, "no message before the end of the wait"),
        PopStatus::PollingFull => (code::POLLING_FULL, "too many pops of this client wait already"),
    };
    let counts: Vec<_> = popped.messages.iter().map(|message| message.deliveries.to_string()).collect();
    let reply = PopLiteMessageReply {
        pop_time: popped.pop_ms,
        invisible_time: popped.invisible_ms,
        revive_qid: popped.revive_queue,
        order_count_info: Some(&counts.join(";")),
    };
    let body = popped.messages.into_iter().map(|message| message.record).collect();
    Ok(Response { code, remark: Some(remark.into()), fields: Fields::of(&reply), body })
}

pub(crate) fn subscribe(call: &Call) -> Outcome {
    let refuse = |reason: &str| Refusal::new(code::ILLEGAL_OPERATION, reason);
    if call.frame.body.is_empty() {
        return Err(refuse("the request has no body"));
    }
    let changes: LiteSubscriptions = json::parse(&call.frame.body)?;
    if changes.subscription_set.is_empty() {
        return Err(refuse("the request changes no subscription"));
    }
    for change in &changes.subscription_set {
        let gone = apply(call, change)?;
        gone.iter().for_each(|gone| tell(call, gone));
    }
    Ok(Response::ok())
}

fn apply(call: &Call, change: &LiteSubscriptionEntry) -> Result<Vec<Unsubscribed>, Refusal> {
    // As in Java, an entry that does not say whose it is changes nothing.
    let (Some(client_id), Some(group), Some(topic)) =
        (named(change.client_id.as_deref()), named(change.group.as_deref()), named(change.topic.as_deref()))
    else {
        return Ok(Vec::new());
    };
    let action = match change.action.as_str() {
        "PARTIAL_ADD" => LiteAction::PartialAdd,
        "PARTIAL_REMOVE" => LiteAction::PartialRemove,
        "COMPLETE_ADD" => LiteAction::CompleteAdd,
        "COMPLETE_REMOVE" => LiteAction::CompleteRemove,
        other => {
            let remark = format!("the action {other:?} of a lite subscription is not known");
            return Err(Refusal::new(code::ILLEGAL_OPERATION, remark));
        }
    };
    let lite_topics: Vec<&str> = change.lite_topic_set.iter().flatten().map(String::as_str).collect();
    Ok(call.broker().lite_subscribe(&LiteSubscription {
        action,
        client_id,
        group,
        topic,
        lite_topics: &lite_topics,
        start: change.offset_option.as_ref().and_then(start),
        connection: Some(id_of(&call.peer)),
    })?)
}

/// `TIMESTAMP` is accepted and means nothing, in Java too.
fn start(option: &LiteOffsetOption) -> Option<LiteStart> {
    match (option.kind.as_str(), option.value) {
        ("POLICY", 0) => Some(LiteStart::Keep),
        ("POLICY", 1) => Some(LiteStart::Min),
        ("POLICY", 2) => Some(LiteStart::Max),
        ("OFFSET", offset) => Some(LiteStart::Offset(offset)),
        ("TAIL_N", count) => Some(LiteStart::Tail(count)),
        _ => None,
    }
}

/// Whatever wire it speaks.
fn tell(call: &Call, gone: &Unsubscribed) {
    if let Some(client) = gone.connection.and_then(|id| call.broker().reach().get(id)) {
        client.lite_topic_lost(gone);
    }
}

pub(crate) fn broker_info(call: &Call) -> Outcome {
    Ok(Response::ok().with_body(json::to_vec(&call.broker().lite_info())))
}

pub(crate) fn parent_info(call: &Call) -> Outcome {
    let header: ParentTopicHeader<'_> = call.frame.header()?;
    Ok(Response::ok().with_body(json::to_vec(&call.broker().lite_parent_info(header.topic)?)))
}

pub(crate) async fn topic_info(call: Call) -> Outcome {
    let header: LiteTopicHeader<'_> = call.frame.header()?;
    let info = call.broker().lite_topic_info(header.parent_topic, header.lite_topic).await?;
    Ok(Response::ok().with_body(json::to_vec(&info)))
}

pub(crate) fn client_info(call: &Call) -> Outcome {
    let header: LiteClientHeader<'_> = call.frame.header()?;
    let max = header.max_count.unwrap_or(1000).clamp(0, 10_000) as usize;
    let info = call.broker().lite_client_info(header.parent_topic, header.group, header.client_id, max)?;
    Ok(Response::ok().with_body(json::to_vec(&info)))
}

pub(crate) async fn group_info(call: Call) -> Outcome {
    let header: LiteGroupHeader<'_> = call.frame.header()?;
    let lite_topic = header.lite_topic.filter(|lite_topic| !lite_topic.is_empty());
    let top = header.top_k.unwrap_or(50).max(1) as usize;
    let info = call.broker().lite_group_info(header.group, lite_topic, top).await?;
    Ok(Response::ok().with_body(json::to_vec(&info)))
}

pub(crate) fn dispatch(call: &Call) -> Outcome {
    let header: LiteDispatchHeader<'_> = call.frame.header()?;
    let client = header.client_id.filter(|client| !client.is_empty());
    call.broker().lite_dispatch(header.group, client)?;
    Ok(Response::ok())
}
