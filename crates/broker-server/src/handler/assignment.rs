//! Who consumes which queues, and how, where the broker decides that.

use protocol::body::{
    MessageQueue, MessageQueueAssignment, QueryAssignmentBody, QueryAssignmentReply, SetMessageRequestModeBody,
};
use protocol::json;
use remoting::Response;

use crate::code::Outcome;
use crate::table::Call;

pub(crate) async fn query(call: Call) -> Outcome {
    let asked: QueryAssignmentBody = json::parse(&call.frame.body)?;
    let assigned = call.broker().assign(&asked, queues(&call, &asked.topic).await)?;
    let assignment = |message_queue| MessageQueueAssignment { attachments: None, message_queue, mode: assigned.mode };
    let assignments = assigned.queues.map(|queues| queues.into_iter().map(assignment).collect());
    let reply = QueryAssignmentReply { message_queue_assignments: assignments };
    Ok(Response::ok().with_body(json::to_vec(&reply)))
}

/// Readable queues of a topic at all brokers; none when that is not known, so that clients keep what they have.
async fn queues(call: &Call, topic: &str) -> Vec<MessageQueue> {
    let Ok(all) = call.context.routes.queues(topic).await else { return Vec::new() };
    let own_name = call.broker().config().broker_name.clone();
    let others = all.iter().filter(|queue| queue.broker_name != own_name).cloned();
    // Of this broker nobody knows more than it does.
    call.broker().readable_queues(topic).into_iter().chain(others).collect()
}

pub(crate) fn set_mode(call: &Call) -> Outcome {
    let row: SetMessageRequestModeBody = json::parse(&call.frame.body)?;
    call.broker().set_request_mode(row)?;
    Ok(Response::ok())
}

pub(crate) fn all_modes(call: &Call) -> Outcome {
    Ok(Response::ok().with_body(json::to_vec(&call.broker().request_modes())))
}
