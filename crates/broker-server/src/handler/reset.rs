//! Moving a group to another place.
//!
//! Source: `AdminBrokerProcessor.resetOffset`, `Broker2Client.resetOffset`.

use broker::Boundary;
use protocol::body::{MessageQueue, reset_offset_body};
use protocol::request::{Request, ResetConsumerClientOffset, ResetOffsetHeader};
use protocol::{Frame, code};
use remoting::Response;

use crate::code::{Outcome, Refusal};
use crate::table::Call;

pub(crate) async fn reset(call: Call) -> Outcome {
    let header: ResetOffsetHeader<'_> = call.frame.header()?;
    let broker = call.broker();
    let topic = broker.topics().require(header.topic)?;
    if broker.groups().get(header.group).is_none() {
        return Err(broker::Error::UnknownGroup(header.group.to_owned()).into());
    }
    let queues = match header.queue_id.filter(|id| *id >= 0) {
        Some(id) => id..id + 1,
        None => 0..topic.config().read_queue_nums,
    };
    let mut moved: Vec<(MessageQueue, i64)> = Vec::new();
    for queue_id in queues {
        let offset = target(&call, &header, queue_id).await?;
        moved.push((broker.message_queue(header.topic, queue_id), offset));
    }
    let body = reset_offset_body(moved.iter().map(|(queue, offset)| (queue, *offset)));
    if broker.config().server_side_reset {
        for (queue, offset) in &moved {
            broker.offsets().reset(header.topic, header.group, queue.queue_id, *offset);
        }
    } else {
        tell_consumers(&call, &header, &body)?;
    }
    Ok(Response::ok().with_body(body))
}

async fn target(call: &Call, header: &ResetOffsetHeader<'_>, queue_id: i32) -> Result<i64, Refusal> {
    let broker = call.broker();
    let (min, max) = broker.queue_range(header.topic, queue_id);
    let one_queue = header.queue_id.is_some_and(|id| id >= 0);
    if let Some(offset) = header.offset.filter(|offset| one_queue && *offset != -1) {
        if !(min..=max + 1).contains(&offset) {
            let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
            return Err(Refusal::new(code::SYSTEM_ERROR, remark));
        }
        return Ok(offset);
    }
    let by_time = match header.timestamp {
        ..0 => max,
        timestamp => broker.offset_by_time(header.topic, queue_id, timestamp, Boundary::Lower).await?,
    };
    // The gentle form only moves a group back. Source: `Broker2Client.resetOffset`.
    let stands = broker.offsets().get(header.topic, header.group, queue_id);
    let gentle = !broker.config().server_side_reset && !header.is_force;
    Ok(stands.filter(|stands| gentle && by_time > *stands).unwrap_or(by_time))
}

fn tell_consumers(call: &Call, header: &ResetOffsetHeader<'_>, body: &str) -> Result<(), Refusal> {
    let consumers = call.broker().sessions().consumers(header.group);
    let frame = Frame::request(ResetConsumerClientOffset::CODE, header).with_body(body.to_owned());
    let peers = consumers.iter().filter_map(|consumer| call.context.connections.get(consumer.connection));
    let told = peers.filter(|peer| peer.notify(frame.clone()).is_ok()).count();
    if told == 0 {
        let remark =
            format!("Consumer not online, so can not reset offset, Group: {} Topic: {}", header.group, header.topic);
        return Err(Refusal::new(code::CONSUMER_NOT_ONLINE, remark));
    }
    Ok(())
}
