//! Who consumes which queues, and how, where the broker decides that.

use protocol::body::{MessageQueueAssignment, QueryAssignmentBody, QueryAssignmentReply, SetMessageRequestModeBody};
use protocol::json;
use remoting::Response;

use crate::code::Outcome;
use crate::table::Call;

pub(crate) fn query(call: &Call) -> Outcome {
    let asked: QueryAssignmentBody = json::parse(&call.frame.body)?;
    let queues = call.broker().readable_queues(&asked.topic);
    let assigned = call.broker().assign(&asked, queues)?;
    let assignment = |message_queue| MessageQueueAssignment { attachments: None, message_queue, mode: assigned.mode };
    let assignments = assigned.queues.map(|queues| queues.into_iter().map(assignment).collect());
    let reply = QueryAssignmentReply { message_queue_assignments: assignments };
    Ok(Response::ok().with_body(json::to_vec(&reply)))
}

pub(crate) fn set_mode(call: &Call) -> Outcome {
    let row: SetMessageRequestModeBody = json::parse(&call.frame.body)?;
    call.broker().set_request_mode(row)?;
    Ok(Response::ok())
}

pub(crate) fn all_modes(call: &Call) -> Outcome {
    Ok(Response::ok().with_body(json::to_vec(&call.broker().request_modes())))
}
