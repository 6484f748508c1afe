//! `bench topics N`: what many topics cost.

use std::time::Instant;

use clap::Args;
use protocol::Frame;
use protocol::body::TopicList;
use protocol::request::GetRouteHeader;
use serde::Serialize;

use super::send::Sending;
use crate::Error;
use crate::args::{Content, HeaderForm, Load, Shape, Watch, Where};
use crate::clock::Clock;
use crate::control::{Broker, Control, brokers, create_topic_request};
use crate::engine::{Job, Spot};
use crate::process::Processes;
use crate::record::Recorder;
use crate::report::{Report, grouped};
use crate::run::{Member, Outcome, run};
use crate::scan::Reply;
use crate::template::{Template, Topics};

/// Connections that make topics or ask for routes.
const CONNECTIONS: u32 = 2;

/// Makes many topics, sends to all, asks for routes and lists them
#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    /// Topics to make
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    #[command(flatten)]
    pub(super) place: Where,
    /// Queues of each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    queues: u32,
    /// Base of their names
    #[arg(long, default_value = "many")]
    topic: String,
    /// Messages sent to each queue
    #[arg(long, value_name = "N", default_value_t = 1)]
    messages: u64,
    /// Route queries
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    routes: u64,
    /// Requests in flight on each connection
    #[arg(long, short = 'w', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    watch: Watch,
}

/// The result of all steps.
#[derive(Debug, Serialize)]
struct Steps {
    topics: u64,
    queues: u64,
    steps: Vec<Report>,
    /// Milliseconds and topics of one listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<(f64, Result<usize, String>)>,
    /// What the server's memory grew by, for each queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes_per_queue: Option<f64>,
}

impl TopicsArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let topics = Topics::new(&self.topic, self.count);
        let server = Processes::new(&self.watch.server_pid)?;
        let before = server.memory().resident;
        let brokers: Vec<Broker> =
            brokers(&self.place)?.into_iter().map(|address| Broker { address, queues: self.queues }).collect();

        let mut steps = Vec::new();
        let create = create_topic_request(&topics.name(0), self.queues);
        let create = Template::about_topic(create, protocol::Encoding::Json, &topics)?;
        let outcome = self.ask(create, &topics, &brokers, |broker| &broker.address, self.count)?;
        steps.push(outcome.report("topics: create", self.words(CONNECTIONS), &outcome.all()));

        if self.messages > 0 {
            let outcome = self.send(&topics, &brokers)?;
            steps.push(outcome.report("topics: send to all queues", self.words(1), &outcome.all()));
        }
        let after = server.memory().resident;

        let mut list = None;
        if self.place.broker.is_empty() {
            let header = GetRouteHeader { topic: &topics.name(0), accept_standard_json_only: true };
            let route = Template::about_topic(Frame::request(105, &header), protocol::Encoding::Json, &topics)?;
            let outcome = self.ask(route, &topics, &brokers[..1], |_| self.place.name_server(), self.routes)?;
            steps.push(outcome.report("topics: route queries", self.words(CONNECTIONS), &outcome.all()));
            list = Some(self.list()?);
        }
        let queues = self.count * u64::from(self.queues) * brokers.len() as u64;
        let resident_bytes_per_queue =
            (!server.is_empty()).then(|| after.saturating_sub(before) as f64 / queues as f64);
        self.tell(&Steps { topics: self.count, queues, steps, list, resident_bytes_per_queue });
        Ok(())
    }

    fn load(&self, count: u64) -> Load {
        Load { connections: CONNECTIONS, threads: 1, duration: 0.0, warm_up: 0.0, count: Some(count) }
    }

    /// One request about each topic, or about topics in turn, at every broker.
    fn ask<'b>(
        &'b self,
        template: Template,
        topics: &Topics,
        brokers: &'b [Broker],
        address: impl Fn(&'b Broker) -> &'b str,
        count: u64,
    ) -> Result<Outcome, Error> {
        let members = brokers
            .iter()
            .map(|broker| Member {
                job: Box::new(TopicJob { template: template.clone(), next: 0, topics: topics.count }) as Box<dyn Job>,
                addresses: vec![address(broker).to_owned(); CONNECTIONS as usize],
                window: self.window as usize,
                rate: None,
                count: Some(count),
                lingers: false,
            })
            .collect();
        run(Clock::start(), &self.load(count), &self.watch, members)
    }

    fn send(&self, topics: &Topics, brokers: &[Broker]) -> Result<Outcome, Error> {
        let shape =
            Shape { topic: self.topic.clone(), topics: self.count, queues: self.queues, header: HeaderForm::Json };
        let sending = Sending {
            clock: Clock::start(),
            topics: topics.clone(),
            messages: self.content.messages(shape.encoding())?,
            distinct_keys: self.content.keys.unwrap_or(1),
            window: self.window as usize,
            rate: None,
        };
        let requests = self.count * u64::from(self.queues) * self.messages;
        // One connection for each broker, so that every queue comes up equally often.
        let load = Load { connections: 1, ..self.load(requests * brokers.len() as u64) };
        run(sending.clock, &load, &self.watch, sending.members(brokers, &load)?)
    }

    fn list(&self) -> Result<(f64, Result<usize, String>), Error> {
        let mut control = Control::open(self.place.name_server())?;
        let begin = Instant::now();
        let answer = control.call(&Frame { code: 206, ..Frame::default() })?;
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        let list = control.body::<TopicList>("list all topics", &answer);
        // The names of a million topics do not fit a frame; that is worth knowing, and no reason to keep the rest back.
        Ok((ms, list.map(|list| list.topic_list.len()).map_err(|error| error.to_string())))
    }

    fn words(&self, connections: u32) -> String {
        let topics = grouped(self.count as f64);
        format!("{topics} topics of {} queues, {connections} x {} in flight", self.queues, self.window)
    }

    fn tell(&self, steps: &Steps) {
        if self.watch.json {
            println!("{}", serde_json::to_string_pretty(steps).unwrap_or_default());
            return;
        }
        for step in &steps.steps {
            print!("{}", step.text());
        }
        match &steps.list {
            Some((ms, Ok(names))) => println!("list: {} topics in {ms:.1} ms", grouped(*names as f64)),
            Some((ms, Err(error))) => println!("list: after {ms:.1} ms, {error}"),
            None => {}
        }
        if let Some(bytes) = steps.resident_bytes_per_queue {
            println!("memory: the server grew by {bytes:.0} bytes for each of {} queues", grouped(steps.queues as f64));
        }
    }
}

/// The same request about one topic after the other.
struct TopicJob {
    template: Template,
    topics: u64,
    next: u64,
}

impl Job for TopicJob {
    fn request(&mut self, _at: Spot, opaque: i32, _intended: u64, out: &mut Vec<u8>) -> bool {
        self.template.topic(self.next % self.topics).opaque(opaque);
        self.next += 1;
        out.extend_from_slice(self.template.bytes());
        true
    }

    fn answer(&mut self, _at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder) {
        match reply.code {
            0 => recorder.messages(1, reply.body.len() as u64, now),
            code => recorder.refused(code),
        }
    }
}
