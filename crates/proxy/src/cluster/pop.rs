//! Receiving: POP at one broker, and its answer in the words of ours.
//!
//! Source: `ConsumerProcessor.popMessage`, `MQClientAPIImpl.processPopResponse`, `ExtraInfoUtil`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{PopFrom, PopLiteRequest, PopRequest, PopStatus, Popped, PoppedMessage};
use bytes::Bytes;
use protocol::receipt::{Receipt, Retry};
use protocol::record::{RecordView, records};
use protocol::request::{PopLiteMessage, PopLiteMessageHeader, PopMessage, PopMessageHeader, PopMessageReply, Request};
use protocol::{Frame, code, name, properties};
use tokio::sync::oneshot;

use super::call::Answer;
use super::{Cluster, Error};
use crate::limits::RECEIVE_MESSAGES_MAX;
use crate::renew::WHEN_GONE;
use crate::settle::Place;
use crate::status::Refusal;

/// Makes messages of an answer to a pop of a topic.
type Read = fn(&Answer, &str) -> Result<Popped, Error>;

impl Cluster {
    pub(crate) async fn pop(self: &Arc<Self>, broker: &str, request: &PopRequest<'_>) -> Result<Popped, Refusal> {
        let (kind, expression) = request.filter.map_or((None, None), |filter| (filter.kind, Some(filter.expression)));
        let header = PopMessageHeader {
            consumer_group: request.group,
            topic: request.topic,
            queue_id: request.queue_id,
            max_msg_nums: request.max_messages,
            invisible_time: millis(request.invisible),
            poll_time: millis(request.wait),
            // The broker begins to count when the request comes: its clock may differ from ours.
            born_time: Some(0),
            init_mode: match request.from {
                PopFrom::Min => 0,
                PopFrom::Max => 1,
            },
            exp_type: kind,
            exp: expression,
            order: request.order,
            attempt_id: request.attempt_id,
        };
        let frame = Frame::request(PopMessage::CODE, &header);
        self.take(broker, request.group, request.topic, frame, request.wait, popped).await
    }

    pub(crate) async fn pop_lite(
        self: &Arc<Self>,
        broker: &str,
        request: &PopLiteRequest<'_>,
    ) -> Result<Popped, Refusal> {
        let header = PopLiteMessageHeader {
            client_id: request.client_id,
            consumer_group: request.group,
            topic: request.topic,
            max_msg_num: request.max_messages,
            invisible_time: millis(request.invisible),
            poll_time: millis(request.wait),
            born_time: Some(0),
            attempt_id: request.attempt_id,
        };
        let frame = Frame::request(PopLiteMessage::CODE, &header);
        self.take(broker, request.group, request.topic, frame, request.wait, popped_lite).await
    }

    /// Pops at the broker of this name, or at one whose turn it is.
    ///
    /// A pop cannot be called off. It goes on when this is dropped, because its client has left, and what it takes then
    /// is given back.
    async fn take(
        self: &Arc<Self>,
        broker: &str,
        group: &str,
        topic: &str,
        frame: Frame,
        wait: Duration,
        read: Read,
    ) -> Result<Popped, Refusal> {
        let mut brokers = match broker {
            "" => self.readable_brokers(topic).await?,
            named => vec![named.into()],
        }
        .into_iter();
        let (cluster, group, topic) = (self.clone(), group.to_owned(), topic.to_owned());
        let (to, taken) = oneshot::channel();
        self.spawn(async move {
            let answer = loop {
                let broker = brokers.next().expect("there is at least one, and the last try ends this");
                match cluster.exchange(&broker, frame.clone(), wait).await {
                    Err(error) if error.is_elsewhere_possible() && brokers.len() > 0 => {}
                    answer => break answer,
                }
            };
            let popped = answer.and_then(|answer| read(&answer, &topic));
            if let Err(Ok(unwanted)) = to.send(popped) {
                let lite = |message: &PoppedMessage| crate::lite::lite_topic(&message.record);
                for message in &unwanted.messages {
                    let lite_topic = lite(message).filter(|_| unwanted.revive_queue == LITE_REVIVE_QUEUE);
                    let place = Place { group: &group, topic: &topic, lite_topic: lite_topic.as_deref() };
                    cluster.give_back(place, &message.receipt, WHEN_GONE);
                }
            }
        });
        Ok(taken.await.unwrap_or(Err(Error::Stopping))?)
    }

    /// Brokers to pop from, the one whose turn it is first, then those that are up.
    async fn readable_brokers(&self, topic: &str) -> Result<Vec<Arc<str>>, Error> {
        let topic = self.find_topic(topic).await?;
        let mut brokers = topic.readable.clone();
        if brokers.is_empty() {
            return Err(Error::NoQueue { topic: topic.name.clone(), wanted: "readable" });
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % brokers.len();
        brokers.rotate_left(turn);
        brokers.sort_by_key(|broker| !self.brokers.is_up(broker));
        Ok(brokers)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn status(answer: &Answer) -> Result<PopStatus, Error> {
    match answer.code() {
        code::SUCCESS => Ok(PopStatus::Found),
        code::POLLING_TIMEOUT | code::PULL_NOT_FOUND => Ok(PopStatus::PollingTimeout),
        code::POLLING_FULL => Ok(PopStatus::PollingFull),
        _ => Err(answer.refusal()),
    }
}

/// Records of an answer, which share its bytes.
fn records_of(body: &Bytes) -> impl Iterator<Item = (RecordView<'_>, Bytes)> {
    records(body)
        .map_while(Result::ok)
        .take(RECEIVE_MESSAGES_MAX as usize)
        .map(|view| (view.clone(), body.slice_ref(view.bytes())))
}

fn popped(answer: &Answer, _topic: &str) -> Result<Popped, Error> {
    let status = status(answer)?;
    let mut popped = Popped { status, pop_ms: 0, invisible_ms: 0, revive_queue: 0, rest: 0, messages: Vec::new() };
    if status != PopStatus::Found {
        return Ok(popped);
    }
    let reply = answer.header::<PopMessage>()?;
    (popped.pop_ms, popped.invisible_ms) = (reply.pop_time, reply.invisible_time);
    (popped.revive_queue, popped.rest) = (reply.revive_qid, reply.rest_num);
    let infos = Infos::read(&reply, &answer.broker.as_str().into());
    let mut infos = infos.ok_or_else(|| answer.unreadable::<PopMessage>("the offsets by queue"))?;
    for (view, record) in records_of(&answer.frame.body) {
        // A message that comes again is under its own topic and brings its receipt.
        let made = view.property(properties::POP_CK).and_then(|text| text.parse::<Receipt>().ok());
        let receipt = made.or_else(|| {
            let retry = Retry::of_topic(view.topic());
            let queue_id = view.queue_id() as i32;
            infos.receipts.get_mut(&(retry as i32, queue_id))?.pop_front()
        });
        let receipt = receipt.ok_or_else(|| answer.unreadable::<PopMessage>("a message without an offset"))?;
        let deliveries = match receipt.is_order() {
            true => infos.deliveries(&receipt),
            false => view.reconsume_times(),
        };
        popped.messages.push(PoppedMessage { record, receipt, deliveries });
    }
    Ok(popped)
}

/// A queue of an answer: which kind of topic, and its number.
type Queue = (i32, i32);

/// What an answer says of its messages.
#[derive(Debug, Default)]
struct Infos<'a> {
    /// Receipts of the messages of each queue, in their order.
    receipts: HashMap<Queue, VecDeque<Receipt>>,
    /// How often each was delivered before: by queue, and by `qo<queue>%<offset>`.
    counts: HashMap<(i32, &'a str), i32>,
}

impl<'a> Infos<'a> {
    fn read(reply: &PopMessageReply<'a>, broker_name: &Arc<str>) -> Option<Infos<'a>> {
        let mut infos = Infos::default();
        // Nothing is said of messages that bring their receipts.
        if reply.msg_offset_info.is_some_and(|info| !info.is_empty()) {
            for receipt in reply.receipts(broker_name)? {
                infos.receipts.entry((receipt.retry as i32, receipt.queue_id)).or_default().push_back(receipt);
            }
        }
        for [retry, place, count] in groups(reply.order_count_info) {
            infos.counts.insert((retry.parse().ok()?, place), count.parse().ok()?);
        }
        Some(infos)
    }

    fn deliveries(&self, receipt: &Receipt) -> i32 {
        let (retry, queue, offset) = (receipt.retry as i32, receipt.queue_id, receipt.queue_offset);
        let of = |place: &str| self.counts.get(&(retry, place)).copied();
        of(&format!("qo{queue}%{offset}")).or_else(|| of(&queue.to_string())).unwrap_or(0)
    }
}

/// Groups of three words, separated by semicolons.
fn groups(text: Option<&str>) -> impl Iterator<Item = [&str; 3]> {
    let groups = text.unwrap_or_default().split(';').filter(|group| !group.is_empty());
    groups.filter_map(|group| {
        let mut words = group.split(' ');
        Some([words.next()?, words.next()?, words.next()?])
    })
}

/// The number in the receipts of lite topics. Source: `KeyBuilder.POP_ORDER_REVIVE_QUEUE`.
const LITE_REVIVE_QUEUE: i32 = protocol::receipt::ORDER_REVIVE_QUEUE;

/// The answer has no offsets: each record says its place in the queue of its lite topic.
fn popped_lite(answer: &Answer, topic: &str) -> Result<Popped, Error> {
    let status = status(answer)?;
    let mut popped =
        Popped { status, pop_ms: 0, invisible_ms: 0, revive_queue: LITE_REVIVE_QUEUE, rest: 0, messages: Vec::new() };
    if status != PopStatus::Found {
        return Ok(popped);
    }
    let reply = answer.header::<PopLiteMessage>()?;
    (popped.pop_ms, popped.invisible_ms) = (reply.pop_time, reply.invisible_time);
    let mut counts = reply.order_count_info.unwrap_or_default().split(';');
    let broker_name: Arc<str> = answer.broker.as_str().into();
    for (view, record) in records_of(&answer.frame.body) {
        let unplaced = || answer.unreadable::<PopLiteMessage>("a message without a place in its lite topic");
        let receipt = Receipt {
            start_offset: 0,
            pop_ms: reply.pop_time,
            invisible_ms: reply.invisible_time,
            revive_queue: reply.revive_qid,
            retry: Retry::None,
            broker_name: broker_name.clone(),
            queue_id: 0,
            queue_offset: lite_offset(&view, topic).ok_or_else(unplaced)?,
            log_offset: None,
        };
        let deliveries = counts.next().and_then(|count| count.trim().parse().ok()).unwrap_or(0);
        popped.messages.push(PoppedMessage { record, receipt, deliveries });
    }
    Ok(popped)
}

/// Place of a record in the queue of its lite topic: one of those it says it is in.
fn lite_offset(view: &RecordView<'_>, parent: &str) -> Option<i64> {
    let queue = name::lite_queue(parent, view.property(properties::LITE_TOPIC)?);
    let queues = view.property(properties::INNER_MULTI_DISPATCH)?.split(',');
    let offsets = view.property(properties::INNER_MULTI_QUEUE_OFFSET)?.split(',');
    queues.zip(offsets).find(|(name, _)| *name == queue)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use protocol::Fields;
    use protocol::record::{NewRecord, Stamp};

    use super::*;

    fn record(queue_id: u32, queue_offset: u64, pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut text = String::new();
        pairs.iter().for_each(|(key, value)| properties::push(&mut text, key, value));
        let record = NewRecord {
            topic: "T",
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: "10.0.0.1:1".parse().unwrap(),
            store_host: "10.0.0.2:2".parse().unwrap(),
            reconsume_times: 2,
            prepared_transaction_offset: 0,
            body: b"x",
            properties: &text,
            more_properties: "",
        };
        let mut bytes = Vec::new();
        let stamp = Stamp { queue_offset, log_offset: 4096, store_timestamp: 1 };
        record.measure().unwrap().encode(&stamp, &mut bytes);
        bytes
    }

    fn answer(reply: &PopMessageReply<'_>, body: Vec<u8>) -> Answer {
        let frame = Frame { fields: Fields::of(reply), body: body.into(), ..Frame::default() };
        Answer { broker: "b".into(), frame }
    }

    fn reply() -> PopMessageReply<'static> {
        PopMessageReply {
            pop_time: 9,
            invisible_time: 50,
            revive_qid: 3,
            rest_num: 0,
            start_offset_info: Some("0 1 3;0 2 0"),
            msg_offset_info: Some("0 1 3,5;0 2 0"),
            order_count_info: None,
        }
    }

    #[test]
    fn receipts_are_made_of_the_offsets_by_queue() {
        let ck = "7 8 50 0 1 other 0 7";
        let body = [record(1, 3, &[]), record(1, 5, &[]), record(0, 9, &[("POP_CK", ck)]), record(2, 0, &[])].concat();
        let popped = popped(&answer(&reply(), body), "T").unwrap();
        let receipts: Vec<_> = popped.messages.iter().map(|message| message.receipt.to_string()).collect();
        assert_eq!(receipts, ["3 9 50 3 0 b 1 3", "3 9 50 3 0 b 1 5", ck, "0 9 50 3 0 b 2 0"]);
        assert!(popped.messages.iter().all(|message| message.deliveries == 2), "as the records say");
    }

    #[test]
    fn ordered_messages_have_counts_of_their_own() {
        let reply = PopMessageReply { revive_qid: 999, order_count_info: Some("0 qo1%5 4;0 1 0"), ..reply() };
        let body = [record(1, 3, &[]), record(1, 5, &[]), record(2, 0, &[])].concat();
        let popped = popped(&answer(&reply, body), "T").unwrap();
        assert_eq!(popped.messages.iter().map(|message| message.deliveries).collect::<Vec<_>>(), [0, 4, 0]);
    }

    #[test]
    fn an_answer_that_does_not_fit_its_messages_is_refused() {
        let body = [record(7, 3, &[])].concat();
        assert!(matches!(popped(&answer(&reply(), body), "T"), Err(Error::Unreadable { .. })));
        let odd = PopMessageReply { msg_offset_info: Some("0 1 3,x"), ..reply() };
        assert!(matches!(popped(&answer(&odd, Vec::new()), "T"), Err(Error::Unreadable { .. })));
    }

    #[test]
    fn a_record_of_a_lite_topic_says_its_place() {
        let pairs = [
            ("__LITE_TOPIC", "s"),
            ("INNER_MULTI_DISPATCH", "%LMQ%other,%LMQ%$T$s"),
            ("INNER_MULTI_QUEUE_OFFSET", "4,17"),
        ];
        let bytes = record(0, 1, &pairs);
        assert_eq!(lite_offset(&RecordView::parse(&bytes).unwrap(), "T"), Some(17));
        assert_eq!(lite_offset(&RecordView::parse(&bytes).unwrap(), "U"), None);
    }
}
