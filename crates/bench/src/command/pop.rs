//! `bench pop`: consumers that take messages and ack each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use clap::Args;
use protocol::Frame;
use protocol::receipt::Receipt;
use protocol::request::{AckMessage, AckMessageHeader, PopMessage, PopMessageHeader, PopMessageReply, Request};

use crate::Error;
use crate::args::{Load, Shape, Watch, Where};
use crate::clock::Clock;
use crate::control::{Broker, Control, find_topics};
use crate::engine::{Job, Spot};
use crate::record::Recorder;
use crate::run::{Member, run, share};
use crate::scan::{Reply, count_records};

/// Pops messages that are there already and acks each, over and over
///
/// Every connection is a group of its own, with one pop in flight and all acks of it behind. A group that has had
/// everything makes room for a new one. A message counts when its ack is answered. Send something first.
#[derive(Debug, Args)]
pub(crate) struct PopArgs {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    shape: Shape,
    /// Messages wanted with one pop
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=32))]
    batch: u32,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    watch: Watch,
}

/// Acks of one pop at most, and the next pop.
const WINDOW: usize = 64;

impl PopArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let brokers = find_topics(&self.place, &self.shape)?;
        let mut names = Vec::new();
        for broker in &brokers {
            names.push(Control::open(&broker.address)?.broker_name()?);
        }
        let clock = Clock::start();
        let run_name = clock.wall_ns(0) / 1_000_000;
        let threads = self.load.threads();
        let mut members = Vec::new();
        for thread in 0..threads {
            let of_thread = share(self.load.connections.into(), threads, thread) as usize;
            let lanes: Vec<usize> = (0..brokers.len()).flat_map(|broker| vec![broker; of_thread]).collect();
            let consumer = |(at, broker): (usize, &usize)| Consumer {
                broker: names[*broker].as_str().into(),
                name: format!("bench-pop-{run_name}-{thread}-{at}"),
                rounds: 0,
                popping: false,
                waiting: VecDeque::new(),
                slots: vec![Slot::Ack; WINDOW],
            };
            members.push(Member {
                job: Box::new(PopJob {
                    topic: self.shape.topics().name(0),
                    encoding: self.shape.encoding(),
                    batch: self.batch as i32,
                    consumers: lanes.iter().enumerate().map(consumer).collect(),
                    out: BytesMut::new(),
                }),
                addresses: lanes.iter().map(|broker| brokers[*broker].address.clone()).collect(),
                window: WINDOW,
                rate: None,
                count: self.load.count.map(|count| share(count, threads, thread)),
                lingers: false,
            });
        }
        let outcome = run(clock, &self.load, &self.watch, members)?;
        super::print(&self.watch, &outcome.report("pop and ack", self.words(&brokers), &outcome.all()));
        Ok(())
    }

    fn words(&self, brokers: &[Broker]) -> String {
        let connections = self.load.connections as usize * brokers.len();
        let queues: u32 = brokers.iter().map(|broker| broker.queues).sum();
        let encoding = self.shape.encoding();
        format!(
            "{connections} connections, {} messages a pop, acks in flight together, {queues} queues, {encoding:?} headers",
            self.batch
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Pop,
    Ack,
}

/// One connection.
struct Consumer {
    broker: Arc<str>,
    name: String,
    /// Groups that have had everything.
    rounds: u64,
    popping: bool,
    waiting: VecDeque<Receipt>,
    slots: Vec<Slot>,
}

impl Consumer {
    fn group(&self) -> String {
        format!("{}-{}", self.name, self.rounds)
    }

    /// Makes the receipts of what was popped, as clients do.
    fn take(&mut self, reply: &Reply<'_>) -> Option<()> {
        let header = PopMessageReply {
            pop_time: reply.number("popTime")?,
            invisible_time: reply.number("invisibleTime")?,
            revive_qid: reply.number("reviveQid")? as i32,
            rest_num: 0,
            start_offset_info: reply.text("startOffsetInfo"),
            msg_offset_info: reply.text("msgOffsetInfo"),
            order_count_info: None,
        };
        self.waiting.extend(header.receipts(&self.broker)?);
        Some(())
    }
}

struct PopJob {
    topic: String,
    encoding: protocol::Encoding,
    batch: i32,
    consumers: Vec<Consumer>,
    out: BytesMut,
}

/// Longer than any run takes to ack what it popped.
const INVISIBLE_MS: i64 = 60_000;

impl Job for PopJob {
    fn request(&mut self, at: Spot, opaque: i32, _intended: u64, out: &mut Vec<u8>) -> bool {
        let consumer = &mut self.consumers[at.lane];
        let group = consumer.group();
        let frame = if let Some(receipt) = consumer.waiting.pop_front() {
            consumer.slots[at.slot] = Slot::Ack;
            let topic = receipt.real_topic(&self.topic, &group);
            Frame::request(
                AckMessage::CODE,
                &AckMessageHeader {
                    consumer_group: &group,
                    topic: &topic,
                    queue_id: receipt.queue_id,
                    extra_info: &receipt.to_string(),
                    offset: receipt.queue_offset,
                    lite_topic: None,
                },
            )
        } else if !std::mem::replace(&mut consumer.popping, true) {
            consumer.slots[at.slot] = Slot::Pop;
            Frame::request(
                PopMessage::CODE,
                &PopMessageHeader {
                    consumer_group: &group,
                    topic: &self.topic,
                    queue_id: -1,
                    max_msg_nums: self.batch,
                    invisible_time: INVISIBLE_MS,
                    poll_time: 0,
                    born_time: None,
                    init_mode: 0,
                    exp_type: Some("TAG"),
                    exp: Some("*"),
                    order: false,
                    attempt_id: None,
                },
            )
        } else {
            return false;
        };
        self.out.clear();
        Frame { encoding: self.encoding, ..frame }.encode(opaque, &mut self.out);
        out.extend_from_slice(&self.out);
        true
    }

    fn answer(&mut self, at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder) {
        /// Nothing to pop before the wait was over.
        const POLLING_TIMEOUT: i32 = 210;
        let consumer = &mut self.consumers[at.lane];
        match (consumer.slots[at.slot], reply.code) {
            (Slot::Ack, 0) => recorder.messages(1, 0, now),
            (Slot::Ack, code) => recorder.refused(code),
            (Slot::Pop, code) => {
                consumer.popping = false;
                match code {
                    0 if count_records(reply.body).is_none() => recorder.trouble("unreadable records"),
                    0 if consumer.take(reply).is_none() => recorder.trouble("unreadable receipts"),
                    0 => {}
                    POLLING_TIMEOUT => consumer.rounds += 1,
                    code => recorder.refused(code),
                }
            }
        }
    }
}
