//! Where the queues of a topic are, and which of them a push consumer receives from.
//!
//! Source: `RouteActivity`.

use broker::Topic;
use protocol::{name, perm};

use crate::caller::Caller;
use crate::context::Context;
use crate::status::{self, Refusal};
use crate::v2::{
    Assignment, Broker, Code, Endpoints, MessageQueue, MessageType, Permission, QueryAssignmentRequest,
    QueryAssignmentResponse, QueryRouteRequest, QueryRouteResponse, Resource,
};
use crate::{lite, validate};

pub(crate) fn route(
    context: &Context,
    caller: &Caller,
    request: &QueryRouteRequest,
) -> Result<QueryRouteResponse, Refusal> {
    let topic = context.broker.topics().require(validate::topic(request.topic.as_ref())?)?;
    let broker = this_broker(context, caller, request.endpoints.as_ref());
    let accepted = accepted(&topic).into_iter().map(|kind| kind as i32).collect::<Vec<_>>();
    let queue = |(id, permission): (usize, Permission)| MessageQueue {
        topic: request.topic.clone(),
        // There are at most some thousand.
        id: id as i32,
        permission: permission as i32,
        broker: Some(broker.clone()),
        accept_message_types: accepted.clone(),
    };
    let message_queues = permissions(&topic).into_iter().enumerate().map(queue).collect();
    Ok(QueryRouteResponse { status: Some(status::ok()), message_queues })
}

/// Permissions of the queues of a topic, in the order of their numbers. Source: `RouteActivity.genMessageQueueFromQueueData`.
fn permissions(topic: &Topic) -> Vec<Permission> {
    let config = topic.config();
    let (read, write) = (config.read_queue_nums.max(0), config.write_queue_nums.max(0));
    let counts = match (perm::is_readable(config.perm), perm::is_writeable(config.perm)) {
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
    match topic.config().attributes.get("message.type").map(String::as_str) {
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

fn this_broker(context: &Context, caller: &Caller, named: Option<&Endpoints>) -> Broker {
    let endpoints = Some(context.endpoints(caller, named));
    Broker { name: context.broker.config().broker_name.clone(), id: 0, endpoints }
}

pub(crate) fn assignment(
    context: &Context,
    caller: &Caller,
    request: &QueryAssignmentRequest,
) -> Result<QueryAssignmentResponse, Refusal> {
    let topic = context.broker.topics().require(validate::topic(request.topic.as_ref())?)?;
    let group = context.broker.groups().require(validate::group(request.group.as_ref())?)?;
    let config = topic.config();
    if !perm::is_readable(config.perm) || config.read_queue_nums <= 0 {
        return Err(Refusal::new(Code::Forbidden, "no readable queue"));
    }
    let permission = if perm::is_writeable(config.perm) { Permission::ReadWrite } else { Permission::Read };
    let broker = this_broker(context, caller, request.endpoints.as_ref());
    let assignment = |id: i32| Assignment {
        message_queue: Some(MessageQueue {
            topic: Some(Resource { name: config.topic_name.clone(), ..request.topic.clone().unwrap_or_default() }),
            id,
            permission: permission as i32,
            broker: Some(broker.clone()),
            accept_message_types: Vec::new(),
        }),
    };
    // All queues at once, unless their order counts: then a client receives from each by itself.
    let queues =
        if group.consume_message_orderly && lite::parent(&group).is_none() { 0..config.read_queue_nums } else { -1..0 };
    Ok(QueryAssignmentResponse { status: Some(status::ok()), assignments: queues.map(assignment).collect() })
}

/// Whether a message of this type may be sent to the topic. Source: `DefaultTopicMessageTypeValidator`.
pub(crate) fn check_type(topic: &Topic, kind: MessageType) -> Result<(), Refusal> {
    let name = topic.name();
    let derived = name.starts_with(name::RETRY_PREFIX) || name.starts_with(name::DLQ_PREFIX);
    let mixed = topic.config().attributes.get("message.type").is_some_and(|kind| kind == "MIXED");
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
