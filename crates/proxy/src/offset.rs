//! Pulling by offset, and offsets. Java's proxy answers UNIMPLEMENTED here; the protocol has these calls all the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker::FilterText;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};

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

/// A queue that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueAt<'a> {
    /// Name of its broker.
    pub(crate) broker: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) id: i32,
}

/// Which offset of a queue is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// That of the first message.
    Beginning,
    /// That behind the last one.
    End,
    /// That of the first message stored at this time, in milliseconds since 1970, or later.
    AtTime(i64),
}

/// What a client pulls.
#[derive(Debug)]
pub(crate) struct PullFrom<'a> {
    pub(crate) group: &'a str,
    pub(crate) offset: i64,
    pub(crate) max_messages: i32,
    /// Longest wait; zero answers at once.
    pub(crate) wait: Duration,
    pub(crate) filter: FilterText<'a>,
}

/// What a pull found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Records, or none, and where to go on.
    At { records: VecDeque<Bytes>, next: i64 },
    /// The offset is not between these.
    Outside { min: i64, max: i64 },
}

/// Calls with the queue of a request, if it is there.
async fn with_queue<T>(
    context: &Context,
    queue: Option<&MessageQueue>,
    call: impl AsyncFnOnce(QueueAt<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let name = validate::topic(queue.and_then(|queue| queue.topic.as_ref()))?;
    let id = queue.map_or(0, |queue| queue.id);
    let broker = queue.and_then(|queue| queue.broker.as_ref()).map_or("", |broker| &*broker.name);
    let topic = context.backend.topic(name).await?;
    let missing = || Refusal::new(Code::BadRequest, format!("broker {broker:?} has no queues of topic {name}"));
    let share = topic.share(broker).ok_or_else(missing)?;
    let queues = share.read_queues;
    if !(0..queues).contains(&id) {
        let message = format!("topic {name} has no queue {id}, it has {queues} to read");
        return Err(Refusal::new(Code::BadRequest, message));
    }
    call(QueueAt { broker: share.broker, topic: name, id }).await
}

pub(crate) async fn update(context: &Context, request: &UpdateOffsetRequest) -> Result<UpdateOffsetResponse, Refusal> {
    let group = validate::group(request.group.as_ref())?;
    let offset = request.offset;
    with_queue(context, request.message_queue.as_ref(), async |at| {
        if offset < 0 {
            return Err(Refusal::new(Code::IllegalOffset, format!("offset {offset} is negative")));
        }
        context.backend.commit_offset(at, group, offset).await
    })
    .await?;
    Ok(UpdateOffsetResponse { status: Some(status::ok()) })
}

pub(crate) async fn get(context: &Context, request: &GetOffsetRequest) -> Result<GetOffsetResponse, Refusal> {
    let group = validate::group(request.group.as_ref())?;
    let offset = with_queue(context, request.message_queue.as_ref(), async |at| {
        let committed = context.backend.committed(at, group).await?;
        committed.ok_or_else(|| {
            let message = format!("group {group} has no offset in queue {} of topic {}", at.id, at.topic);
            Refusal::new(Code::OffsetNotFound, message)
        })
    })
    .await?;
    Ok(GetOffsetResponse { status: Some(status::ok()), offset })
}

pub(crate) async fn query(context: &Context, request: &QueryOffsetRequest) -> Result<QueryOffsetResponse, Refusal> {
    let wanted = match QueryOffsetPolicy::try_from(request.query_offset_policy) {
        Ok(QueryOffsetPolicy::Beginning) => Wanted::Beginning,
        Ok(QueryOffsetPolicy::End) => Wanted::End,
        Ok(QueryOffsetPolicy::Timestamp) => {
            let missing = || Refusal::new(Code::BadRequest, "the policy TIMESTAMP needs a timestamp");
            Wanted::AtTime(validate::millis(request.timestamp.as_ref().ok_or_else(missing)?))
        }
        Err(_) => return Err(Refusal::new(Code::BadRequest, "unknown offset policy")),
    };
    let queue = request.message_queue.as_ref();
    let offset = with_queue(context, queue, async |at| context.backend.offset_of(at, wanted).await).await?;
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
    let from = PullFrom {
        group: validate::group(request.group.as_ref())?,
        offset: request.offset,
        max_messages: request.batch_size.clamp(1, RECEIVE_MESSAGES_MAX),
        wait: validate::duration(request.long_polling_timeout.as_ref()).unwrap_or_default().min(WAIT_MAX),
        filter: client::filter(request.filter_expression.as_ref()),
    };
    let pulling = with_queue(context, request.message_queue.as_ref(), async |at| context.backend.pull(at, &from).await);
    let found = tokio::select! {
        found = pulling => found?,
        () = context.stop.cancelled() => {
            return Err(Refusal::new(Code::MessageNotFound, "the server is stopping"));
        }
    };
    match found {
        Found::At { records, next } => Ok((records, next)),
        Found::Outside { min, max } => {
            let message = format!("offset {} is not between {min} and {max}", request.offset);
            Err(Refusal::new(Code::IllegalOffset, message))
        }
    }
}
