//! The loop of one thread: many connections, a window of requests on each, one system call for as much as possible.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::OwnedFd;

use crate::Error;
use crate::clock::Clock;
use crate::pace::Pace;
use crate::record::Recorder;
use crate::scan::{Reply, Scanned, Scanner};
use crate::template::OPAQUE_FIRST;

/// Bytes gathered before a write: large enough that system calls do not count, small enough for a core's cache.
const WRITE_BYTES: usize = 128 * 1024;

/// First size of the input of a few connections, and of one among thousands; it grows with the largest answer.
const READ_BYTES: usize = 256 * 1024;
const READ_BYTES_MIN: usize = 4 * 1024;
/// First size of all inputs of a thread.
const INPUTS_BYTES: usize = 16 << 20;

/// How long answers are waited for after the end, in nanoseconds.
const DRAIN_NS: u64 = 10_000_000_000;

/// Requests in flight on one connection at most; the slot is the low half of an opaque.
pub(crate) const WINDOW_MAX: usize = 1 << 16;

/// Times a slot is used before its opaques repeat. The last opaque is below `i32::MAX`.
const GENERATIONS: i32 = 15_000;
const _: () = assert!(OPAQUE_FIRST as i64 + (GENERATIONS as i64) * (WINDOW_MAX as i64) < i32::MAX as i64);

/// What is asked, and what becomes of the answers.
pub(crate) trait Job: Send {
    /// Appends the next request for a connection and slot, or nothing and `false` when there is none. `intended` is
    /// when it was meant to leave.
    fn request(&mut self, at: Spot, opaque: i32, intended: u64, out: &mut Vec<u8>) -> bool;

    /// Takes an answer.
    fn answer(&mut self, at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder);

    /// Whether answers that are still out at the end are waited for.
    fn drains(&self) -> bool {
        true
    }
}

/// A connection of this thread, by its place in the list, and the slot of a request on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) lane: usize,
    pub(crate) slot: usize,
}

/// Figures of a thread for the live line, written once in a round.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) in_flight: AtomicU64,
}

/// What a thread is told.
pub(crate) struct Plan {
    pub(crate) clock: Clock,
    /// Start and end of the measured interval.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// When the last request may leave; at least the end of the interval.
    pub(crate) until: u64,
    /// Requests at most.
    pub(crate) count: Option<u64>,
    /// Requests in flight on one connection.
    pub(crate) window: usize,
    /// An open loop; without it, every free slot is used at once.
    pub(crate) pace: Option<Pace>,
    pub(crate) live: Arc<Live>,
}

/// A thread's connections and what they do.
pub(crate) struct Engine {
    plan: Plan,
    job: Box<dyn Job>,
    lanes: Vec<Lane>,
    epoll: OwnedFd,
    recorder: Recorder,
    scanner: Scanner,
    in_flight: usize,
    sent: u64,
    /// Where the open loop goes on giving out requests.
    turn: usize,
}

struct Lane {
    stream: TcpStream,
    open: bool,
    input: Vec<u8>,
    /// Filled part of the input that is not read yet.
    unread: std::ops::Range<usize>,
    out: Vec<u8>,
    written: usize,
    /// The socket is full; the system tells when there is room.
    blocked: bool,
    free: Vec<u16>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    opaque: i32,
    generation: i32,
    intended: u64,
    busy: bool,
}

impl Engine {
    /// `streams` are connected.
    pub(crate) fn new(plan: Plan, job: Box<dyn Job>, streams: Vec<TcpStream>) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let recorder = Recorder::new(plan.from, plan.to);
        let input = (INPUTS_BYTES / streams.len().max(1)).clamp(READ_BYTES_MIN, READ_BYTES);
        let mut lanes = Vec::with_capacity(streams.len());
        for (index, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            lanes.push(Lane::new(stream, plan.window, input));
        }
        Ok(Engine { plan, job, lanes, epoll, recorder, scanner: Scanner::default(), in_flight: 0, sent: 0, turn: 0 })
    }

    /// Runs to the end and returns what was seen.
    pub(crate) fn run(mut self) -> Result<Recorder, Error> {
        let mut events = Vec::with_capacity(256);
        let mut now = self.plan.clock.now();
        for lane in 0..self.lanes.len() {
            self.pump(lane, now);
        }
        loop {
            now = self.plan.clock.now();
            self.pump_due(now);
            self.tell();
            if self.done(now) {
                break;
            }
            self.wait(now, &mut events)?;
            now = self.plan.clock.now();
            if events.is_empty() && self.plan.pace.is_none() {
                // Nothing came for a while: a job that had nothing to ask may have something now.
                (0..self.lanes.len()).for_each(|lane| self.pump(lane, now));
            }
            for event in events.drain(..) {
                let lane = event.data.u64() as usize;
                let flags = event.flags;
                if flags.contains(epoll::EventFlags::OUT) {
                    self.unblock(lane)?;
                }
                if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    self.read(lane)?;
                }
                self.pump(lane, now);
            }
        }
        for lane in &self.lanes {
            for slot in lane.slots.iter().filter(|slot| slot.busy && self.job.drains()) {
                self.recorder.unanswered(slot.intended, now);
            }
        }
        // What was due and never left waits as long as what left and got no answer.
        if self.plan.count.is_none() {
            while let Some(intended) = self.plan.pace.as_mut().and_then(|pace| pace.take(now)) {
                self.recorder.unanswered(intended, now);
            }
        }
        Ok(self.recorder)
    }

    fn done(&mut self, now: u64) -> bool {
        if self.lanes.iter().all(|lane| !lane.open) {
            self.recorder.cut(now);
            return true;
        }
        if self.plan.count.is_some_and(|count| self.sent >= count) && self.in_flight == 0 {
            self.recorder.cut(now);
            return true;
        }
        let over = now >= self.plan.until;
        let nothing_due = self.plan.pace.as_ref().is_none_or(|pace| pace.next().is_none());
        let drained = !self.job.drains() || (self.in_flight == 0 && nothing_due);
        over && (drained || now >= self.plan.until.saturating_add(DRAIN_NS))
    }

    fn tell(&self) {
        let live = &self.plan.live;
        live.messages.store(self.recorder.messages_ever, Relaxed);
        live.bytes.store(self.recorder.bytes_ever, Relaxed);
        live.errors.store(self.recorder.errors_ever, Relaxed);
        live.in_flight.store(self.in_flight as u64, Relaxed);
    }

    /// Closed loop: fills the window of a connection and writes.
    fn pump(&mut self, lane: usize, now: u64) {
        loop {
            while self.plan.pace.is_none() && now < self.plan.until && self.lanes[lane].has_room() {
                if !self.send(lane, now) {
                    break;
                }
            }
            if self.lanes[lane].out.is_empty() || self.lanes[lane].blocked || !self.flush(lane) {
                break;
            }
        }
    }

    /// Open loop: gives out what is due, in turn, to connections that have room.
    fn pump_due(&mut self, now: u64) {
        let Some(mut pace) = self.plan.pace.take() else { return };
        let mut full = 0;
        while full < self.lanes.len() && pace.next().is_some_and(|at| at <= now) {
            self.turn = (self.turn + 1) % self.lanes.len();
            let at = pace.next().expect("one is due");
            if self.lanes[self.turn].has_room() && self.send(self.turn, at) {
                pace.take(now);
                self.recorder.left(at, now);
                full = 0;
            } else {
                full += 1;
            }
        }
        self.plan.pace = Some(pace);
        for lane in 0..self.lanes.len() {
            if !self.lanes[lane].out.is_empty() && !self.lanes[lane].blocked {
                self.flush(lane);
            }
        }
    }

    /// Appends one request to a connection's output.
    fn send(&mut self, lane: usize, intended: u64) -> bool {
        if self.plan.count.is_some_and(|count| self.sent >= count) {
            return false;
        }
        let line = &mut self.lanes[lane];
        let Some(index) = line.free.pop() else { return false };
        let slot = &mut line.slots[usize::from(index)];
        let opaque = OPAQUE_FIRST + slot.generation * WINDOW_MAX as i32 + i32::from(index);
        if !self.job.request(Spot { lane, slot: index.into() }, opaque, intended, &mut line.out) {
            line.free.push(index);
            return false;
        }
        *slot = Slot { opaque, generation: (slot.generation + 1) % GENERATIONS, intended, busy: true };
        self.in_flight += 1;
        self.sent += 1;
        true
    }

    /// Writes a connection's output; `false` when there is no sense in making more.
    fn flush(&mut self, lane: usize) -> bool {
        let line = &mut self.lanes[lane];
        match line.flush() {
            Ok(true) => true,
            Ok(false) => {
                line.blocked = true;
                if self.watch(lane, epoll::EventFlags::IN | epoll::EventFlags::OUT).is_err() {
                    self.close(lane, "connection failed");
                }
                false
            }
            Err(_) => {
                self.close(lane, "connection closed");
                false
            }
        }
    }

    fn unblock(&mut self, lane: usize) -> Result<(), Error> {
        if self.lanes[lane].blocked {
            self.lanes[lane].blocked = false;
            self.watch(lane, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch(&self, lane: usize, flags: epoll::EventFlags) -> Result<(), Error> {
        Ok(epoll::modify(&self.epoll, &self.lanes[lane].stream, epoll::EventData::new_u64(lane as u64), flags)?)
    }

    fn read(&mut self, lane: usize) -> Result<(), Error> {
        loop {
            if !self.lanes[lane].open {
                return Ok(());
            }
            match self.lanes[lane].read() {
                Ok(0) => {
                    self.close(lane, "connection closed");
                    return Ok(());
                }
                Ok(read) => {
                    let filled = self.lanes[lane].unread.end == self.lanes[lane].input.len();
                    // One look at the clock for all answers that came with one read.
                    let now = self.plan.clock.now();
                    if !self.take_answers(lane, now) {
                        self.close(lane, "unreadable answer");
                        return Ok(());
                    }
                    if !filled || read == 0 {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.close(lane, "connection closed");
                    return Ok(());
                }
            }
        }
    }

    /// Takes every whole answer from the input; `false` when it is no input of a RocketMQ server.
    fn take_answers(&mut self, lane: usize, now: u64) -> bool {
        let line = &mut self.lanes[lane];
        loop {
            match self.scanner.scan(&line.input[line.unread.clone()]) {
                Scanned::Reply(reply, bytes) => {
                    line.unread.start += bytes;
                    let index = (reply.opaque.wrapping_sub(OPAQUE_FIRST) as u32 % WINDOW_MAX as u32) as usize;
                    match line.slots.get_mut(index) {
                        Some(slot) if slot.busy && slot.opaque == reply.opaque => {
                            slot.busy = false;
                            self.in_flight -= 1;
                            line.free.push(index as u16);
                            self.recorder.answered(slot.intended, now);
                            self.job.answer(Spot { lane, slot: index }, &reply, now, &mut self.recorder);
                        }
                        // A request of the broker's, such as news about a group, or an answer given twice.
                        _ => self.recorder.trouble("unexpected frame"),
                    }
                }
                Scanned::Incomplete(need) => {
                    line.make_room(need);
                    return true;
                }
                Scanned::Nonsense => return false,
            }
        }
    }

    fn close(&mut self, lane: usize, why: &'static str) {
        let line = &mut self.lanes[lane];
        if !line.open {
            return;
        }
        line.open = false;
        line.out.clear();
        line.written = 0;
        let _ = epoll::delete(&self.epoll, &line.stream);
        self.recorder.trouble(why);
        self.in_flight -= line.slots.iter().filter(|slot| slot.busy).count();
    }

    fn wait(&self, now: u64, events: &mut Vec<epoll::Event>) -> Result<(), Error> {
        // Wakes up now and then to see whether the run is over.
        let mut timeout = 20_000_000;
        if let Some(next) = self.plan.pace.as_ref().and_then(Pace::next)
            && self.lanes.iter().any(Lane::has_room)
        {
            timeout = timeout.min(next.saturating_sub(now));
        }
        let timespec = |ns: u64| Timespec { tv_sec: 0, tv_nsec: ns as i64 };
        if self.plan.pace.is_some() {
            // `epoll_wait` counts in milliseconds on older systems; the set itself can be polled with nanoseconds.
            let mut set = [PollFd::new(&self.epoll, PollFlags::IN)];
            if ignore_interrupt(poll(&mut set, Some(&timespec(timeout))))? == 0 {
                return Ok(());
            }
            timeout = 0;
        }
        ignore_interrupt(epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timespec(timeout))))?;
        Ok(())
    }
}

fn ignore_interrupt<T: Default>(result: rustix::io::Result<T>) -> rustix::io::Result<T> {
    match result {
        Err(rustix::io::Errno::INTR) => Ok(T::default()),
        other => other,
    }
}

impl Lane {
    fn new(stream: TcpStream, window: usize, input: usize) -> Self {
        Lane {
            stream,
            open: true,
            input: vec![0; input],
            unread: 0..0,
            out: Vec::new(),
            written: 0,
            blocked: false,
            // The lowest slot is on top.
            free: (0..window).rev().map(|slot| slot as u16).collect(),
            slots: vec![Slot::default(); window],
        }
    }

    fn has_room(&self) -> bool {
        self.open && !self.blocked && !self.free.is_empty() && self.out.len() < WRITE_BYTES
    }

    /// `false` when the socket took only a part.
    fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match (&self.stream).write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    fn read(&mut self) -> io::Result<usize> {
        let bytes = (&self.stream).read(&mut self.input[self.unread.end..])?;
        self.unread.end += bytes;
        Ok(bytes)
    }

    /// Moves what is unread to the front, if an answer of `need` bytes would not fit behind it.
    fn make_room(&mut self, need: usize) {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.unread.start + need > self.input.len() || self.unread.end == self.input.len() {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.input.len() <= need {
                self.input.resize((need + 1).next_power_of_two(), 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Pulls, Template, Topics};
    use bytes::BytesMut;
    use protocol::{Encoding, Frame};
    use std::net::TcpListener;
    use std::thread;

    /// Answers `answers` requests in groups, the last of each group first, then hangs up.
    fn server(encoding: Encoding, answers: usize, group: usize) -> (TcpStream, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut input, mut waiting, mut answered) = (BytesMut::new(), Vec::new(), 0);
            while answered < answers {
                let mut piece = [0; 4096];
                let bytes = stream.read(&mut piece).unwrap();
                if bytes == 0 {
                    return;
                }
                input.extend_from_slice(&piece[..bytes]);
                while let Some(request) = Frame::decode(&mut input).unwrap() {
                    waiting.push(request.opaque);
                }
                while waiting.len() >= group.min(answers - answered).max(1) && answered < answers {
                    let mut out = BytesMut::new();
                    let now: Vec<i32> = waiting.drain(..group.min(answers - answered)).collect();
                    answered += now.len();
                    for opaque in now.iter().rev() {
                        Frame { code: opaque % 2, flag: 1, encoding, ..Frame::default() }.encode(*opaque, &mut out);
                    }
                    stream.write_all(&out).unwrap();
                }
            }
        });
        (stream, thread)
    }

    struct Asking(Template);

    impl Job for Asking {
        fn request(&mut self, _at: Spot, opaque: i32, _intended: u64, out: &mut Vec<u8>) -> bool {
            out.extend_from_slice(self.0.opaque(opaque).bytes());
            true
        }

        fn answer(&mut self, _at: Spot, reply: &Reply<'_>, now: u64, recorder: &mut Recorder) {
            match reply.code {
                0 => recorder.messages(1, 0, now),
                code => recorder.refused(code),
            }
        }
    }

    fn run(stream: TcpStream, count: u64, window: usize, rate: Option<f64>) -> Recorder {
        let topics = Topics::new("t", 1);
        let pulls = Pulls { group: "g", max_messages: 1, suspend_ms: 0, sql: None };
        let template = Template::pull(Encoding::Json, &topics, 1, &pulls).unwrap();
        let clock = Clock::start();
        let to = 60_000_000_000;
        let plan = Plan {
            clock,
            from: 0,
            to,
            until: to,
            count: Some(count),
            window,
            pace: rate.map(|rate| Pace::new(0, to, rate)),
            live: Arc::default(),
        };
        Engine::new(plan, Box::new(Asking(template)), vec![stream]).unwrap().run().unwrap()
    }

    #[test]
    fn answers_in_any_order_find_their_requests() {
        for encoding in [Encoding::Json, Encoding::Binary] {
            for rate in [None, Some(100_000.0)] {
                let (stream, thread) = server(encoding, 5000, 7);
                let seen = run(stream, 5000, 70, rate);
                thread.join().unwrap();
                assert_eq!((seen.requests, seen.latency.len()), (5000, 5000));
                assert_eq!(seen.messages + seen.errors[&1], 5000);
                assert!(seen.trouble.keys().all(|what| *what == "connection closed"), "{:?}", seen.trouble);
            }
        }
    }

    #[test]
    fn a_server_that_hangs_up_leaves_requests_unanswered() {
        let (stream, thread) = server(Encoding::Json, 30, 1);
        let seen = run(stream, 100, 10, None);
        thread.join().unwrap();
        // Answers on their way are lost when the server closes with requests unread.
        assert!(seen.requests <= 30, "{}", seen.requests);
        assert_eq!(seen.trouble.get("connection closed"), Some(&1));
        let unanswered = seen.trouble["unanswered"];
        assert!((1..=10).contains(&unanswered), "{unanswered}");
        assert_eq!(seen.latency.len(), seen.requests + unanswered);
    }
}
