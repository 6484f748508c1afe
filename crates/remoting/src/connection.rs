//! The loop of one connection.
//!
//! Every frame in the buffer is answered before anything is written, every answer that is ready leaves with one
//! write, and no request gets a task of its own: what is not ready is parked here and polled from here.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protocol::{Frame, FrameError};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::limits::{IDLE_MAX, OUTBOX_BYTES_MAX, PARKED_MAX, PENDING_MAX, WRITE_STALL_MAX};
use crate::peer::{Outgoing, Peer};
use crate::stream::Stream;
use crate::tls::{FIRST_BYTE, Tls, TlsError};
use crate::{Answer, Outbox, Parked, ReplyTo, Response, Service};

/// How long a stopping connection waits for the answers it owes.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// And how long after that for a peer to take them. Both together leave room in the two seconds a server has to end.
const DRAIN_WRITE_MAX: Duration = Duration::from_millis(300);

type Pending = Pin<Box<dyn Future<Output = (ReplyTo, Option<Response>)> + Send>>;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the peer closed")]
    PeerClosed,
    #[error("closed from our side")]
    Closed,
    #[error("this process is stopping")]
    Stopped,
    #[error("silent for {IDLE_MAX:?}")]
    Idle,
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("the peer starts TLS where it was called in plaintext")]
    UnexpectedTls,
    #[error("took nothing for {WRITE_STALL_MAX:?}")]
    WriteStall,
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes the two halves of a connection: a handle for everyone, and the loop that must be run.
///
/// `tls` is for the side that was called: whether it speaks TLS is up to the one who calls.
pub(crate) fn open<S: Service>(
    socket: TcpStream,
    service: Arc<S>,
    tls: Option<Arc<Tls>>,
) -> io::Result<(Arc<Peer>, Connection<S>)> {
    socket.set_nodelay(true)?;
    let (peer, outgoing) = Peer::new(socket.peer_addr()?, socket.local_addr()?);
    let peer = Arc::new(peer);
    let connection = Connection {
        stream: Stream::new(socket),
        tls,
        service,
        peer: peer.clone(),
        input: BytesMut::new(),
        last_heard: Instant::now(),
        outbox: Outbox::default(),
        parked: VecDeque::new(),
        pending: FuturesUnordered::new(),
        outgoing,
        calls: HashMap::new(),
        next_opaque: 0,
        first_bytes: true,
    };
    Ok((peer, connection))
}

pub(crate) struct Connection<S: Service> {
    stream: Stream,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    peer: Arc<Peer>,
    input: BytesMut,
    /// When something was read, or a long poll was answered.
    last_heard: Instant,
    outbox: Outbox,
    /// Requests that wait for the log, in the order in which it will reach them.
    parked: VecDeque<(ReplyTo, S::Parked)>,
    /// Requests that wait for anything else.
    pending: FuturesUnordered<Pending>,
    outgoing: mpsc::Receiver<Outgoing>,
    /// Requests of ours that wait for their answer.
    calls: HashMap<i32, oneshot::Sender<Frame>>,
    next_opaque: i32,
    first_bytes: bool,
}

impl<S: Service> Connection<S> {
    /// Runs until either side closes. `stop` makes it answer what it owes and leave.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut end = self.serve(&stop).await.unwrap_or_else(|end| end);
        if matches!(end, End::Stopped | End::PeerClosed) {
            // A peer that closed only its sending half still gets what it is owed.
            self.settle_what_is_owed().await;
            end = match end {
                End::PeerClosed => self.write(&stop).await.err().unwrap_or(end),
                _ => {
                    let never = CancellationToken::new();
                    let _ = tokio::time::timeout(DRAIN_WRITE_MAX, self.write(&never)).await;
                    end
                }
            };
        }
        self.stream.close();
        debug!(peer = %self.peer.remote(), reason = %end, "connection ended");
        self.peer.close();
        self.service.closed(&self.peer);
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Result<End, End> {
        let peer = self.peer.clone();
        // Made once: each of them takes locks when it is made, registered and dropped, which a wake-up would pay for.
        let (stopped, closed) = (stop.cancelled(), peer.closing().cancelled());
        let idle = sleep_until(self.last_heard + IDLE_MAX);
        let overdue = sleep_until(self.last_heard + IDLE_MAX);
        tokio::pin!(stopped, closed, idle, overdue);
        loop {
            let service = self.service.clone();
            service.together(|| self.answer_input())?;
            self.settle();
            self.write(stop).await?;
            if self.has_whole_frame() && self.may_take_more() {
                continue;
            }
            if let Some((_, parked)) = self.parked.front() {
                // Left as it is when the request is answered in time, and so rarely set: it looks again too early only.
                let deadline = parked.deadline();
                if overdue.is_elapsed() || deadline.is_some_and(|deadline| deadline < overdue.deadline()) {
                    overdue.as_mut().reset(deadline.unwrap_or_else(|| Instant::now() + IDLE_MAX));
                }
            }
            tokio::select! {
                biased;
                () = &mut stopped => return Ok(End::Stopped),
                () = &mut closed => return Ok(End::Closed),
                () = first_ready(&*self.service, &self.parked) => {}
                () = &mut overdue, if !self.parked.is_empty() => {}
                Some((to, response)) = self.pending.next(), if !self.pending.is_empty() => {
                    self.last_heard = Instant::now();
                    self.answer(to, response);
                    self.answer_pending_that_are_ready();
                }
                readable = self.stream.readable(), if self.may_take_more() => {
                    readable?;
                    self.last_heard = Instant::now();
                    self.read().await?;
                }
                Some(outgoing) = self.outgoing.recv() => {
                    self.ask(outgoing);
                    while let Ok(outgoing) = self.outgoing.try_recv() {
                        self.ask(outgoing);
                    }
                }
                () = &mut idle => {
                    if self.last_heard.elapsed() >= IDLE_MAX {
                        return Ok(End::Idle);
                    }
                    idle.as_mut().reset(self.last_heard + IDLE_MAX);
                }
            }
        }
    }

    /// Answers what was carried out; what still waits for messages is let go, the client asks elsewhere.
    async fn settle_what_is_owed(&mut self) {
        let deadline = Instant::now() + DRAIN_MAX;
        while !self.parked.is_empty() {
            let waited = tokio::time::timeout_at(deadline, first_ready(&*self.service, &self.parked)).await;
            if waited.is_err() {
                break;
            }
            self.settle();
        }
    }

    fn may_take_more(&self) -> bool {
        self.parked.len() < PARKED_MAX && self.pending.len() < PENDING_MAX
    }

    fn has_whole_frame(&self) -> bool {
        let length = self.input.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes) as usize);
        length.is_some_and(|length| self.input.len() >= length.saturating_add(4))
    }

    async fn read(&mut self) -> Result<(), End> {
        match self.stream.try_read(&mut self.input) {
            Ok(0) => Err(End::PeerClosed),
            Ok(_) => {
                if std::mem::take(&mut self.first_bytes) && self.input[0] == FIRST_BYTE {
                    let config = self.tls.as_ref().ok_or(End::UnexpectedTls)?.config().await?;
                    self.stream.start_tls(config, &mut self.input)?;
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn answer_input(&mut self) -> Result<(), End> {
        while self.outbox.len() < OUTBOX_BYTES_MAX && self.may_take_more() {
            let Some(frame) = Frame::decode(&mut self.input)? else { break };
            if frame.is_response() {
                // An answer nobody waits for any more is dropped: its caller gave up.
                if let Some(reply) = self.calls.remove(&frame.opaque) {
                    let _ = reply.send(frame);
                }
                continue;
            }
            let to = ReplyTo::new(&frame);
            match self.service.call(&self.peer, frame, self.last_heard) {
                Answer::Never => {}
                Answer::Now(response) => self.outbox.response(to, *response),
                Answer::Parked(parked) => self.parked.push_back((to, parked)),
                // Most are ready at once. Those that are not are polled again from the list, by a waker that wakes.
                Answer::Later(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(response) => self.answer(to, response),
                    Poll::Pending => self.pending.push(Box::pin(async move { (to, future.await) })),
                },
            }
        }
        if self.input.is_empty() {
            // An idle connection holds no buffer: tens of thousands of them cost next to nothing.
            self.input = BytesMut::new();
        }
        Ok(())
    }

    fn settle(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let now = Instant::now();
        let ready = self.parked.iter().take_while(|(_, parked)| parked.is_ready(&self.service, now)).count();
        S::Parked::settle(self.parked.drain(..ready), &self.service, now, &mut self.outbox);
    }

    fn answer(&mut self, to: ReplyTo, response: Option<Response>) {
        if let Some(response) = response {
            self.outbox.response(to, response);
        }
    }

    fn answer_pending_that_are_ready(&mut self) {
        while self.outbox.len() < OUTBOX_BYTES_MAX
            && let Some(Some((to, response))) = futures_util::FutureExt::now_or_never(self.pending.next())
        {
            self.answer(to, response);
        }
    }

    fn ask(&mut self, outgoing: Outgoing) {
        self.next_opaque = self.next_opaque.wrapping_add(1);
        if let Some(reply) = outgoing.reply {
            // Callers that gave up leave their entry behind; clear them out before the table grows.
            if self.calls.len() >= crate::limits::OUTGOING_MAX {
                self.calls.retain(|_, reply| !reply.is_closed());
            }
            self.calls.insert(self.next_opaque, reply);
        }
        self.outbox.request(&outgoing.frame, self.next_opaque);
    }

    /// Writes everything. A peer that takes nothing is waited for, though neither for ever nor beyond `stop`.
    async fn write(&mut self, stop: &CancellationToken) -> Result<(), End> {
        while self.outbox.len() > 0 || self.stream.has_unsent() {
            match self.outbox.try_write(&mut self.stream) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                    writable = tokio::time::timeout(WRITE_STALL_MAX, self.stream.writable()) => {
                        writable.map_err(|_| End::WriteStall)??;
                    }
                    () = self.peer.closing().cancelled() => return Err(End::Closed),
                    () = stop.cancelled() => return Err(End::Stopped),
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Resolves when the oldest parked request is ready; never, when there is none.
async fn first_ready<S: Service>(service: &S, parked: &VecDeque<(ReplyTo, S::Parked)>) {
    match parked.front() {
        Some((_, parked)) => parked.ready(service).await,
        None => std::future::pending().await,
    }
}
