//! `bench consume`: readers of what comes.

use clap::Args;

use crate::Error;
use crate::args::{Load, Shape, Watch, Where};
use crate::clock::{Clock, stamp};
use crate::control::{Broker, Control, find_topics};
use crate::engine::{Job, Spot};
use crate::record::Recorder;
use crate::run::{Member, run};
use crate::scan::Reply;
use crate::template::{Pulls, Template, Topics};

/// How long a pull waits for messages, as in Java clients.
const SUSPEND_MS: u32 = 15_000;

/// Pause after a refusal, in nanoseconds.
const REFUSED_NS: u64 = 100_000_000;

/// Receives messages while they are sent
///
/// Pulls from the end of every queue and waits there. The queues are dealt out to the connections, as in a group.
/// Messages of `bench send` carry the time at which they were meant to leave, so their way is measured.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    shape: Shape,
    /// Messages wanted with one pull, 32 in Java clients
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    watch: Watch,
}

impl ConsumeArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let brokers = find_topics(&self.place, &self.shape)?;
        let clock = Clock::start();
        let members = members(clock, &self.shape, &brokers, self.load.connections, self.batch)?;
        let outcome = run(clock, &self.load, &self.watch, members)?;
        let queues: u32 = brokers.iter().map(|broker| broker.queues).sum();
        let words = format!(
            "{} connections, {queues} queues, up to {} messages with a pull, {:?} headers",
            self.load.connections as usize * brokers.len(),
            self.batch,
            self.shape.encoding()
        );
        // The time of a pull that waits says nothing.
        let mut all = outcome.all();
        all.latency.reset();
        super::print(&self.watch, &outcome.report("consume", words, &all));
        Ok(())
    }
}

/// One member with all consumers, at the end of every queue now.
pub(super) fn members(
    clock: Clock,
    shape: &Shape,
    brokers: &[Broker],
    connections: u32,
    batch: u32,
) -> Result<Vec<Member>, Error> {
    let topics = shape.topics();
    let queues = brokers.iter().map(|broker| broker.queues).max().unwrap_or(1);
    let mut lanes: Vec<Vec<Cursor>> = Vec::new();
    let mut addresses = Vec::new();
    for broker in brokers {
        let mut dealt = vec![Vec::new(); connections as usize];
        for (index, cursor) in ends(broker, &topics)?.into_iter().enumerate() {
            dealt[index % connections as usize].push(cursor);
        }
        addresses.extend(dealt.iter().map(|_| broker.address.clone()));
        lanes.extend(dealt);
    }
    let window = lanes.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let pulls = Pulls { group: "bench-consume", max_messages: batch, suspend_ms: SUSPEND_MS, sql: None };
    let template = Template::pull(shape.encoding(), &topics, queues, &pulls)?;
    let job = ConsumeJob { clock, template, lanes };
    Ok(vec![Member { job: Box::new(job), addresses, window, rate: None, count: None, lingers: true }])
}

fn ends(broker: &Broker, topics: &Topics) -> Result<Vec<Cursor>, Error> {
    let mut control = Control::open(&broker.address)?;
    let mut cursors = Vec::new();
    for topic in 0..topics.count {
        for queue in 0..broker.queues {
            let next = control.offset(30, &topics.name(topic), queue)?;
            cursors.push(Cursor { topic, queue, next, rests_until: 0 });
        }
    }
    Ok(cursors)
}

#[derive(Debug, Clone)]
struct Cursor {
    topic: u64,
    queue: u32,
    next: i64,
    /// After a refusal.
    rests_until: u64,
}

struct ConsumeJob {
    clock: Clock,
    template: Template,
    /// The cursors of each connection, one for each slot.
    lanes: Vec<Vec<Cursor>>,
}

impl Job for ConsumeJob {
    fn request(&mut self, at: Spot, opaque: i32, intended: u64, out: &mut Vec<u8>) -> bool {
        let Some(cursor) = self.lanes[at.lane].get(at.slot) else { return false };
        if cursor.rests_until > intended {
            return false;
        }
        self.template.topic(cursor.topic).queue(cursor.queue).offset(cursor.next).opaque(opaque);
        out.extend_from_slice(self.template.bytes());
        true
    }

    fn answer(&mut self, at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder) {
        let cursor = &mut self.lanes[at.lane][at.slot];
        match reply.code {
            0 => {
                let mut count = 0;
                for record in protocol::record::records(reply.body) {
                    match record {
                        Ok(record) => {
                            count += 1;
                            if let Some(stamp) = stamp(record.body()) {
                                recorder.delivered(self.clock.at(stamp), now);
                            }
                        }
                        Err(_) => recorder.trouble("unreadable records"),
                    }
                }
                recorder.messages(count, reply.body.len() as u64, now);
            }
            19..=21 => {}
            code => {
                recorder.refused(code);
                cursor.rests_until = now + REFUSED_NS;
            }
        }
        cursor.next = reply.number("nextBeginOffset").unwrap_or(cursor.next);
    }

    fn drains(&self) -> bool {
        false
    }
}
