//! Pulling by offset, and offsets. Java's proxy answers UNIMPLEMENTED here; the protocol has these calls all the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker::{Boundary, PullRequest, PullStatus, QueryOffset};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use protocol::record::RecordView;

use crate::context::Context;
use crate::limits::RECEIVE_MESSAGES_MAX;
use crate::status::{self, Refusal};
use crate::v2::pull_message_response::Content;
use crate::v2::{
    Code, GetOffsetRequest, GetOffsetResponse, MessageQueue, PullMessageRequest, PullMessageResponse,
    QueryOffsetPolicy, QueryOffsetRequest, QueryOffsetResponse, UpdateOffsetRequest, UpdateOffsetResponse,
};
use crate::{client, convert, validate};

/// Longest wait of a pull, as of a receive.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The topic and number of a queue that is there.
fn queue<'r>(context: &Context, queue: Option<&'r MessageQueue>) -> Result<(&'r str, i32), Refusal> {
    let name = validate::topic(queue.and_then(|queue| queue.topic.as_ref()))?;
    let id = queue.map_or(0, |queue| queue.id);
    let topic = context.broker.topics().require(name)?;
    let queues = topic.config().read_queue_nums;
    if !(0..queues).contains(&id) {
        let message = format!("topic {name} has no queue {id}, it has {queues} to read");
        return Err(Refusal::new(Code::BadRequest, message));
    }
    Ok((name, id))
}

pub(crate) fn update(context: &Context, request: &UpdateOffsetRequest) -> Result<UpdateOffsetResponse, Refusal> {
    let group = validate::group(request.group.as_ref())?;
    let (topic, id) = queue(context, request.message_queue.as_ref())?;
    if request.offset < 0 {
        return Err(Refusal::new(Code::IllegalOffset, format!("offset {} is negative", request.offset)));
    }
    context.broker.groups().require(group)?;
    context.broker.offsets().commit(topic, group, id, request.offset);
    Ok(UpdateOffsetResponse { status: Some(status::ok()) })
}

pub(crate) async fn get(context: &Context, request: &GetOffsetRequest) -> Result<GetOffsetResponse, Refusal> {
    let group = validate::group(request.group.as_ref())?;
    let (topic, id) = queue(context, request.message_queue.as_ref())?;
    let offset = match context.broker.query_offset(topic, group, id).await? {
        QueryOffset::At(offset) => offset,
        QueryOffset::StartAtZero => 0,
        QueryOffset::Unknown => {
            let message = format!("group {group} has no offset in queue {id} of topic {topic}");
            return Err(Refusal::new(Code::OffsetNotFound, message));
        }
    };
    Ok(GetOffsetResponse { status: Some(status::ok()), offset })
}

pub(crate) async fn query(context: &Context, request: &QueryOffsetRequest) -> Result<QueryOffsetResponse, Refusal> {
    let (topic, id) = queue(context, request.message_queue.as_ref())?;
    let (min, max) = context.broker.queue_range(topic, id);
    let offset = match QueryOffsetPolicy::try_from(request.query_offset_policy) {
        Ok(QueryOffsetPolicy::Beginning) => min,
        Ok(QueryOffsetPolicy::End) => max,
        Ok(QueryOffsetPolicy::Timestamp) => {
            let missing = || Refusal::new(Code::BadRequest, "the policy TIMESTAMP needs a timestamp");
            let ms = validate::millis(request.timestamp.as_ref().ok_or_else(missing)?);
            context.broker.offset_by_time(topic, id, ms, Boundary::Lower).await?
        }
        Err(_) => return Err(Refusal::new(Code::BadRequest, "unknown offset policy")),
    };
    Ok(QueryOffsetResponse { status: Some(status::ok()), offset })
}

/// Answers a pull: a status, messages, and where to go on.
pub(crate) async fn pull(
    context: Arc<Context>,
    request: PullMessageRequest,
) -> impl Stream<Item = Result<PullMessageResponse, tonic::Status>> + Send + 'static {
    let (status, records, next) = match try_pull(&context, &request).await {
        Ok((records, next)) => (status::ok(), records, Some(next)),
        Err(refusal) => (refusal.into(), VecDeque::new(), None),
    };
    let first = stream::iter([Content::Status(status)]);
    // Decoded one by one, as the client takes them.
    let messages = stream::iter(records.into_iter().filter_map(|record| convert::message(&record, None)));
    let last = stream::iter(next.map(Content::NextOffset));
    let contents = first.chain(messages.map(Content::Message)).chain(last);
    contents.map(|content| Ok(PullMessageResponse { content: Some(content) }))
}

async fn try_pull(context: &Arc<Context>, request: &PullMessageRequest) -> Result<(VecDeque<Bytes>, i64), Refusal> {
    let group = validate::group(request.group.as_ref())?;
    let (topic, queue_id) = queue(context, request.message_queue.as_ref())?;
    let wait = validate::duration(request.long_polling_timeout.as_ref()).unwrap_or_default().min(WAIT_MAX);
    let pull = context.broker.begin_pull(&PullRequest {
        group,
        topic,
        queue_id,
        offset: request.offset,
        max_messages: request.batch_size.clamp(1, RECEIVE_MESSAGES_MAX),
        commit: None,
        suspend: (!wait.is_zero()).then_some(wait),
        filter: Some(client::filter(request.filter_expression.as_ref())),
        sub_version: 0,
    })?;
    let pulled = tokio::select! {
        pulled = pull.run() => pulled?,
        () = context.stop.cancelled() => {
            return Err(Refusal::new(Code::MessageNotFound, "the server is stopping"));
        }
    };
    match pulled.status {
        PullStatus::Found => Ok((single_records(&pulled.records), pulled.next)),
        PullStatus::OffsetTooSmall | PullStatus::OffsetOverflowBadly => {
            let (offset, min, max) = (request.offset, pulled.min, pulled.max);
            let message = format!("offset {offset} is not between {min} and {max}");
            Err(Refusal::new(Code::IllegalOffset, message))
        }
        _ => Ok((VecDeque::new(), pulled.next)),
    }
}

/// Slices of the log as single records, which share their bytes.
fn single_records(slices: &[Bytes]) -> VecDeque<Bytes> {
    let mut records = VecDeque::new();
    for slice in slices {
        let mut rest = slice.clone();
        while let Ok(len) = RecordView::parse(&rest).map(|view| view.len()) {
            records.push_back(rest.split_to(len));
        }
    }
    records
}
