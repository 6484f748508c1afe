//! One connection: whose it is, plaintext or TLS, then HTTP/2 with windows that do not throttle.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use remoting::{FIRST_BYTE, Place, Tls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::caller::Ends;
use crate::limits::{
    CONNECTION_WINDOW, DRAIN, HANDSHAKE_TIMEOUT, HEADERS_BYTES_MAX, PING_AFTER, PONG_WITHIN, SEND_BUFFER,
    STREAM_WINDOW, STREAMS_OF_A_CONNECTION,
};
use crate::proxy_protocol;
use crate::server::{Request, Routes};

pub(crate) struct Connection {
    pub(crate) routes: Arc<Routes>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) place: Place,
    /// How long it may be without a call.
    pub(crate) idle_max: Duration,
}

impl Connection {
    pub(crate) async fn run(
        self,
        mut stream: TcpStream,
        remote: SocketAddr,
        stop: CancellationToken,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let slow = || io::Error::new(io::ErrorKind::TimedOut, "the client said nothing");
        let begin = async {
            // A balancer in front tells whose connection it is. Source: `ProxyAndTlsProtocolNegotiator`.
            let said = proxy_protocol::read(&mut stream).await?;
            let mut first = [0];
            Ok::<_, io::Error>((said, stream.peek(&mut first).await?, first[0]))
        };
        let begun = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            begun = tokio::time::timeout(HANDSHAKE_TIMEOUT, begin) => begun,
        };
        let (said, peeked, first) = begun.map_err(|_| slow())??;
        if peeked == 0 {
            return Ok(());
        }
        let ends = Ends { remote: said.unwrap_or(remote), local };
        if first != FIRST_BYTE {
            return self.serve(stream, ends, stop).await;
        }
        let acceptor = TlsAcceptor::from(self.tls.config().await.map_err(io::Error::other)?);
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
        let stream = handshake.map_err(|_| slow())??;
        self.serve(stream, ends, stop).await
    }

    async fn serve<S>(self, stream: S, ends: Ends, stop: CancellationToken) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let calls = Calls::new();
        let idle = calls.clone();
        let routes = &self.routes;
        let answering = service_fn(move |mut request: Request| {
            request.extensions_mut().insert(ends);
            let routes = routes.clone();
            let call = calls.begin();
            async move { routes.answer(request).await.map(|answer| answer.map(|body| Counted { body, _call: call })) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS_OF_A_CONNECTION)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PONG_WITHIN)
            .serve_connection(TokioIo::new(stream), answering);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = idle.idle(self.idle_max) => {}
                }
            } => {
                connection.as_mut().graceful_shutdown();
                // Calls under way are answered; who does not take the answer is left.
                tokio::time::timeout(DRAIN, connection.as_mut()).await.unwrap_or(Ok(()))
            }
        };
        drop(self.place);
        ended.map_err(io::Error::other)
    }
}

/// Calls of a connection. Counted without waking anybody: each message is a call.
struct Calls {
    since: Instant,
    under_way: AtomicUsize,
    /// When the last one ended, in milliseconds from `since`.
    ended_ms: AtomicU64,
}

impl Calls {
    fn new() -> Arc<Calls> {
        Arc::new(Calls { since: Instant::now(), under_way: AtomicUsize::new(0), ended_ms: AtomicU64::new(0) })
    }

    fn begin(self: &Arc<Self>) -> Call {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }

    /// Waits until there was none for so long. Source: `grpcClientIdleTimeMills`.
    async fn idle(&self, max: Duration) {
        loop {
            let ended = match self.under_way.load(Ordering::Relaxed) {
                0 => self.since + Duration::from_millis(self.ended_ms.load(Ordering::Relaxed)),
                _ => Instant::now(),
            };
            if ended + max <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(ended + max).await;
        }
    }
}

/// A call under way.
struct Call(Arc<Calls>);

impl Drop for Call {
    fn drop(&mut self) {
        let now_ms = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(now_ms, Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, with which the call ends.
struct Counted {
    body: Body,
    _call: Call,
}

impl HttpBody for Counted {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_no_call_was_under_way_for_long() {
        let calls = Calls::new();
        let max = Duration::from_secs(120);
        let ended = tokio::spawn({
            let calls = calls.clone();
            async move { calls.idle(max).await }
        });
        let call = calls.begin();
        tokio::time::sleep(max * 10).await;
        assert!(!ended.is_finished(), "a call takes as long as it takes");
        drop(call);
        tokio::time::sleep(max / 2).await;
        drop(calls.begin());
        tokio::time::sleep(max - Duration::from_secs(1)).await;
        assert!(!ended.is_finished(), "each call begins the wait anew");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(ended.is_finished());
    }
}
