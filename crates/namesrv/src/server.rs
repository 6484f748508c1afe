//! A name server and its life.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use protocol::body::{ClusterInfo, TopicRoute};
use protocol::name::ORDER_TOPIC_NAMESPACE;
use remoting::{Listener, Tls, bind};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info};

use crate::kv::Kv;
use crate::limits::LISTS_MAX;
use crate::routes::{Routes, Session};
use crate::writer::Writer;
use crate::{Advertise, Clock, Of, Refused, Registered, Registration, Settings, lookup};

/// Who serves which topic: a [`remoting::Service`] for the network, plain methods for this process.
pub struct NameServer {
    pub(crate) routes: Routes,
    pub(crate) kv: Kv,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) writer: Writer,
    pub(crate) lists: Arc<Semaphore>,
    /// Permits to change key-values: one.
    pub(crate) kv_changes: Arc<Semaphore>,
}

/// A name server that listens. Dropping it lets it end by itself; [`Running::stop`] waits until it has.
pub struct Running {
    server: Arc<NameServer>,
    address: SocketAddr,
    stop: DropGuard,
    task: JoinHandle<()>,
}

/// Why a name server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error(transparent)]
    Listen(io::Error),
    /// The key-values cannot be read; ordered topics would silently lose their settings.
    #[error("read the key-values in {path}: {error}")]
    KeyValues {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// No thread can be started.
    #[error("start the writer: {0}")]
    Thread(io::Error),
}

impl NameServer {
    /// Starts to listen. Key-values are kept in `data_dir` unless the settings name a file.
    pub async fn start(
        settings: Settings,
        data_dir: &Path,
        clock: Clock,
        tls: Arc<Tls>,
    ) -> Result<Running, StartError> {
        let path = settings.kv_config_path.clone().unwrap_or_else(|| data_dir.join("kvConfig.json"));
        let kv = Kv::open(path.clone()).map_err(|error| StartError::KeyValues { path, error })?;
        let socket = bind(SocketAddr::new(settings.bind_address, settings.listen_port)).map_err(StartError::Listen)?;
        let address = socket.local_addr().map_err(StartError::Listen)?;
        let (writer, jobs) = Writer::new();
        let server = Arc::new(NameServer {
            routes: Routes::new(clock),
            kv,
            settings: ArcSwap::from_pointee(settings),
            writer,
            lists: Arc::new(Semaphore::new(LISTS_MAX)),
            kv_changes: Arc::new(Semaphore::new(1)),
        });
        let thread = jobs.start(server.clone()).map_err(StartError::Thread)?;
        let stop = CancellationToken::new();
        let listener = Listener::new(socket, server.clone(), tls);
        let task = tokio::spawn({
            let (server, stop) = (server.clone(), stop.clone());
            async move {
                tokio::join!(listener.run(stop.clone()), server.clone().expire_regularly(stop));
                server.writer.end().await;
                if !matches!(spawn_blocking(|| thread.join()).await, Ok(Ok(()))) {
                    error!("the writer ended by a fault");
                }
            }
        });
        info!(%address, "name server started");
        Ok(Running { server, address, stop: stop.drop_guard(), task })
    }

    /// Registers a broker of this process. Repeat it with a new data version when topics change; [`Topics::Changed`]
    /// costs as much as the topics in it, [`Topics::All`] a walk over all topics when the version is new. Waits for
    /// another change in progress, so call it where blocking is allowed.
    ///
    /// [`Topics::Changed`]: crate::Topics::Changed
    /// [`Topics::All`]: crate::Topics::All
    pub fn register(&self, registration: Registration) -> Result<Registered, Refused> {
        self.routes.register(registration, Session::default())
    }

    /// Forgets a broker of this process.
    pub fn unregister(&self, cluster: &str, broker_name: &str, at: &Advertise) {
        self.routes.unregister(cluster, broker_name, at);
    }

    /// Brokers and queues of a topic, for someone who reached this process at `reached_at`; `None` when no broker has
    /// the topic.
    pub fn route(&self, topic: &str, reached_at: IpAddr) -> Option<TopicRoute> {
        let settings = self.settings.load();
        let mut route = self.routes.route(topic, reached_at)?;
        if settings.support_acting_master {
            lookup::show_acting_masters(topic, &mut route);
        }
        if settings.order_message_enable {
            route.order_topic_conf = self.kv.get(ORDER_TOPIC_NAMESPACE, topic);
        }
        Some(route)
    }

    /// All brokers and clusters, for someone who reached this process at `reached_at`.
    pub fn cluster_info(&self, reached_at: IpAddr) -> ClusterInfo {
        self.routes.cluster_info(reached_at)
    }

    /// Names of all topics, in order. Walks all of them.
    pub fn topics(&self) -> Vec<String> {
        self.routes.topics()
    }

    /// Forgets a topic, or some brokers' part of it, until they register it again.
    pub fn delete_topic(&self, topic: &str, of: Of<'_>) {
        self.routes.delete_topic(topic, of);
    }

    /// Forgets the brokers that were not heard of in time. A running name server does so by itself.
    pub fn expire(&self) {
        for broker in self.routes.expire() {
            info!(%broker, "broker forgotten, it was not heard of in time or its connection ended");
        }
    }

    async fn expire_regularly(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let pause = self.settings.load().scan_interval;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            if !self.writer.try_change(NameServer::expire) {
                debug!("brokers not looked at, too many changes wait; trying again at the next round");
            }
        }
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name server, for brokers of this process.
    pub fn name_server(&self) -> &Arc<NameServer> {
        &self.server
    }

    /// Stops listening, answers what it owes and ends.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            error!(%error, "the name server ended by a fault");
        }
    }
}
