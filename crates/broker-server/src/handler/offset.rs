//! Offsets of groups and of queues.

use broker::{Boundary, QueryOffset};
use protocol::request::{
    CloneGroupOffsetHeader, OffsetReply, QueryConsumerOffsetHeader, QueueHeader, SearchOffsetHeader, TimestampReply,
    UpdateConsumerOffsetHeader,
};
use protocol::{code, json, name};
use remoting::Response;

use crate::code::{Outcome, Refusal};
use crate::handler::lite;
use crate::table::Call;

pub(crate) async fn query(call: Call) -> Outcome {
    let header: QueryConsumerOffsetHeader<'_> = call.frame.header()?;
    let (topic, group) = (header.topic, header.consumer_group);
    let offset = match call.broker().query_offset(topic, group, header.queue_id).await? {
        QueryOffset::At(offset) => offset,
        _ if header.set_zero_if_not_found == Some(false) => {
            return Err(not_found("Not found, do not set to zero, maybe this group boot first"));
        }
        QueryOffset::StartAt(offset) => offset,
        QueryOffset::Unknown => {
            return Err(not_found("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first"));
        }
    };
    Ok(Response::of(&OffsetReply { offset }))
}

fn not_found(remark: &str) -> Refusal {
    Refusal::new(code::QUERY_NOT_FOUND, remark)
}

pub(crate) fn update(call: &Call) -> Outcome {
    let header: UpdateConsumerOffsetHeader<'_> = call.frame.header()?;
    let (topic, group) = (header.topic, header.consumer_group);
    call.broker().groups().require(group)?;
    call.broker().topics().require(topic)?;
    if header.queue_id < 0 || header.commit_offset < 0 {
        let remark = format!("queue {} and offset {} must not be negative", header.queue_id, header.commit_offset);
        return Err(Refusal::new(code::INVALID_PARAMETER, remark));
    }
    let mut response = Response::ok();
    if !call.broker().offsets().commit(topic, group, header.queue_id, header.commit_offset) {
        response.remark = Some("Offset has been previously reset".into());
    }
    Ok(response)
}

pub(crate) fn max(call: &Call) -> Outcome {
    let header: QueueHeader<'_> = call.frame.header()?;
    let (_, offset) = call.broker().queue_range(header.topic, header.queue_id);
    Ok(Response::of(&OffsetReply { offset }))
}

pub(crate) fn min(call: &Call) -> Outcome {
    let header: QueueHeader<'_> = call.frame.header()?;
    let (offset, _) = call.broker().queue_range(header.topic, header.queue_id);
    Ok(Response::of(&OffsetReply { offset }))
}

pub(crate) async fn search(call: Call) -> Outcome {
    let header: SearchOffsetHeader<'_> = call.frame.header()?;
    let upper = header.boundary_type.is_some_and(|boundary| boundary.eq_ignore_ascii_case("upper"));
    let boundary = if upper { Boundary::Upper } else { Boundary::Lower };
    let lite_queue = lite::named(header.lite_topic).map(|lite_topic| name::lite_queue(header.topic, lite_topic));
    let topic = lite_queue.as_deref().unwrap_or(header.topic);
    let offset = call.broker().offset_by_time(topic, header.queue_id, header.timestamp, boundary).await?;
    Ok(Response::of(&OffsetReply { offset }))
}

pub(crate) async fn earliest_time(call: Call) -> Outcome {
    let header: QueueHeader<'_> = call.frame.header()?;
    let (first, _) = call.broker().queue_range(header.topic, header.queue_id);
    let time = call.broker().store_time(header.topic, header.queue_id, first).await?;
    Ok(Response::of(&TimestampReply { timestamp: time.unwrap_or(-1) }))
}

pub(crate) fn all(call: &Call) -> Outcome {
    Ok(Response::ok().with_body(json::to_vec(&call.broker().offsets().to_table())))
}

pub(crate) fn delays(call: &Call) -> Outcome {
    Ok(Response::ok().with_body(json::to_vec(&call.broker().delay_offsets())))
}

pub(crate) fn clone_group(call: &Call) -> Outcome {
    let header: CloneGroupOffsetHeader<'_> = call.frame.header()?;
    let topic = header.topic.filter(|topic| !topic.is_empty());
    call.broker().groups().require(header.dest_group)?;
    call.broker().offsets().clone_group(header.src_group, header.dest_group, topic);
    Ok(Response::ok())
}
