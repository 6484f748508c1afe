//! The listener: plaintext and TLS on one port, HTTP/2 with windows that do not throttle, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use broker::Broker;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use remoting::{Place, accept, bind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service as _;
use tracing::debug;

use crate::caller::Ends;
use crate::clients::Clients;
use crate::context::Context;
use crate::limits::{
    CONNECTION_WINDOW, DRAIN, HANDSHAKE_TIMEOUT, HEADERS_BYTES_MAX, PING_AFTER, PONG_WITHIN, REQUEST_BYTES_MAX,
    SEND_BUFFER, STREAM_WINDOW, STREAMS_OF_A_CONNECTION,
};
use crate::renew::Renewals;
use crate::service::Service;
use crate::settings::Settings;
use crate::tls::{self, TlsError};
use crate::v2::messaging_service_server::{MessagingServiceServer, SERVICE_NAME};

/// What the files of the protocol say, for reflection.
const DESCRIPTOR: &[u8] = include_bytes!("grpc/descriptor.bin");

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or the address is not ours.
    #[error("gRPC: {0}; another port is grpcServerPort or --grpc-port")]
    Listen(io::Error),
    /// The certificate.
    #[error("gRPC: {0}")]
    Tls(#[from] TlsError),
    /// The description of the protocol in this program is broken.
    #[error("gRPC reflection: {0}")]
    Reflection(String),
}

/// What clients are told of where this broker is.
#[derive(Debug, Clone, Default)]
pub struct Advertised {
    /// Host of the settings, as it is written there.
    pub host: Option<String>,
    /// The same, resolved.
    pub ip: Option<IpAddr>,
    /// Port of the broker for clients of remoting.
    pub remoting_port: u16,
}

/// A running gRPC server.
pub struct Proxy {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens, and serves the broker until [`Proxy::stop`].
    ///
    /// # Errors
    /// Nothing is left running.
    pub async fn start(
        broker: Arc<Broker>,
        bind_address: IpAddr,
        settings: &Settings,
        advertised: Advertised,
    ) -> Result<Proxy, StartError> {
        let acceptor = tls::acceptor(settings)?;
        let socket = bind(SocketAddr::new(bind_address, settings.grpc_server_port)).map_err(StartError::Listen)?;
        let address = socket.local_addr().map_err(StartError::Listen)?;
        let stop = CancellationToken::new();
        let context = Arc::new(Context {
            broker,
            clients: Clients::default(),
            renewals: Renewals::default(),
            advertised,
            port: address.port(),
            check_message_type: settings.check_message_type,
            unread: Default::default(),
            stop: stop.clone(),
        });
        let routes = Arc::new(Routes::new(context.clone()).await?);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let tracker = TaskTracker::new();
            let open = |stream: TcpStream, remote, place| {
                let connection = Connection { routes: routes.clone(), acceptor: acceptor.clone(), place };
                let stop = stopped.clone();
                tracker.spawn(async move {
                    if let Err(error) = connection.run(stream, remote, stop).await {
                        debug!(%remote, %error, "gRPC connection ended");
                    }
                });
            };
            let looking = stopped.clone().run_until_cancelled_owned(context.clone().look_after_clients());
            tokio::join!(accept(socket, &stopped, open), looking);
            tracker.close();
            tracker.wait().await;
            context.renewals.end(&context);
        });
        Ok(Proxy { address, stop, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, answers who waits, and ends the connections.
    pub async fn stop(self) {
        self.stop.cancel();
        // A task that panicked has been told of by the panic itself.
        let _ = self.task.await;
    }
}

/// Calls by service.
struct Routes {
    messaging: MessagingServiceServer<Service>,
    others: [(&'static str, Handler); 3],
}

type Request = http::Request<Incoming>;
type Response = http::Response<Body>;
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handler = Box<dyn Fn(Request) -> Answering + Send + Sync>;

impl Routes {
    async fn new(context: Arc<Context>) -> Result<Routes, StartError> {
        let reflection =
            || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTOR);
        let broken = |error: tonic_reflection::server::Error| StartError::Reflection(error.to_string());
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status(SERVICE_NAME, tonic_health::ServingStatus::Serving).await;
        let messaging = MessagingServiceServer::new(Service(context))
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip);
        Ok(Routes {
            messaging,
            others: [
                ("/grpc.health.v1.Health/", handler(health)),
                ("/grpc.reflection.v1.ServerReflection/", handler(reflection().build_v1().map_err(broken)?)),
                ("/grpc.reflection.v1alpha.ServerReflection/", handler(reflection().build_v1alpha().map_err(broken)?)),
            ],
        })
    }

    async fn answer(&self, request: Request) -> Result<Response, Infallible> {
        let path = request.uri().path();
        if path
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(SERVICE_NAME))
            .is_some_and(|path| path.starts_with('/'))
        {
            return self.messaging.clone().call(request).await;
        }
        match self.others.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, handler)) => Ok(handler(request).await),
            None => Ok(tonic::Status::unimplemented(format!("there is no {path}")).into_http()),
        }
    }
}

fn handler<S>(service: S) -> Handler
where
    S: tonic::codegen::Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    Box::new(move |request| {
        let mut service = service.clone();
        Box::pin(async move {
            match service.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    })
}

struct Connection {
    routes: Arc<Routes>,
    acceptor: TlsAcceptor,
    place: Place,
}

impl Connection {
    async fn run(self, stream: TcpStream, remote: SocketAddr, stop: CancellationToken) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let ends = Ends { remote, local: stream.local_addr()? };
        let mut first = [0];
        let slow = || io::Error::new(io::ErrorKind::TimedOut, "the client said nothing");
        let peeked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            peeked = tokio::time::timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)) => peeked,
        };
        if peeked.map_err(|_| slow())?? == 0 {
            return Ok(());
        }
        if first[0] != tls::FIRST_BYTE {
            return self.serve(stream, ends, stop).await;
        }
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        let stream = handshake.map_err(|_| slow())??;
        self.serve(stream, ends, stop).await
    }

    async fn serve<S>(self, stream: S, ends: Ends, stop: CancellationToken) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let routes = &self.routes;
        let answering = service_fn(move |mut request: Request| {
            request.extensions_mut().insert(ends);
            let routes = routes.clone();
            async move { routes.answer(request).await }
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
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                // Calls under way are answered; who does not take the answer is left.
                tokio::time::timeout(DRAIN, connection.as_mut()).await.unwrap_or(Ok(()))
            }
        };
        drop(self.place);
        ended.map_err(io::Error::other)
    }
}
