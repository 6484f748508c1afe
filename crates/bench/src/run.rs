//! One measurement: threads, the live line, and what the processes used meanwhile.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::args::{Load, Watch};
use crate::clock::Clock;
use crate::control::connect;
use crate::engine::{Engine, Job, Live, Plan};
use crate::pace::Pace;
use crate::process::{Memory, Processes};
use crate::record::Recorder;
use crate::report::{Report, grouped};

/// How much longer those who receive go on than those who send.
const LINGER_NS: u64 = 2_000_000_000;

/// Time for threads and connections to get ready, in nanoseconds.
const START_NS: u64 = 20_000_000;

/// One thread's part.
pub(crate) struct Member {
    pub(crate) job: Box<dyn Job>,
    /// Where each of its connections goes.
    pub(crate) addresses: Vec<String>,
    pub(crate) window: usize,
    /// Requests per second; without it, as fast as answers come.
    pub(crate) rate: Option<f64>,
    pub(crate) count: Option<u64>,
    /// Goes on for a while after the end, to receive what was sent before it.
    pub(crate) lingers: bool,
}

/// What came out.
pub(crate) struct Outcome {
    /// In the order of the members.
    pub(crate) recorders: Vec<Recorder>,
    pub(crate) seconds: f64,
    cpu: f64,
    server: Option<(f64, Memory)>,
}

impl Outcome {
    /// All members together.
    pub(crate) fn all(&self) -> Recorder {
        sum(&self.recorders)
    }

    pub(crate) fn report(&self, what: &str, load: String, recorder: &Recorder) -> Report {
        Report::new((what, load), recorder, self.seconds, self.cpu, self.server)
    }
}

pub(crate) fn sum(recorders: &[Recorder]) -> Recorder {
    let (first, rest) = recorders.split_first().expect("a run has a member");
    let mut all = first.clone();
    rest.iter().for_each(|one| all.add(one));
    all
}

/// CPU seconds of the server and of this program.
struct Use {
    server: f64,
    own: f64,
}

/// Runs all members side by side.
pub(crate) fn run(clock: Clock, load: &Load, watch: &Watch, members: Vec<Member>) -> Result<Outcome, Error> {
    let server = Processes::new(&watch.server_pid)?;
    let own = Processes::itself();
    let usage = || Use { server: if server.is_empty() { 0.0 } else { server.cpu_seconds() }, own: own.cpu_seconds() };

    let connected: Vec<_> = members
        .into_iter()
        .map(|member| {
            let streams = member.addresses.iter().map(|address| connect(address)).collect::<Result<Vec<_>, _>>()?;
            Ok((member, streams))
        })
        .collect::<Result<_, Error>>()?;

    let begin = clock.now() + START_NS;
    let from = begin + load.warm_up()?.as_nanos() as u64;
    let to = from + load.duration()?.as_nanos() as u64;
    let lives: Vec<Arc<Live>> = connected.iter().map(|_| Arc::default()).collect();
    let mut threads = Vec::new();
    for ((member, streams), live) in connected.into_iter().zip(&lives) {
        let plan = Plan {
            clock,
            from,
            to,
            until: if member.lingers { to + LINGER_NS } else { to },
            count: member.count,
            window: member.window,
            pace: member.rate.map(|rate| Pace::new(begin, to, rate)),
            live: live.clone(),
        };
        let engine = Engine::new(plan, member.job, streams)?;
        threads.push(thread::Builder::new().name("bench".into()).spawn(move || {
            clock.sleep_until(begin);
            engine.run()
        })?);
    }

    let mut line = LiveLine::new(clock, watch, &lives);
    line.until(from, || false);
    let before = usage();
    line.until(to, || threads.iter().all(thread::JoinHandle::is_finished));
    let after = usage();
    let memory = server.memory();
    let recorders: Vec<Recorder> = threads
        .into_iter()
        .map(|thread| thread.join().expect("a thread of the load program does not panic"))
        .collect::<Result<_, _>>()?;
    line.clear();
    let end = recorders.iter().map(Recorder::to).max().unwrap_or(to);
    Ok(Outcome {
        recorders,
        seconds: (end - from) as f64 / 1e9,
        cpu: after.own - before.own,
        server: (!server.is_empty()).then_some((after.server - before.server, memory)),
    })
}

/// The line that is written again every second while it runs, on a terminal only.
struct LiveLine<'a> {
    clock: Clock,
    lives: &'a [Arc<Live>],
    visible: bool,
    next: u64,
    last: (u64, u64, u64),
}

impl<'a> LiveLine<'a> {
    fn new(clock: Clock, watch: &Watch, lives: &'a [Arc<Live>]) -> Self {
        let visible = !watch.quiet && std::io::stderr().is_terminal();
        LiveLine { clock, lives, visible, next: clock.now() + 1_000_000_000, last: (clock.now(), 0, 0) }
    }

    fn until(&mut self, end: u64, over: impl Fn() -> bool) {
        while self.clock.now() < end && !over() {
            let step = (end - self.clock.now().min(end)).min(20_000_000);
            thread::sleep(Duration::from_nanos(step));
            if self.visible && self.clock.now() >= self.next {
                self.next += 1_000_000_000;
                self.write();
            }
        }
    }

    fn write(&mut self) {
        let total = |part: fn(&Live) -> u64| self.lives.iter().map(|live| part(live)).sum::<u64>();
        let messages = total(|live| live.messages.load(Relaxed));
        let bytes = total(|live| live.bytes.load(Relaxed));
        let (now, seconds) = (self.clock.now(), (self.clock.now() - self.last.0) as f64 / 1e9);
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        eprint!(
            "\r\x1b[K{:>4} s   {:>10} msg/s   {:>8.1} MB/s   {} in flight   {} errors",
            now / 1_000_000_000,
            grouped(rate(messages, self.last.1)),
            rate(bytes, self.last.2) / 1e6,
            total(|live| live.in_flight.load(Relaxed)),
            total(|live| live.errors.load(Relaxed)),
        );
        self.last = (now, messages, bytes);
    }

    fn clear(&self) {
        if self.visible {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}

/// Deals `total` out to `parts`, the first ones getting what is left over.
pub(crate) fn share(total: u64, parts: usize, part: usize) -> u64 {
    let parts = parts as u64;
    total / parts + u64::from((part as u64) < total % parts)
}
