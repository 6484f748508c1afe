//! The port of metrics and health: three paths over HTTP/1.1.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_TIME};
use crate::source::{Monitor, Source};
use crate::text::Text as Exposed;

/// Source: Prometheus, "Exposition formats".
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("listen on {address}: {error}")))
}

/// Serves until `stop`; connections that are open then are closed.
pub(crate) async fn serve<S: Source>(listener: TcpListener, monitor: Arc<Monitor<S>>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let permit = permits.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let Some((accepted, permit)) = stop.run_until_cancelled(accepted).await else { return };
        match accepted {
            Ok((stream, _)) => {
                let monitor = monitor.clone();
                connections.spawn(async move {
                    connection(stream, monitor).await;
                    drop(permit);
                });
            }
            // Out of files, most likely: others need them more.
            Err(error) => {
                debug!(%error, "connection to the port of metrics not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection<S: Source>(stream: TcpStream, monitor: Arc<Monitor<S>>) {
    let service = service_fn(move |request| {
        let monitor = monitor.clone();
        async move { Ok::<_, Infallible>(answer(&monitor, &request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        debug!(%error, "connection to the port of metrics ended");
    }
}

async fn answer<S: Source>(monitor: &Monitor<S>, request: &Request<Incoming>) -> Response<Text> {
    let found = match request.uri().path() {
        "/metrics" | "/health" | "/ready" if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        "/metrics" => {
            // The semaphore is never closed.
            let _permit = monitor.scraping.acquire().await;
            let shown = monitor.write(Exposed::new).await.map(Exposed::into_string).unwrap_or_default();
            return text(StatusCode::OK, METRICS, shown);
        }
        "/health" => monitor.source.ill(),
        "/ready" => monitor.source.not_ready(),
        _ => return text(StatusCode::NOT_FOUND, TEXT, "there are /metrics, /health and /ready\n".into()),
    };
    match found {
        None => text(StatusCode::OK, TEXT, "ok\n".into()),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, reason + "\n"),
    }
}

fn text(status: StatusCode, kind: HeaderValue, text: String) -> Response<Text> {
    let mut response = Response::new(Text(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A body that is there as a whole.
struct Text(Option<Bytes>);

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}
