//! What answers requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use protocol::code::{self, Code};
use protocol::{Fields, Frame, Header, HeaderError};
use tokio::time::Instant;

use crate::{Outbox, Peer, ReplyTo};

/// An answer before it is encoded.
#[derive(Debug, Clone)]
pub struct Response {
    /// Response code.
    pub code: Code,
    /// Text for humans.
    pub remark: Option<String>,
    /// Custom header.
    pub fields: Fields,
    /// Pieces of the body, sent one behind the other without being copied together.
    pub body: Vec<Bytes>,
}

impl Response {
    /// Success without a header.
    pub fn ok() -> Response {
        Response { code: code::SUCCESS, remark: None, fields: Fields::default(), body: Vec::new() }
    }

    /// Success with a header.
    pub fn of<'a>(header: &impl Header<'a>) -> Response {
        Response { fields: Fields::of(header), ..Response::ok() }
    }

    /// Anything but success.
    pub fn error(code: Code, remark: impl Into<String>) -> Response {
        Response { code, remark: Some(remark.into()), ..Response::ok() }
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Response {
        self.body = vec![body.into()];
        self
    }

    /// The protocol's answer to a code that nobody serves. Source: `NettyRemotingAbstract`.
    pub fn unsupported(request: i32) -> Response {
        Response::error(code::REQUEST_CODE_NOT_SUPPORTED, format!(" request type {request} not supported"))
    }
}

impl From<HeaderError> for Response {
    fn from(error: HeaderError) -> Self {
        Response::error(code::SYSTEM_ERROR, error.to_string())
    }
}

/// How a request is answered.
pub enum Answer<P> {
    /// Not at all.
    Never,
    /// Now.
    Now(Box<Response>),
    /// When this is done; `None` is no answer. Dropped when the connection ends.
    Later(Pin<Box<dyn Future<Output = Option<Response>> + Send>>),
    /// The work is done and waits for the log; see [`Parked`].
    Parked(P),
}

impl<P> From<Response> for Answer<P> {
    fn from(response: Response) -> Self {
        Answer::Now(Box::new(response))
    }
}

impl<P> From<Box<Response>> for Answer<P> {
    fn from(response: Box<Response>) -> Self {
        Answer::Now(response)
    }
}

impl<P> From<Result<Response, Response>> for Answer<P> {
    fn from(result: Result<Response, Response>) -> Self {
        result.unwrap_or_else(|refusal| refusal).into()
    }
}

impl<P> Answer<P> {
    /// An answer that takes time.
    pub fn later(future: impl Future<Output = Result<Response, Response>> + Send + 'static) -> Answer<P> {
        Answer::Later(Box::pin(async { Some(future.await.unwrap_or_else(|refusal| refusal)) }))
    }
}

/// Answers the requests of many connections.
pub trait Service: Sized + Send + Sync + 'static {
    /// A request whose work is done and whose answer waits; [`NoParked`] if there are none.
    type Parked: Parked<Self>;

    /// Answers a request, whose last bytes were read at `arrived`. Called in the order of arrival; must not block.
    fn call(self: &Arc<Self>, peer: &Arc<Peer>, request: Frame, arrived: Instant) -> Answer<Self::Parked>;

    /// Runs `calls`, which calls the requests that arrived together, one after the other.
    fn together<R>(&self, calls: impl FnOnce() -> R) -> R {
        calls()
    }

    /// The connection is gone.
    fn closed(self: &Arc<Self>, _peer: &Arc<Peer>) {}
}

/// A request of a service `S` whose work is done and whose answer waits.
///
/// It is how thousands of sends in flight wait for one flush without a future each: the connection keeps the values in
/// order, waits for the first, and settles all that are ready with one write.
pub trait Parked<S>: Sized + Send + Sync {
    /// Whether the wait is over.
    fn is_ready(&self, service: &S, now: Instant) -> bool;

    /// When [`Parked::is_ready`] becomes true at the latest. The connection looks again then, so that not every wait
    /// needs a timer of its own.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Resolves when [`Parked::is_ready`] has become true, but for its deadline. May be dropped at any time.
    fn ready(&self, service: &S) -> impl Future<Output = ()> + Send;

    /// Writes the answers of those that are ready.
    fn settle(ready: impl Iterator<Item = (ReplyTo, Self)>, service: &S, now: Instant, out: &mut Outbox);
}

/// The `Parked` of a service that parks nothing: it has no values.
pub enum NoParked {}

impl<S: Sync> Parked<S> for NoParked {
    fn is_ready(&self, _service: &S, _now: Instant) -> bool {
        match *self {}
    }

    async fn ready(&self, _service: &S) {
        match *self {}
    }

    fn settle(_none: impl Iterator<Item = (ReplyTo, Self)>, _service: &S, _now: Instant, _out: &mut Outbox) {}
}

/// A service of a side that only asks.
#[derive(Debug, Default)]
pub struct Refuse;

impl Service for Refuse {
    type Parked = NoParked;

    fn call(self: &Arc<Self>, _peer: &Arc<Peer>, request: Frame, _arrived: Instant) -> Answer<NoParked> {
        Response::unsupported(request.code).into()
    }
}
