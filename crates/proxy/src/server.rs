//! The listener, what is served there, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use broker::Broker;
use hyper::body::Incoming;
use metrics::Metrics;
use remoting::{Tls, accept, bind};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service as _;
use tracing::debug;

use crate::backend::Backend;
use crate::calls::Calls;
use crate::clients::Clients;
use crate::cluster::{self, Cluster};
use crate::connection::Connection;
use crate::context::Context;
use crate::limits::REQUEST_BYTES_MAX;
use crate::local::Local;
use crate::monitor::{self, Monitor};
use crate::renew::Renewals;
use crate::service::Service;
use crate::settings::{ClusterSettings, Settings};
use crate::v2::messaging_service_server::{MessagingServiceServer, SERVICE_NAME};

/// What the files of the protocol say, for reflection.
const DESCRIPTOR: &[u8] = include_bytes!("grpc/descriptor.bin");

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or the address is not ours.
    #[error("gRPC: {0}; another port is grpcServerPort or --grpc-port")]
    Listen(io::Error),
    /// A cluster is found through its name servers.
    #[error("a proxy needs a name server: --namesrv HOST:PORT, NAMESRV_ADDR or namesrvAddr in the file")]
    NoNameServer,
    /// The port of metrics, or where they shall go.
    #[error(transparent)]
    Metrics(#[from] metrics::StartError),
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
    metrics_address: Option<SocketAddr>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What only a proxy of its own shows; in one process with a broker, that shows its own.
struct Shown {
    metrics: Metrics,
    settings: metrics::Settings,
    cluster_name: String,
    proxy_name: String,
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
        tls: Arc<Tls>,
    ) -> Result<Proxy, StartError> {
        let Advertised { host, ip, remoting_port } = advertised;
        let backend = Backend::Local(Local::new(broker, ip, remoting_port));
        Proxy::serve(backend, Arc::default(), bind_address, host, settings, tls, None).await
    }

    /// Listens, and serves the brokers of a cluster until [`Proxy::stop`].
    ///
    /// # Errors
    /// Nothing is left running.
    pub async fn start_for_cluster(
        cluster: &ClusterSettings,
        settings: &Settings,
        metrics: metrics::Settings,
        tls: Arc<Tls>,
    ) -> Result<Proxy, StartError> {
        if cluster.namesrv_addr.is_empty() {
            return Err(StartError::NoNameServer);
        }
        let shown = Shown {
            metrics: Metrics::prepare(&metrics, cluster.bind_address).await?,
            settings: metrics,
            cluster_name: cluster.cluster_name.clone().unwrap_or_else(|| DEFAULT_CLUSTER.into()),
            proxy_name: cluster.proxy_name.clone().unwrap_or_else(monitor::host_name),
        };
        let options = cluster::Options {
            name_servers: cluster.namesrv_addr.iter().map(::settings::Setting::show).collect(),
            cluster_name: cluster.cluster_name.clone(),
            message_bytes_max: cluster.message_bytes_max,
        };
        let clients = Arc::<Clients>::default();
        let backend = Backend::Cluster(Cluster::start(options, clients.clone()).await);
        let (bind_address, host) = (cluster.bind_address, cluster.local_serve_addr.clone());
        Proxy::serve(backend, clients, bind_address, host, settings, tls, Some(shown)).await
    }

    async fn serve(
        backend: Backend,
        clients: Arc<Clients>,
        bind_address: IpAddr,
        host: Option<String>,
        settings: &Settings,
        tls: Arc<Tls>,
        shown: Option<Shown>,
    ) -> Result<Proxy, StartError> {
        let socket = bind(SocketAddr::new(bind_address, settings.grpc_server_port)).map_err(StartError::Listen)?;
        let address = socket.local_addr().map_err(StartError::Listen)?;
        let stop = CancellationToken::new();
        let context = Arc::new(Context {
            backend,
            clients,
            renewals: Renewals::default(),
            calls: Calls::default(),
            host,
            port: address.port(),
            check_message_type: settings.check_message_type,
            delivery_delay_max: settings.delivery_delay_max,
            unread: Default::default(),
            stop: stop.clone(),
        });
        let routes = Arc::new(Routes::new(context.clone()).await?);
        let metrics_address = shown.as_ref().and_then(|shown| shown.metrics.address());
        let showing = show(shown, context.clone(), stop.clone());
        let stopped = stop.clone();
        let idle_max = settings.client_idle_time;
        let task = tokio::spawn(async move {
            let tracker = TaskTracker::new();
            let open = |stream: TcpStream, remote, place| {
                let connection = Connection { routes: routes.clone(), tls: tls.clone(), place, idle_max };
                let stop = stopped.clone();
                tracker.spawn(async move {
                    if let Err(error) = connection.run(stream, remote, stop).await {
                        debug!(%remote, %error, "gRPC connection ended");
                    }
                });
            };
            let looking = stopped.clone().run_until_cancelled_owned(context.clone().look_after_clients());
            tokio::join!(accept(socket, &stopped, open), looking, showing);
            tracker.close();
            tracker.wait().await;
            context.renewals.end(&context);
            if let Backend::Cluster(cluster) = &context.backend {
                cluster.stop().await;
            }
        });
        Ok(Proxy { address, metrics_address, stop, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics`, `/health` and `/ready` are, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Stops accepting, answers who waits, and ends the connections.
    pub async fn stop(self) {
        self.stop.cancel();
        // A task that panicked has been told of by the panic itself.
        let _ = self.task.await;
    }
}

/// Source: `ProxyConfig.rocketMQClusterName`.
const DEFAULT_CLUSTER: &str = "DefaultCluster";

async fn show(shown: Option<Shown>, context: Arc<Context>, stop: CancellationToken) {
    let Some(Shown { metrics, settings, cluster_name, proxy_name }) = shown else { return };
    metrics.run(Arc::new(Monitor { context, settings, cluster_name, proxy_name }), stop).await;
}

/// Calls by service.
pub(crate) struct Routes {
    messaging: MessagingServiceServer<Service>,
    others: [(&'static str, Handler); 3],
}

pub(crate) type Request = http::Request<Incoming>;
pub(crate) type Response = http::Response<Body>;
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

    /// Answers a call.
    pub(crate) async fn answer(&self, request: Request) -> Result<Response, Infallible> {
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
