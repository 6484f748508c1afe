//! Looking messages up.

use broker::{IndexKey, MessageQuery, QueueOffset};
use protocol::request::{QueryConsumeQueueHeader, QueryMessageHeader, QueryMessageReply, ViewMessageHeader};
use protocol::{Fields, code};
use remoting::Response;
use serde_json::json;

use crate::code::{Outcome, Refusal};
use crate::table::Call;

/// Entries of a consume queue shown at once.
const ENTRIES_MAX: usize = 1000;

pub(crate) async fn view(call: Call) -> Outcome {
    let header: ViewMessageHeader<'_> = call.frame.header()?;
    let record = call.broker().view(header.offset).await?;
    Ok(Response::ok().with_body(record))
}

pub(crate) async fn query(call: Call) -> Outcome {
    let header: QueryMessageHeader<'_> = call.frame.header()?;
    let key = match header.index_type {
        _ if header.unique_key_query => IndexKey::UniqueKey(header.key),
        Some("U") => IndexKey::UniqueKey(header.key),
        Some("T") => IndexKey::Tag(header.key),
        _ => IndexKey::Key(header.key),
    };
    // Source: `defaultQueryMaxNum`, for unique keys whatever was asked.
    let max = if header.unique_key_query { 32 } else { header.max_num.max(0) as usize };
    let (begin_ms, end_ms) = (header.begin_timestamp, header.end_timestamp);
    let query = MessageQuery { topic: header.topic, key, max, begin_ms, end_ms };
    let records = call.broker().query(&query).await?;
    let reply = QueryMessageReply {
        index_last_update_timestamp: call.broker().now_ms(),
        index_last_update_phyoffset: call.broker().store().log_range().1.0 as i64,
    };
    let fields = Fields::of(&reply);
    if records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        return Err(Response { fields, ..Response::error(code::QUERY_NOT_FOUND, remark) }.into());
    }
    Ok(Response { fields, body: records, ..Response::ok() })
}

pub(crate) async fn consume_queue(call: Call) -> Outcome {
    let header: QueryConsumeQueueHeader<'_> = call.frame.header()?;
    let broker = call.broker();
    let queue = u32::try_from(header.queue_id).ok().and_then(|id| broker.store().find_queue(header.topic, id));
    let Some(queue) = queue else {
        let remark = format!("{}%{} is not exist!", header.queue_id, header.topic);
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    };
    let (min, max) = (queue.min_offset().0, queue.max_offset().0);
    // Java's tools ask for the last entries with a negative index.
    let index = match u64::try_from(header.index) {
        Ok(index) => index.clamp(min, max),
        Err(_) => max.saturating_sub(header.index.unsigned_abs()).max(min),
    };
    let count = (header.count.max(0) as usize).min(ENTRIES_MAX);
    let entries = broker.store().entries(&queue, QueueOffset(index), count).await?;
    let shown = entries.iter().map(|entry| {
        json!({
            // Whether a SQL92 filter would pass it; Java evaluates one only where it has a bloom filter for it.
            "eval": false,
            "physicOffset": entry.log_offset.0,
            "physicSize": entry.size,
            "tagsCode": entry.tag_code,
        })
    });
    let group = header.consumer_group.unwrap_or_default();
    let subscription = broker.sessions().subscription(group, header.topic).flatten();
    let body = json!({
        "maxQueueIndex": max,
        "minQueueIndex": min,
        "queueData": shown.collect::<Vec<_>>(),
        "subscriptionData": subscription,
    });
    Ok(Response::ok().with_body(body.to_string()))
}
