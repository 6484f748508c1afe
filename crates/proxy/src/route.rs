//! Where the queues of a topic are, and which of them a push consumer receives from.
//!
//! Source: `RouteActivity`.

use protocol::{name, perm};

use crate::backend::{Share, Topic};
use crate::caller::Caller;
use crate::context::Context;
use crate::status::{self, Refusal};
use crate::v2::{
    Assignment, Broker, Code, Endpoints, MessageQueue, MessageType, Permission, QueryAssignmentRequest,
    QueryAssignmentResponse, QueryRouteRequest, QueryRouteResponse, Resource,
};
use crate::{lite, validate};

/// Broker id of a master.
const MASTER: i64 = 0;

pub(crate) async fn route(
    context: &Context,
    caller: &Caller,
    request: &QueryRouteRequest,
) -> Result<QueryRouteResponse, Refusal> {
    let topic = context.backend.topic(validate::topic(request.topic.as_ref())?).await?;
    let endpoints = context.endpoints(caller, request.endpoints.as_ref());
    let accepted = accepted(&topic).into_iter().map(|kind| kind as i32).collect::<Vec<_>>();
    let mut message_queues = Vec::new();
    for share in topic.shares() {
        // One set of queues for each id of a broker; clients keep those of the master.
        for id in share.ids {
            let broker = broker_at(&share, *id, &endpoints);
            message_queues.extend(permissions(&share).into_iter().enumerate().map(|(id, permission)| MessageQueue {
                topic: request.topic.clone(),
                // There are at most some thousand.
                id: id as i32,
                permission: permission as i32,
                broker: Some(broker.clone()),
                accept_message_types: accepted.clone(),
            }));
        }
    }
    Ok(QueryRouteResponse { status: Some(status::ok()), message_queues })
}

/// A broker, which clients reach through us.
fn broker_at(share: &Share<'_>, id: i64, endpoints: &Endpoints) -> Broker {
    let id = i32::try_from(id).unwrap_or(i32::MAX);
    Broker { name: share.broker.to_owned(), id, endpoints: Some(endpoints.clone()) }
}

/// Permissions of the queues of a topic, in the order of their numbers. Source: `RouteActivity.genMessageQueueFromQueueData`.
fn permissions(share: &Share<'_>) -> Vec<Permission> {
    let (read, write) = (share.read_queues, share.write_queues);
    let counts = match (perm::is_readable(share.perm), perm::is_writeable(share.perm)) {
        (true, true) => {
            let both = read.min(write);
            [(Permission::Read, read - both), (Permission::Write, write - both), (Permission::ReadWrite, both)]
        }
        (true, false) => [(Permission::Read, read), (Permission::None, 0), (Permission::None, 0)],
        (false, true) => [(Permission::Write, write), (Permission::None, 0), (Permission::None, 0)],
        (false, false) => [(Permission::None, read.max(write).max(1)), (Permission::None, 0), (Permission::None, 0)],
    };
    counts.into_iter().flat_map(|(permission, count)| std::iter::repeat_n(permission, count as usize)).collect()
}

/// What a topic takes. Source: `RouteActivity.parseTopicMessageType`, `TopicMessageType`.
pub(crate) fn accepted(topic: &Topic) -> Vec<MessageType> {
    match topic.kind() {
        None | Some("NORMAL") => vec![MessageType::Normal],
        Some("FIFO") => vec![MessageType::Fifo],
        Some("DELAY") => vec![MessageType::Delay],
        Some("TRANSACTION") => vec![MessageType::Transaction],
        Some("PRIORITY") => vec![MessageType::Priority],
        Some("LITE") => vec![MessageType::Lite],
        Some("MIXED") => {
            vec![MessageType::Normal, MessageType::Fifo, MessageType::Delay, MessageType::Transaction]
        }
        Some(_) => vec![MessageType::Unspecified],
    }
}

pub(crate) async fn assignment(
    context: &Context,
    caller: &Caller,
    request: &QueryAssignmentRequest,
) -> Result<QueryAssignmentResponse, Refusal> {
    let topic = context.backend.topic(validate::topic(request.topic.as_ref())?).await?;
    let group = context.backend.group(validate::group(request.group.as_ref())?).await?;
    // All queues at once, unless their order counts: then a client receives from each by itself.
    let one_by_one = group.consume_message_orderly && lite::parent(&group).is_none();
    let endpoints = context.endpoints(caller, request.endpoints.as_ref());
    let mut assignments = Vec::new();
    for share in topic.shares().into_iter().filter(|share| share.is_readable() && share.ids.contains(&MASTER)) {
        let permission = if perm::is_writeable(share.perm) { Permission::ReadWrite } else { Permission::Read };
        let broker = broker_at(&share, MASTER, &endpoints);
        let queues = if one_by_one { 0..share.read_queues } else { -1..0 };
        assignments.extend(queues.map(|id| Assignment {
            message_queue: Some(MessageQueue {
                topic: Some(Resource { name: topic.name().to_owned(), ..request.topic.clone().unwrap_or_default() }),
                id,
                permission: permission as i32,
                broker: Some(broker.clone()),
                accept_message_types: Vec::new(),
            }),
        }));
    }
    if assignments.is_empty() {
        return Err(Refusal::new(Code::Forbidden, "no readable queue"));
    }
    Ok(QueryAssignmentResponse { status: Some(status::ok()), assignments })
}

/// Whether a message of this type may be sent to the topic. Source: `DefaultTopicMessageTypeValidator`.
pub(crate) fn check_type(topic: &Topic, kind: MessageType) -> Result<(), Refusal> {
    let name = topic.name();
    let derived = name.starts_with(name::RETRY_PREFIX) || name.starts_with(name::DLQ_PREFIX);
    let mixed = topic.kind() == Some("MIXED");
    if derived || mixed || accepted(topic).contains(&kind) {
        return Ok(());
    }
    let wanted = accepted(topic).iter().map(|kind| kind.as_str_name()).collect::<Vec<_>>().join(", ");
    Err(Refusal::new(
        Code::MessagePropertyConflictWithType,
        format!(
            "TopicMessageType validate failed, the expected type is {wanted}, but actual type is {}: change the \
             attribute message.type of the topic {name}, or send another type",
            kind.as_str_name()
        ),
    ))
}
