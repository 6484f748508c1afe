//! Lite topics: what a client subscribes to, and how their messages are told from others.
//!
//! Java's proxy serves them in cluster mode only. Source: `ClientActivity.syncLiteSubscription`, `ClientProcessor`.

use broker::{LiteAction, LiteStart, LiteSubscription};
use protocol::body::GroupConfig;
use protocol::properties;
use protocol::receipt::Receipt;
use protocol::record::RecordView;

use crate::caller::Caller;
use crate::context::Context;
use crate::status::{self, Refusal};
use crate::v2::offset_option::{OffsetType, Policy};
use crate::v2::{
    ClientType, Code, LiteSubscriptionAction, OffsetOption, SyncLiteSubscriptionRequest, SyncLiteSubscriptionResponse,
};
use crate::validate;

/// Source: `lite.sub.client.quota`.
const SUBSCRIPTIONS: i32 = 2000;
/// What a client may be beyond its quota before it is refused: it learns of a change a little later. Source:
/// `ClientProcessor.syncLiteSubscription`.
const QUOTA_SLACK: usize = 300;

/// The parent topic of a group of lite topics; other groups have none. Source: `lite.bind.topic`.
pub(crate) fn parent(group: &GroupConfig) -> Option<&str> {
    group.attributes.get("lite.bind.topic").map(String::as_str).filter(|topic| !topic.is_empty())
}

/// Lite topics that a client of the group may subscribe to.
pub(crate) fn quota(group: &GroupConfig) -> i32 {
    group.attributes.get("lite.sub.client.quota").and_then(|quota| quota.parse().ok()).unwrap_or(SUBSCRIPTIONS)
}

pub(crate) fn is_lite(kind: ClientType) -> bool {
    matches!(kind, ClientType::LitePushConsumer | ClientType::LiteSimpleConsumer)
}

/// Checks that client, group and topic are all of lite topics, or none of them. Source:
/// `ClientActivity.validateLitePushConsumer`.
pub(crate) fn check(kind: ClientType, group: &GroupConfig, topic: Option<&str>) -> Result<(), Refusal> {
    let name = &group.group_name;
    let refuse = |message: String| Err(Refusal::new(Code::IllegalConsumerGroup, message));
    match (is_lite(kind), parent(group)) {
        (false, None) => Ok(()),
        (false, Some(_)) => refuse(format!("group {name} is for lite topics, {} cannot join it", kind.as_str_name())),
        (true, None) => refuse(format!("group {name} is not for lite topics: it has no attribute lite.bind.topic")),
        (true, Some(parent)) => check_parent(name, parent, topic.unwrap_or_default()),
    }
}

fn check_parent(group: &str, parent: &str, topic: &str) -> Result<(), Refusal> {
    match parent == topic {
        true => Ok(()),
        false => {
            let message = format!("group {group} reads lite topics of {parent}, not of {topic:?}");
            Err(Refusal::new(Code::IllegalTopic, message))
        }
    }
}

pub(crate) async fn sync(
    context: &Context,
    caller: &Caller,
    request: &SyncLiteSubscriptionRequest,
) -> Result<SyncLiteSubscriptionResponse, Refusal> {
    let topic = validate::topic(request.topic.as_ref())?;
    let name = validate::group(request.group.as_ref())?;
    let action = match LiteSubscriptionAction::try_from(request.action) {
        Ok(LiteSubscriptionAction::PartialAdd) => LiteAction::PartialAdd,
        Ok(LiteSubscriptionAction::PartialRemove) => LiteAction::PartialRemove,
        Ok(LiteSubscriptionAction::CompleteAdd) => LiteAction::CompleteAdd,
        Ok(LiteSubscriptionAction::CompleteRemove) => LiteAction::CompleteRemove,
        Err(_) => return Err(Refusal::new(Code::BadRequest, "unknown action of a lite subscription")),
    };
    let group = context.backend.known_group(name).await;
    let group =
        group.ok_or_else(|| Refusal::new(Code::IllegalConsumerGroup, format!("group {name} does not exist")))?;
    check(ClientType::LitePushConsumer, &group, Some(topic))?;
    let (count, quota) = (request.lite_topic_set.len(), quota(&group));
    if quota >= 0 && count > quota as usize + QUOTA_SLACK {
        let message = format!("{count} lite topics, the quota of a client is {quota}");
        return Err(Refusal::new(Code::LiteSubscriptionQuotaExceeded, message));
    }
    if action == LiteAction::PartialAdd {
        request.lite_topic_set.iter().try_for_each(|lite_topic| validate::lite_topic(lite_topic))?;
    }
    let lite_topics: Vec<&str> = request.lite_topic_set.iter().map(String::as_str).collect();
    let change = LiteSubscription {
        action,
        client_id: &caller.client_id,
        group: name,
        topic,
        lite_topics: &lite_topics,
        start: request.offset_option.as_ref().and_then(start).filter(|_| action == LiteAction::PartialAdd),
        connection: context.clients.get(&caller.client_id).map(|client| client.connection),
    };
    context.backend.lite_subscribe(&change).await?;
    Ok(SyncLiteSubscriptionResponse { status: Some(status::ok()) })
}

/// A time is accepted and means nothing, in Java too.
fn start(option: &OffsetOption) -> Option<LiteStart> {
    Some(match option.offset_type? {
        OffsetType::Policy(policy) => match Policy::try_from(policy).ok()? {
            Policy::Last => LiteStart::Keep,
            Policy::Min => LiteStart::Min,
            Policy::Max => LiteStart::Max,
        },
        OffsetType::Offset(offset) => LiteStart::Offset(offset),
        OffsetType::TailN(count) => LiteStart::Tail(count),
        OffsetType::Timestamp(_) => return None,
    })
}

/// The lite topic of a record.
pub(crate) fn lite_topic(record: &[u8]) -> Option<String> {
    let view = RecordView::parse(record).ok()?;
    view.property(properties::LITE_TOPIC).map(str::to_owned)
}

/// The lite topic of a received message. Clients name it with an ack; with a change of the invisible time older ones do
/// not, and the record says it.
pub(crate) async fn of_receipt(
    context: &Context,
    group: &str,
    named: Option<&str>,
    receipt: &Receipt,
) -> Result<Option<String>, Refusal> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Ok(Some(named.to_owned()));
    }
    let lite = context.backend.known_group(group).await.is_some_and(|group| parent(&group).is_some());
    match receipt.log_offset.and_then(|offset| i64::try_from(offset).ok()) {
        Some(offset) if lite => Ok(lite_topic(&context.backend.view(&receipt.broker_name, offset).await?)),
        _ => Ok(None),
    }
}
