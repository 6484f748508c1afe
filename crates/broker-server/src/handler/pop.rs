//! POP: taking messages, acking them, giving them more time, and waiting for some.
//!
//! Source: `PopMessageProcessor`, `AckMessageProcessor`, `ChangeInvisibleTimeProcessor`, `NotificationProcessor`,
//! `PeekMessageProcessor`, `PollingInfoProcessor`; strings as in `ExtraInfoUtil`.

use std::fmt::Write;
use std::time::Duration;

use broker::{
    Ack, ChangeInvisible, FilterText, NoticeRequest, Pop, PopFrom, PopRequest, PopStatus, Popped, PoppedMessage,
};
use protocol::body::{BatchAck, BatchAckBody};
use protocol::receipt::{Receipt, Retry};
use protocol::request::{
    AckMessageHeader, ChangeInvisibleTimeHeader, ChangeInvisibleTimeReply, NotificationHeader, NotificationReply,
    PeekMessageHeader, PollingInfoHeader, PollingInfoReply, PopMessageHeader, PopMessageReply,
};
use protocol::{Fields, code, json};
use remoting::{Answer, Response};

use crate::code::{Outcome, Refusal};
use crate::handler::lite;
use crate::service::ParkedSend;
use crate::table::Call;

/// A request that was under way for longer than it wanted to wait, and this much, is not looked at any more. Source:
/// `PopMessageRequestHeader.isTimeoutTooMuch`.
const TOO_LATE_MS: i64 = 500;

pub(crate) fn pop(call: &Call) -> Answer<ParkedSend> {
    match begin(call) {
        Ok(pop) => Answer::later(async move {
            let popped = pop.run().await.map_err(|error| *Refusal::from(error).0)?;
            Ok(response(popped))
        }),
        Err(Refusal(response)) => response.into(),
    }
}

fn begin(call: &Call) -> Result<Pop, Refusal> {
    let header: PopMessageHeader<'_> = call.frame.header()?;
    let Some(wait) = wait(call, header.born_time, header.poll_time) else {
        let name = call.broker().config().broker_name.clone();
        let remark = format!("the broker[{name}] pop message is timeout too much");
        return Err(Refusal::new(code::POLLING_TIMEOUT, remark));
    };
    Ok(call.broker().begin_pop(&PopRequest {
        group: header.consumer_group,
        topic: header.topic,
        queue_id: header.queue_id,
        max_messages: header.max_msg_nums,
        invisible: millis(header.invisible_time),
        wait,
        from: if header.init_mode == 0 { PopFrom::Min } else { PopFrom::Max },
        filter: filter(header.exp_type, header.exp),
        order: header.order,
        attempt_id: header.attempt_id,
    })?)
}

/// How long a request may still wait; `None` when it came far too late.
pub(super) fn wait(call: &Call, born_ms: Option<i64>, poll_ms: i64) -> Option<Duration> {
    let now_ms = call.broker().now_ms();
    let born_ms = born_ms.filter(|born_ms| *born_ms != 0).unwrap_or(now_ms);
    let ends_ms = born_ms.saturating_add(poll_ms);
    let left_ms = ends_ms.saturating_sub(now_ms);
    if left_ms < -TOO_LATE_MS {
        return None;
    }
    Some(if poll_ms <= 0 { Duration::ZERO } else { millis(left_ms) })
}

pub(super) fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).cast_unsigned())
}

fn filter<'a>(kind: Option<&'a str>, expression: Option<&'a str>) -> Option<FilterText<'a>> {
    let expression = expression.filter(|expression| !expression.is_empty())?;
    Some(FilterText { kind, expression })
}

fn response(popped: Popped) -> Response {
    let (code, remark) = match popped.status {
        PopStatus::Found => (code::SUCCESS, "FOUND"),
        PopStatus::PollingTimeout => (code::POLLING_TIMEOUT, "NO_MATCHED_MESSAGE"),
        PopStatus::PollingFull => (code::POLLING_FULL, "NO_MATCHED_MESSAGE"),
    };
    let infos = Infos::of(&popped.messages);
    let header = PopMessageReply {
        pop_time: popped.pop_ms,
        invisible_time: popped.invisible_ms,
        revive_qid: popped.revive_queue,
        rest_num: popped.rest,
        start_offset_info: some(&infos.starts),
        msg_offset_info: some(&infos.offsets),
        order_count_info: some(&infos.counts),
    };
    let body = popped.messages.into_iter().map(|message| message.record).collect();
    Response { code, remark: Some(remark.into()), fields: Fields::of(&header), body }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// What a client needs to make receipts of its own.
#[derive(Default)]
struct Infos {
    starts: String,
    offsets: String,
    counts: String,
}

impl Infos {
    fn of(messages: &[PoppedMessage]) -> Infos {
        let mut infos = Infos::default();
        let queue = |message: &PoppedMessage| (message.receipt.retry, message.receipt.queue_id);
        for of_queue in messages.chunk_by(|one, next| queue(one) == queue(next)) {
            infos.push(of_queue).expect("a string takes everything");
        }
        infos
    }

    /// Messages of one queue.
    fn push(&mut self, messages: &[PoppedMessage]) -> std::fmt::Result {
        let Receipt { start_offset, retry, queue_id, .. } = messages[0].receipt;
        let kind = retry as i32;
        for text in [&mut self.starts, &mut self.offsets] {
            if !text.is_empty() {
                text.push(';');
            }
        }
        write!(self.starts, "{kind} {queue_id} {start_offset}")?;
        write!(self.offsets, "{kind} {queue_id} ")?;
        for (at, message) in messages.iter().enumerate() {
            write!(self.offsets, "{}{}", if at == 0 { "" } else { "," }, message.receipt.queue_offset)?;
        }
        if !messages[0].receipt.is_order() {
            return Ok(());
        }
        for message in messages.iter().filter(|message| message.deliveries > 0) {
            let (offset, count) = (message.receipt.queue_offset, message.deliveries);
            self.push_count(format_args!("{kind} qo{queue_id}%{offset} {count}"))?;
        }
        // Of the whole queue, for clients that do not know the former.
        let least = messages.iter().map(|message| message.deliveries).min().unwrap_or(0);
        self.push_count(format_args!("{kind} {queue_id} {least}"))
    }

    fn push_count(&mut self, count: std::fmt::Arguments<'_>) -> std::fmt::Result {
        if !self.counts.is_empty() {
            self.counts.push(';');
        }
        self.counts.write_fmt(count)
    }
}

/// A receipt as a client of the remoting protocol sends it.
fn receipt(text: &str, offset: i64) -> Result<Receipt, Refusal> {
    Receipt::parse_with_offset(text, offset).map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))
}

pub(crate) fn ack(call: &Call) -> Outcome {
    let header: AckMessageHeader<'_> = call.frame.header()?;
    let receipt = receipt(header.extra_info, header.offset)?;
    let ack = Ack {
        topic: header.topic,
        group: header.consumer_group,
        queue_id: header.queue_id,
        queue_offset: header.offset,
        receipt: &receipt,
    };
    match lite::named(header.lite_topic) {
        Some(lite_topic) => call.broker().ack_lite(&ack, lite_topic)?,
        None => call.broker().ack(&ack)?,
    }
    Ok(Response::ok())
}

pub(crate) fn batch_ack(call: &Call) -> Outcome {
    if call.frame.body.is_empty() {
        return Err(Refusal::new(code::NO_MESSAGE, "the request has no body"));
    }
    let body: BatchAckBody = json::parse(&call.frame.body)?;
    if body.acks.is_empty() {
        return Err(Refusal::new(code::NO_MESSAGE, "the request acks nothing"));
    }
    for acks in &body.acks {
        ack_batch(call, &body, acks)?;
    }
    Ok(Response::ok())
}

/// As in Java, what is out of range in a batch is left out. Source: `AckMessageProcessor.appendAck`.
fn ack_batch(call: &Call, body: &BatchAckBody, acks: &BatchAck) -> Result<(), Refusal> {
    let broken = |what: &str| Refusal::new(code::SYSTEM_ERROR, format!("batch ack of topic {:?}: {what}", acks.topic));
    let retry = acks.retry.parse().ok().and_then(Retry::from_number);
    let offsets = acks.offsets().ok_or_else(|| broken("the bit set is not Base64"))?;
    let mut receipt = Receipt {
        start_offset: acks.start_offset,
        pop_ms: acks.pop_ms,
        invisible_ms: acks.invisible_ms,
        revive_queue: acks.revive_queue,
        retry: retry.ok_or_else(|| broken("the retry flag is not 0, 1 or 2"))?,
        broker_name: body.broker_name.as_str().into(),
        queue_id: acks.queue_id,
        queue_offset: acks.start_offset,
        log_offset: None,
    };
    for offset in offsets {
        receipt.queue_offset = offset;
        let acked = call.broker().ack(&Ack {
            topic: &acks.topic,
            group: &acks.consumer_group,
            queue_id: acks.queue_id,
            queue_offset: offset,
            receipt: &receipt,
        });
        match acked {
            Ok(()) | Err(broker::Error::NoMessage(_) | broker::Error::MessageIllegal(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(crate) fn change_invisible(call: &Call) -> Outcome {
    let header: ChangeInvisibleTimeHeader<'_> = call.frame.header()?;
    let receipt = receipt(header.extra_info, header.offset)?;
    let change = ChangeInvisible {
        topic: header.topic,
        group: header.consumer_group,
        queue_id: header.queue_id,
        queue_offset: header.offset,
        receipt: &receipt,
        invisible: millis(header.invisible_time),
        suspend: header.suspend,
    };
    let changed = match lite::named(header.lite_topic) {
        Some(lite_topic) => call.broker().change_invisible_lite(&change, lite_topic)?,
        None => call.broker().change_invisible(&change)?,
    };
    let reply = ChangeInvisibleTimeReply {
        pop_time: changed.pop_ms,
        invisible_time: changed.invisible_ms,
        revive_qid: changed.revive_queue,
    };
    Ok(Response::of(&reply))
}

pub(crate) async fn notification(call: Call) -> Outcome {
    let header: NotificationHeader<'_> = call.frame.header()?;
    let wait = wait(&call, header.born_time, header.poll_time).unwrap_or_default();
    let wanted = call.broker().begin_notice(&NoticeRequest {
        group: header.consumer_group,
        topic: header.topic,
        queue_id: header.queue_id,
        wait,
        order: header.order,
        attempt_id: header.attempt_id,
        filter: filter(header.exp_type, header.exp).filter(|_| header.exp_type.is_some_and(|kind| !kind.is_empty())),
    })?;
    let notice = wanted.run().await?;
    Ok(Response::of(&NotificationReply { has_msg: notice.has_message, polling_full: notice.polling_full }))
}

pub(crate) async fn peek(call: Call) -> Outcome {
    let header: PeekMessageHeader<'_> = call.frame.header()?;
    let (topic, group) = (header.topic, header.consumer_group);
    let peeked = call.broker().peek(topic, group, header.queue_id, header.max_msg_nums).await?;
    let reply = PopMessageReply {
        pop_time: peeked.at_ms,
        invisible_time: 0,
        revive_qid: 0,
        rest_num: peeked.rest,
        start_offset_info: None,
        msg_offset_info: None,
        order_count_info: None,
    };
    let fields = Fields::of(&reply);
    if peeked.records.is_empty() {
        return Err(Response { fields, ..Response::error(code::PULL_NOT_FOUND, "NO_MATCHED_MESSAGE") }.into());
    }
    Ok(Response { fields, body: peeked.records, ..Response::ok() })
}

pub(crate) fn polling_info(call: &Call) -> Outcome {
    let header: PollingInfoHeader<'_> = call.frame.header()?;
    let waiting = call.broker().waiting_pops(header.topic, header.consumer_group, header.queue_id)?;
    Ok(Response::of(&PollingInfoReply { polling_num: i32::try_from(waiting).unwrap_or(i32::MAX) }))
}

pub(crate) fn rollback(_call: &Call) -> Outcome {
    let remark = "this broker has one store of popped messages, so there is nothing to move into another";
    Err(Refusal::new(code::SYSTEM_ERROR, remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(words: &str, deliveries: i32) -> PoppedMessage {
        PoppedMessage { record: Default::default(), receipt: words.parse().unwrap(), deliveries }
    }

    #[test]
    fn infos_are_written_as_java_reads_them() {
        let found = [
            message("3 9 50 0 0 b 1 3", 0),
            message("3 9 50 0 0 b 1 5", 0),
            message("0 9 50 0 0 b 2 0", 0),
            message("7 9 50 0 1 b 0 7", 1),
        ];
        let infos = Infos::of(&found);
        assert_eq!(infos.starts, "0 1 3;0 2 0;1 0 7");
        assert_eq!(infos.offsets, "0 1 3,5;0 2 0;1 0 7");
        assert_eq!(infos.counts, "");
    }

    #[test]
    fn counts_of_ordered_pops_are_told_by_offset_and_by_queue() {
        let found =
            [message("3 9 50 999 0 b 1 3", 2), message("3 9 50 999 0 b 1 4", 0), message("8 9 50 999 0 b 2 8", 1)];
        assert_eq!(Infos::of(&found).counts, "0 qo1%3 2;0 1 0;0 qo2%8 1;0 2 1");
    }
}
