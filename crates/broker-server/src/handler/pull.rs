//! Pulling.

use std::time::Duration;

use broker::{FilterText, PullRequest, PullStatus, Pulled};
use protocol::Fields;
use protocol::code::{self, Code};
use protocol::request::{PullMessageHeader, PullMessageReply};
use protocol::sysflag::{PULL_COMMIT_OFFSET, PULL_SUBSCRIPTION, PULL_SUSPEND};
use remoting::{Answer, Response};

use crate::code::Refusal;
use crate::handler::{lite, relay};
use crate::service::ParkedSend;
use crate::table::Call;

pub(crate) fn pull(call: Call) -> Answer<ParkedSend> {
    match begin(&call) {
        Ok((pull, offset)) => Answer::later(run(pull, offset)),
        Err(Refusal(response)) if response.code == code::SUBSCRIPTION_NOT_LATEST => Answer::later(async move {
            let header: PullMessageHeader<'_> = call.frame.header().map_err(|error| *Refusal::from(error).0)?;
            relay::renew_subscriptions(&call, header.consumer_group).await;
            let (pull, offset) = begin(&call).map_err(|Refusal(response)| *response)?;
            run(pull, offset).await
        }),
        Err(Refusal(response)) => response.into(),
    }
}

async fn run(pull: broker::Pull, offset: i64) -> Result<Response, Response> {
    let pulled = pull.run().await.map_err(|error| *Refusal::from(error).0)?;
    Ok(response(pulled, offset))
}

fn begin(call: &Call) -> Result<(broker::Pull, i64), Refusal> {
    let header: PullMessageHeader<'_> = call.frame.header()?;
    let has = |bit| header.sys_flag & bit != 0;
    let expression = header.subscription.unwrap_or_default();
    let filter = has(PULL_SUBSCRIPTION).then_some(FilterText { kind: header.expression_type, expression });
    let suspend = Duration::from_millis(header.suspend_timeout_millis.unwrap_or(0).max(0) as u64);
    let pull = call.broker().begin_pull(&PullRequest {
        group: header.consumer_group,
        topic: header.topic,
        lite_topic: lite::named(header.lite_topic),
        queue_id: header.queue_id,
        offset: header.queue_offset,
        max_messages: header.max_msg_nums,
        commit: header.commit_offset.filter(|_| has(PULL_COMMIT_OFFSET)),
        suspend: has(PULL_SUSPEND).then_some(suspend),
        filter,
        sub_version: header.sub_version.unwrap_or(0),
    })?;
    Ok((pull, header.queue_offset))
}

fn response(pulled: Pulled, offset: i64) -> Response {
    let (code, remark) = outcome(pulled.status, offset);
    let header = PullMessageReply {
        suggest_which_broker_id: 0,
        next_begin_offset: pulled.next,
        min_offset: pulled.min,
        max_offset: pulled.max,
        topic_sys_flag: Some(pulled.topic_sys_flag),
        group_sys_flag: Some(pulled.group_sys_flag),
        forbidden_type: None,
    };
    Response { code, remark: Some(remark.into()), fields: Fields::of(&header), body: pulled.records }
}

/// Source: `PullMessageProcessor.composeResponseHeader`.
fn outcome(status: PullStatus, offset: i64) -> (Code, &'static str) {
    match status {
        PullStatus::Found => (code::SUCCESS, "FOUND"),
        PullStatus::NoMatchedMessage => (code::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        PullStatus::MessageWasRemoving => (code::PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING"),
        PullStatus::OffsetTooSmall => (code::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
        PullStatus::OffsetOverflowOne => (code::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        PullStatus::OffsetOverflowBadly => (code::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
        PullStatus::OffsetReset => (code::PULL_OFFSET_MOVED, "OFFSET_RESET"),
        PullStatus::NoMessageInQueue if offset == 0 => (code::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE"),
        PullStatus::NoMessageInQueue => (code::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE"),
    }
}
