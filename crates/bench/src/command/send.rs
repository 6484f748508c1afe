//! `bench send`: producers.

use clap::Args;

use crate::Error;
use crate::args::{Content, Load, Shape, Watch, Where, Window};
use crate::clock::Clock;
use crate::control::{Broker, make_topics};
use crate::engine::{Job, Spot};
use crate::record::Recorder;
use crate::report::grouped;
use crate::run::{Member, run, share};
use crate::scan::Reply;
use crate::template::{Messages, Template, Topics};

/// Sends messages, at full speed or at a given rate
///
/// Makes the topics with the given number of queues first.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    window: Window,
    /// Messages per second of an open loop; without it every answer is followed by the next request
    #[arg(long, short = 'r', value_name = "MSG/S", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    watch: Watch,
}

impl SendArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let brokers = make_topics(&self.place, &self.shape)?;
        let sending = Sending {
            clock: Clock::start(),
            topics: self.shape.topics(),
            messages: self.content.messages(self.shape.encoding())?,
            distinct_keys: self.content.keys.unwrap_or(1),
            window: self.window.of(self.rate),
            rate: self.rate,
        };
        let members = sending.members(&brokers, &self.load)?;
        let outcome = run(sending.clock, &self.load, &self.watch, members)?;
        let report = outcome.report("send", sending.words(&brokers, &self.load), &outcome.all());
        super::print(&self.watch, &report);
        Ok(())
    }
}

/// A rate is a positive number.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("it must be a number above 0".into()),
    }
}

/// What the producers have in common.
pub(super) struct Sending {
    pub(super) clock: Clock,
    pub(super) topics: Topics,
    pub(super) messages: Messages,
    pub(super) distinct_keys: u64,
    pub(super) window: usize,
    pub(super) rate: Option<f64>,
}

impl Sending {
    /// A member for each thread; every connection sends to all queues in turn.
    pub(super) fn members(&self, brokers: &[Broker], load: &Load) -> Result<Vec<Member>, Error> {
        let threads = load.threads();
        let member = |thread: usize| {
            let of_thread = share(load.connections.into(), threads, thread) as usize;
            let lanes: Vec<&Broker> = brokers.iter().flat_map(|broker| vec![broker; of_thread]).collect();
            let job = SendJob::new(self, thread, &lanes)?;
            let per_request = threads as f64 * self.messages.batch as f64;
            Ok(Member {
                job: Box::new(job),
                addresses: lanes.iter().map(|broker| broker.address.clone()).collect(),
                window: self.window,
                rate: self.rate.map(|rate| rate / per_request),
                count: load.count.map(|count| share(count, threads, thread)),
                lingers: false,
            })
        };
        (0..threads).map(member).collect()
    }

    pub(super) fn words(&self, brokers: &[Broker], load: &Load) -> String {
        let pace = match self.rate {
            Some(rate) => format!("open loop of {} msg/s, at most {}", grouped(rate), self.window),
            None => self.window.to_string(),
        };
        let topics = match self.topics.count {
            1 => String::new(),
            count => format!("{} topics of ", grouped(count as f64)),
        };
        let batch = match self.messages.batch {
            1 => String::new(),
            count => format!(", batches of {count}"),
        };
        let queues: u32 = brokers.iter().map(|broker| broker.queues).sum();
        let connections = load.connections as usize * brokers.len();
        format!(
            "{connections} connections x {pace} in flight, bodies of {} bytes{batch}, {topics}{queues} queues, {:?} headers",
            self.messages.body_bytes, self.messages.encoding
        )
    }
}

/// The producers of one thread.
pub(super) struct SendJob {
    clock: Clock,
    template: Template,
    topics: u64,
    /// For each connection: queues of its broker, and the number of its next request.
    lanes: Vec<(u64, u64)>,
    batch: u64,
    body_bytes: u64,
    /// Number of the next message, unique to this thread and run.
    counter: u64,
    distinct_keys: u64,
    born_ms: u64,
}

impl SendJob {
    pub(super) fn new(sending: &Sending, thread: usize, lanes: &[&Broker]) -> Result<SendJob, Error> {
        let queues = lanes.iter().map(|broker| broker.queues).max().unwrap_or(1);
        Ok(SendJob {
            clock: sending.clock,
            template: Template::send(&sending.messages, &sending.topics, queues)?,
            topics: sending.topics.count,
            // Connections begin at different queues.
            lanes: lanes.iter().enumerate().map(|(lane, broker)| (broker.queues.into(), lane as u64)).collect(),
            batch: sending.messages.batch as u64,
            body_bytes: sending.messages.body_bytes as u64,
            counter: sending.clock.wall_ns(0) ^ ((thread as u64) << 52),
            distinct_keys: sending.distinct_keys,
            born_ms: 0,
        })
    }
}

impl Job for SendJob {
    fn request(&mut self, at: Spot, opaque: i32, intended: u64, out: &mut Vec<u8>) -> bool {
        let (queues, next) = &mut self.lanes[at.lane];
        let number = *next;
        *next += 1;
        let stamp = self.clock.wall_ns(intended);
        if stamp / 1_000_000 != self.born_ms {
            self.born_ms = stamp / 1_000_000;
            self.template.born(self.born_ms);
        }
        if self.topics > 1 {
            self.template.topic(number / *queues % self.topics);
        }
        self.template.queue((number % *queues) as u32).opaque(opaque);
        self.template.number(self.counter, self.distinct_keys).stamp(stamp);
        self.counter += self.batch;
        out.extend_from_slice(self.template.bytes());
        true
    }

    fn answer(&mut self, _at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder) {
        match reply.code {
            0 => recorder.messages(self.batch, self.batch * self.body_bytes, now),
            code => recorder.refused(code),
        }
    }
}
