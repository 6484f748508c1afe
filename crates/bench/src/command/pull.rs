//! `bench pull`: readers of what is there.

use clap::Args;

use crate::Error;
use crate::args::{Load, Shape, Watch, Where};
use crate::clock::Clock;
use crate::control::{Broker, Control, find_topics};
use crate::engine::{Job, Spot};
use crate::record::Recorder;
use crate::run::{Member, run, share};
use crate::scan::{Reply, count_records};
use crate::template::{Pulls, Template};

/// Pulls messages that are there already, over and over
///
/// Every connection reads all queues, as if it were a group of its own, with one pull in flight for each cursor.
/// Send something first.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    shape: Shape,
    /// Messages of each queue that are read, the newest ones: the hot end
    #[arg(long, value_name = "N", default_value_t = 8192)]
    last: u64,
    /// Read each queue from its first message instead
    #[arg(long)]
    from_start: bool,
    /// Messages wanted with one pull, 32 in Java clients
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Cursors for each queue and connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    cursors: u32,
    /// Only messages that this SQL92 expression selects, such as "UNIQ_KEY IS NOT NULL", which selects all
    #[arg(long, value_name = "EXPRESSION")]
    sql: Option<String>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    watch: Watch,
}

impl PullArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let brokers = find_topics(&self.place, &self.shape)?;
        let mut ranges = Vec::new();
        for broker in &brokers {
            ranges.push(self.ranges(broker)?);
        }
        let threads = self.load.threads();
        let mut members = Vec::new();
        for thread in 0..threads {
            let of_thread = share(self.load.connections.into(), threads, thread) as usize;
            let lanes: Vec<usize> = (0..brokers.len()).flat_map(|broker| vec![broker; of_thread]).collect();
            let queues = brokers.iter().map(|broker| broker.queues).max().unwrap_or(1);
            let topics = self.shape.topics();
            let cursors: Vec<Vec<Cursor>> = lanes.iter().map(|broker| ranges[*broker].clone()).collect();
            let window = cursors.iter().map(Vec::len).max().unwrap_or(1);
            let sql = self.sql.as_deref();
            let pulls = Pulls { group: "bench-pull", max_messages: self.batch, suspend_ms: 0, sql };
            let template = Template::pull(self.shape.encoding(), &topics, queues, &pulls)?;
            members.push(Member {
                job: Box::new(PullJob { template, lanes: cursors }),
                addresses: lanes.iter().map(|broker| brokers[*broker].address.clone()).collect(),
                window,
                rate: None,
                count: self.load.count.map(|count| share(count, threads, thread)),
                lingers: false,
            });
        }
        let outcome = run(Clock::start(), &self.load, &self.watch, members)?;
        super::print(&self.watch, &outcome.report("pull", self.words(&brokers, &ranges), &outcome.all()));
        Ok(())
    }

    /// The cursors of one connection to a broker.
    fn ranges(&self, broker: &Broker) -> Result<Vec<Cursor>, Error> {
        let mut control = Control::open(&broker.address)?;
        let topics = self.shape.topics();
        let mut cursors = Vec::new();
        for topic in 0..topics.count {
            let name = topics.name(topic);
            for queue in 0..broker.queues {
                let (min, end) = (control.offset(31, &name, queue)?, control.offset(30, &name, queue)?);
                let first = if self.from_start { min } else { min.max(end - self.last as i64) };
                let spread = i64::from(self.cursors);
                cursors.extend((first < end).then_some(0..spread).into_iter().flatten().map(|part| {
                    let next = first + (end - first) * part / spread;
                    Cursor { topic, queue, first, next, end }
                }));
            }
        }
        if cursors.is_empty() {
            return Err(Error::Impossible(format!(
                "{} has no messages in {:?}, run `rocketmq bench send` first",
                broker.address,
                topics.name(0)
            )));
        }
        Ok(cursors)
    }

    fn words(&self, brokers: &[Broker], ranges: &[Vec<Cursor>]) -> String {
        let cursors: usize = ranges.iter().map(Vec::len).sum();
        let messages: i64 = ranges.iter().flatten().map(|cursor| cursor.end - cursor.first).sum();
        let connections = self.load.connections as usize * brokers.len();
        let which = if self.from_start { "all" } else { "the newest" };
        let selected = self.sql.as_ref().map_or(String::new(), |sql| format!(" where {sql}"));
        format!(
            "{connections} connections x {} pulls in flight, up to {} messages each, {which} {} messages{selected}, {:?} headers",
            cursors / brokers.len(),
            self.batch,
            messages / i64::from(self.cursors),
            self.shape.encoding()
        )
    }
}

/// A place in a queue that goes round from `first` to `end`.
#[derive(Debug, Clone)]
struct Cursor {
    topic: u64,
    queue: u32,
    first: i64,
    next: i64,
    end: i64,
}

struct PullJob {
    template: Template,
    /// The cursors of each connection, one for each slot.
    lanes: Vec<Vec<Cursor>>,
}

impl Job for PullJob {
    fn request(&mut self, at: Spot, opaque: i32, _intended: u64, out: &mut Vec<u8>) -> bool {
        let Some(cursor) = self.lanes[at.lane].get(at.slot) else { return false };
        self.template.topic(cursor.topic).queue(cursor.queue).offset(cursor.next).opaque(opaque);
        out.extend_from_slice(self.template.bytes());
        true
    }

    fn answer(&mut self, at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder) {
        let cursor = &mut self.lanes[at.lane][at.slot];
        match reply.code {
            0 => match count_records(reply.body) {
                Some(count) => recorder.messages(count, reply.body.len() as u64, now),
                None => recorder.trouble("unreadable records"),
            },
            // Nothing there, nothing matching, or deleted meanwhile: the header says where to go on.
            19..=21 => {}
            code => recorder.refused(code),
        }
        let next = reply.number("nextBeginOffset").unwrap_or(cursor.end);
        cursor.next = if next >= cursor.end || next < cursor.next { cursor.first } else { next };
    }
}
