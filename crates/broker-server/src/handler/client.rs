//! The life of clients: heartbeat, leaving, members, locks, and how admin tools see them.

use broker::{FilterText, Heartbeat};
use protocol::body::{
    CheckClientRequest, ConsumerIdList, HeartbeatData, LockBatchReply, LockBatchRequest, ProducerConnection,
    ProducerTable,
};
use protocol::request::{ConsumerGroupHeader, HeartBeatReply, ProducerGroupHeader, UnregisterClientHeader};
use protocol::{code, json};
use remoting::{Answer, Response};

use crate::code::{Outcome, Refusal};
use crate::connections::id_of;
use crate::service::ParkedSend;
use crate::table::Call;

pub(crate) fn heartbeat(call: Call) -> Answer<ParkedSend> {
    let response = match take_heartbeat(&call) {
        Ok(response) => response,
        Err(Refusal(response)) => return response.into(),
    };
    if call.context.registered.is_current() {
        return response.into();
    }
    // A retry topic that was just made must be found by the route request that follows.
    let registered = call.context.registered.clone();
    Answer::later(async move {
        registered.wait().await;
        Ok(response)
    })
}

fn take_heartbeat(call: &Call) -> Outcome {
    let data: HeartbeatData = json::parse(&call.frame.body)?;
    let beat = Heartbeat {
        connection: id_of(&call.peer),
        address: call.peer.remote().to_string(),
        language: call.frame.language,
        version: call.frame.version,
        data,
    };
    call.context.connections.add(call.broker(), &call.peer);
    let changed = call.broker().heartbeat(&beat);
    call.broker().tell(&changed);
    // Clients that use fingerprints send their subscriptions again only when told to; ours are kept until they leave.
    let subscription_changed = Some(if beat.data.heartbeat_fingerprint == 0 { "true" } else { "false" });
    Ok(Response::of(&HeartBeatReply { supports_v2: Some("true"), subscription_changed }))
}

pub(crate) fn unregister(call: &Call) -> Outcome {
    let header: UnregisterClientHeader<'_> = call.frame.header()?;
    let sessions = call.broker().sessions();
    let changed = sessions.unregister(id_of(&call.peer), header.producer_group, header.consumer_group);
    call.broker().tell(&changed);
    Ok(Response::ok())
}

pub(crate) fn consumer_list(call: &Call) -> Outcome {
    let header: ConsumerGroupHeader<'_> = call.frame.header()?;
    let consumer_id_list = call.broker().sessions().client_ids(header.consumer_group);
    if consumer_id_list.is_empty() {
        let remark = format!("no consumer for this group, {}", header.consumer_group);
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    Ok(Response::ok().with_body(json::to_vec(&ConsumerIdList { consumer_id_list })))
}

pub(crate) fn lock(call: &Call) -> Outcome {
    let request: LockBatchRequest = json::parse(&call.frame.body)?;
    let now = call.broker().now_ms();
    let granted = call.broker().locks().lock(&request.consumer_group, &request.client_id, request.mq_set, now);
    Ok(Response::ok().with_body(json::to_vec(&LockBatchReply { lock_ok_mq_set: granted })))
}

pub(crate) fn unlock(call: &Call) -> Outcome {
    let request: LockBatchRequest = json::parse(&call.frame.body)?;
    call.broker().locks().unlock(&request.consumer_group, &request.client_id, &request.mq_set);
    Ok(Response::ok())
}

pub(crate) fn check_config(call: &Call) -> Outcome {
    if call.frame.body.is_empty() {
        return Ok(Response::ok());
    }
    let request: CheckClientRequest = json::parse(&call.frame.body)?;
    if let Some(subscription) = request.subscription_data {
        let kind = subscription.expression_type.as_deref();
        call.broker().check_filter(FilterText { kind, expression: &subscription.sub_string })?;
    }
    Ok(Response::ok())
}

pub(crate) fn consumer_connections(call: &Call) -> Outcome {
    let header: ConsumerGroupHeader<'_> = call.frame.header()?;
    let offline = || {
        let remark = format!("the consumer group[{}] not online", header.consumer_group);
        Refusal::new(code::CONSUMER_NOT_ONLINE, remark)
    };
    let connection = call.broker().sessions().consumer_connection(header.consumer_group).ok_or_else(offline)?;
    Ok(Response::ok().with_body(json::to_vec(&connection)))
}

pub(crate) fn producer_connections(call: &Call) -> Outcome {
    let header: ProducerGroupHeader<'_> = call.frame.header()?;
    let producers = call.broker().sessions().producers(header.producer_group);
    if producers.is_empty() {
        let remark = format!("the producer group[{}] not exist", header.producer_group);
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    let connection_set = producers.into_iter().map(|producer| producer.shown).collect();
    Ok(Response::ok().with_body(json::to_vec(&ProducerConnection { connection_set })))
}

pub(crate) fn all_producers(call: &Call) -> Outcome {
    let data = call.broker().sessions().all_producers();
    Ok(Response::ok().with_body(json::to_vec(&ProducerTable { data })))
}
