//! Questions of admin tools that only a client can answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{AskError, Asked, ConsumerSession, Question, Told};
use protocol::body::SubscriptionData;
use protocol::json::Keyed;
use protocol::peer::version_name;
use protocol::request::{
    ConsumeMessageDirectlyHeader, GetConsumerRunningInfo, GetConsumerRunningInfoHeader, GetConsumerStatusFromClient,
    GetConsumerStatusHeader, Request,
};
use protocol::{Frame, code, id};
use remoting::{CallError, Peer, Response};
use serde_json::json;

use crate::code::{Outcome, Refusal};
use crate::connections::id_of;
use crate::table::Call;

/// How long a client may take. Source: `Broker2Client.callClient`.
pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client that pulls may take to say what it subscribes to.
const SUBSCRIPTION_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn running_info(call: Call) -> Outcome {
    let header: GetConsumerRunningInfoHeader<'_> = call.frame.header()?;
    let consumer = find(&call, header.consumer_group, Some(header.client_id))?;
    let Some(other) = ask(&call, &consumer, Question::ThreadStack)? else {
        let peer = peer_of(&call, &consumer)?;
        return relay(&peer, Frame::request(call.frame.code, &header)).await;
    };
    // A client of another wire knows nothing else of what admin tools are shown.
    let stack = match header.jstack_enable {
        true => Some(told(other.await)?),
        false => None,
    };
    let jstack = match stack {
        Some(Told::ThreadStack(text)) => Some(text),
        _ => None,
    };
    let info = json!({
        "jstack": jstack,
        "mqPopTable": {},
        "mqTable": {},
        "properties": {"PROP_CLIENT_VERSION": version_name(consumer.shown.version)},
        "statusTable": {},
        "subscriptionSet": [],
        "userConsumerInfo": {},
    });
    Ok(Response::ok().with_body(info.to_string()))
}

pub(crate) async fn consume_directly(call: Call) -> Outcome {
    let mut header: ConsumeMessageDirectlyHeader<'_> = call.frame.header()?;
    let consumer = find(&call, header.consumer_group, header.client_id)?;
    let wrong = || Refusal::new(code::SYSTEM_ERROR, "msgId is not the offset message id of a stored message");
    let (_, offset) = header.msg_id.and_then(id::parse_offset_id).ok_or_else(wrong)?;
    let record = call.broker().view(offset as i64).await?;
    let begin = Instant::now();
    if let Some(other) = ask(&call, &consumer, Question::Consume(record.clone()))? {
        let (result, remark) = match told(other.await)? {
            Told::Later => ("CR_LATER", None),
            Told::Unreadable => ("CR_RETURN_NULL", Some("the client could not read the message")),
            Told::Consumed | Told::ThreadStack(_) => ("CR_SUCCESS", None),
        };
        let result = json!({
            "autoCommit": true,
            "consumeResult": result,
            "order": false,
            "remark": remark,
            "spentTimeMills": begin.elapsed().as_millis() as u64,
        });
        return Ok(Response::ok().with_body(result.to_string()));
    }
    let peer = peer_of(&call, &consumer)?;
    let config = call.broker().config();
    header.broker_name = Some(&config.broker_name);
    let frame = Frame::request(call.frame.code, &header).with_body(record);
    drop(config);
    relay(&peer, frame).await
}

/// Takes over the subscriptions that the caller has now. Clients of all languages change them, by every rebalance, and
/// skip the heartbeat that says so while another is under way; the next comes 30 seconds later, and until then no pull
/// would get anything. Without an answer things stay as they are, and the client pulls again a second later.
pub(super) async fn renew_subscriptions(call: &Call, group: &str) {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RunningInfo {
        subscription_set: Vec<SubscriptionData>,
    }
    let id = id_of(&call.peer);
    let Some(_once) = call.context.connections.ask(id) else { return };
    let sessions = call.broker().sessions();
    let Some(caller) = sessions.consumers(group).into_iter().find(|consumer| consumer.connection == id) else { return };
    let header = GetConsumerRunningInfoHeader {
        consumer_group: group,
        client_id: &caller.shown.client_id,
        jstack_enable: false,
    };
    let question = Frame::request(GetConsumerRunningInfo::CODE, &header);
    let Ok(answer) = call.peer.call(question, SUBSCRIPTION_TIMEOUT).await else { return };
    if let Ok(info) = protocol::json::parse::<RunningInfo>(&answer.body) {
        sessions.renew(id, group, &info.subscription_set);
    }
}

/// Offsets as the clients of a group see them.
pub(crate) async fn consumer_status(call: Call) -> Outcome {
    let header: GetConsumerStatusHeader<'_> = call.frame.header()?;
    let wanted = header.client_addr.filter(|address| !address.is_empty());
    let consumers = call.broker().sessions().consumers(header.group);
    let asked =
        consumers.into_iter().filter(|consumer| wanted.is_none_or(|wanted| consumer.shown.client_addr == wanted));
    let mut by_client = Keyed::default();
    for consumer in asked {
        let Some(peer) = call.context.connections.get(consumer.connection) else { continue };
        let answer = peer.call(Frame::request(GetConsumerStatusFromClient::CODE, &header), CLIENT_TIMEOUT).await;
        if let Some(table) = answer.ok().and_then(|answer| message_queue_table(&answer.body)) {
            by_client.raw_entry(&consumer.shown.client_id, &table);
        }
    }
    let body = format!("{{\"consumerTable\":{},\"messageQueueTable\":{{}}}}", by_client.finish());
    Ok(Response::ok().with_body(body))
}

/// The offsets in the body of a client's answer, as the text they are: its keys are objects.
fn message_queue_table(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        message_queue_table: std::collections::BTreeMap<String, i64>,
    }
    let status: Status = protocol::json::parse(body).ok()?;
    let mut table = Keyed::default();
    for (queue, offset) in status.message_queue_table {
        let queue: protocol::body::MessageQueue = protocol::json::parse(queue.as_bytes()).ok()?;
        table.entry(&queue, &offset);
    }
    Some(table.finish())
}

fn offline(group: &str, client_id: Option<&str>) -> Refusal {
    let client = client_id.unwrap_or("any");
    Refusal::new(code::SYSTEM_ERROR, format!("The Consumer <{group}> <{client}> not online"))
}

fn find(call: &Call, group: &str, client_id: Option<&str>) -> Result<ConsumerSession, Refusal> {
    let wanted =
        |consumer: &ConsumerSession| client_id.is_none_or(|id| id.is_empty() || consumer.shown.client_id == id);
    let consumers = call.broker().sessions().consumers(group);
    consumers.into_iter().find(wanted).ok_or_else(|| offline(group, client_id))
}

fn peer_of(call: &Call, consumer: &ConsumerSession) -> Result<Arc<Peer>, Refusal> {
    let client = &consumer.shown.client_id;
    call.context.connections.get(consumer.connection).ok_or_else(|| offline("", Some(client)))
}

/// Asks a client of another wire; `None` if it speaks remoting, where the request itself is handed on.
fn ask(call: &Call, consumer: &ConsumerSession, question: Question) -> Result<Option<Asked>, Refusal> {
    let client = call.broker().reach().get(consumer.connection);
    Ok(client.ok_or_else(|| offline("", Some(&consumer.shown.client_id)))?.ask(question))
}

fn told(answer: Result<Told, AskError>) -> Result<Told, Refusal> {
    answer.map_err(|error| {
        // Source: `GrpcClientChannel`, `ProxyRelayResult`.
        let code = match error {
            AskError::Timeout(_) => code::SYSTEM_BUSY,
            AskError::Refused { .. } => code::NO_PERMISSION,
            AskError::Gone(_) => code::SYSTEM_ERROR,
        };
        Refusal::new(code, error.to_string())
    })
}

async fn relay(peer: &Peer, frame: Frame) -> Outcome {
    let answer = peer.call(frame, CLIENT_TIMEOUT).await.map_err(|error| {
        let code = match error {
            CallError::Timeout { .. } => code::CONSUME_MSG_TIMEOUT,
            _ => code::SYSTEM_ERROR,
        };
        Refusal::new(code, error.to_string())
    })?;
    Ok(Response {
        code: code::Code(answer.code),
        remark: answer.remark,
        fields: answer.fields,
        body: vec![answer.body],
    })
}
