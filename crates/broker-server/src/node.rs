//! A running broker node: ports, registration, housekeeping, and an orderly end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Recovery};
use metrics::Metrics;
use parking_lot::RwLock;
use protocol::receipt_template::ReceiptTemplate;
use remoting::{Listener, Tls, bind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::handler::transaction;
use crate::latency::Latencies;
use crate::metrics::Monitor;
use crate::registrar::{Registered, Registrar, Registration, Registry};
use crate::routes::Routes;
use crate::service::{Context, Port};
use crate::settings::Settings;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or an address is not ours.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// The port of metrics, or where they shall go.
    #[error(transparent)]
    Metrics(#[from] metrics::StartError),
    /// The store or the settings tables.
    #[error("open {dir}: {source}")]
    Open {
        /// Directory of the store.
        dir: String,
        /// What is wrong.
        source: broker::Error,
    },
    /// The log of a Java broker lies elsewhere; starting without it would look like losing it.
    #[error("storePathCommitLog is {named}, but the commit log must be {supported}: move it or link it there")]
    LogElsewhere {
        /// As configured.
        named: String,
        /// Where it has to be.
        supported: String,
    },
    /// `brokerIP1` is not an address of anything.
    #[error("brokerIP1 is {host:?}, which is neither an IP address nor a known host name: {reason}")]
    Advertise {
        /// As configured.
        host: String,
        /// What the resolver said.
        reason: String,
    },
}

/// A running node.
pub struct Node {
    broker: Arc<Broker>,
    recovery: Recovery,
    address: SocketAddr,
    fast_address: SocketAddr,
    advertised: Option<IpAddr>,
    stop: CancellationToken,
    /// Stopped after the listeners: name servers are left first, by their own token.
    leave: CancellationToken,
    registrars: JoinSet<()>,
    tasks: JoinSet<()>,
    monitor: Arc<Monitor>,
    metrics_address: Option<SocketAddr>,
}

impl Node {
    /// Opens the store, listens and registers with the name servers given here.
    ///
    /// # Errors
    /// Nothing is left running.
    pub async fn start<R: Registry>(
        settings: Settings,
        metrics: metrics::Settings,
        registries: Vec<R>,
        tls: Arc<Tls>,
    ) -> Result<Node, StartError> {
        check_log_dir(&settings)?;
        let advertised = resolve(settings.broker_ip1.as_deref()).await?;
        let socket = bind(SocketAddr::new(settings.bind_address, settings.listen_port))?;
        let address = socket.local_addr()?;
        let fast_socket = bind(SocketAddr::new(settings.bind_address, settings.fast_port()))?;
        let fast_address = fast_socket.local_addr()?;
        let shown = Metrics::prepare(&metrics, settings.bind_address).await?;
        let metrics_address = shown.address();

        let (config, options) = (settings.broker_config(), settings.store_options());
        let dir = settings.store_dir.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Broker::open(config, options)).await;
        let opened = opened.map_err(io::Error::other)?;
        let (broker, recovery) = opened.map_err(|source| StartError::Open { dir, source })?;
        broker.start();

        let about = Registration {
            broker_name: settings.broker_name.clone(),
            cluster_name: settings.cluster_name.clone(),
            broker_id: settings.broker_id,
            host: settings.broker_ip1.clone(),
            port: address.port(),
            version: broker.topics().version(),
            topics: Default::default(),
            deleted: Vec::new(),
        };
        let leave = CancellationToken::new();
        let mut registrars = JoinSet::new();
        let mut done = Vec::new();
        let registries: Vec<Arc<R>> = registries.into_iter().map(Arc::new).collect();
        for registry in registries.iter().cloned() {
            let heard = watch::Sender::new(None);
            done.push(heard.subscribe());
            let (broker, about, period) = (broker.clone(), about.clone(), settings.register_period);
            let changes = broker.topics().changes();
            let registrar = Registrar { registry, broker, about, period, done: heard };
            registrars.spawn(registrar.run(changes, leave.clone()));
        }
        let context = Arc::new(Context {
            latencies: Latencies::default(),
            registered: Registered::new(broker.topics().changes(), done),
            routes: Routes::new(registries),
            receipts: ReceiptTemplate::new(&settings.region, settings.trace_on),
            connections: Connections::default(),
            advertised,
            port: address.port(),
            started_ms: broker.now_ms(),
            settings: RwLock::new(settings),
            metrics: RwLock::new(metrics),
            updates: Arc::default(),
            broker: broker.clone(),
        });

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let monitor = Arc::new(Monitor::new(context.clone()));
        tasks.spawn(shown.run(monitor.clone(), stop.clone()));
        for (socket, fast) in [(socket, false), (fast_socket, true)] {
            let port = Port { context: context.clone(), fast };
            tasks.spawn(Listener::new(socket, Arc::new(port), tls.clone()).run(stop.clone()));
        }
        let (stopped, housekeeping) = (stop.clone(), forget_silent_clients(context.clone()));
        tasks.spawn(async move { stopped.run_until_cancelled(housekeeping).await.unwrap_or_default() });
        let (stopped, asking) = (stop.clone(), transaction::ask_producers(context.clone()));
        tasks.spawn(async move { stopped.run_until_cancelled(asking).await.unwrap_or_default() });
        context.registered.clone().wait().await;
        monitor.set_serving(true);
        Ok(Node {
            broker,
            recovery,
            address,
            fast_address,
            advertised,
            stop,
            leave,
            registrars,
            tasks,
            monitor,
            metrics_address,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients of the VIP channel connect.
    pub fn fast_address(&self) -> SocketAddr {
        self.fast_address
    }

    /// Where `/metrics`, `/health` and `/ready` are, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// `brokerIP1`, resolved.
    pub fn advertised(&self) -> Option<IpAddr> {
        self.advertised
    }

    /// What opening the store found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The broker behind the ports.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Leaves the name servers, answers what is owed, saves everything.
    pub async fn stop(mut self) {
        self.monitor.set_serving(false);
        self.leave.cancel();
        while self.registrars.join_next().await.is_some() {}
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.broker.stop().await;
    }
}

/// Time between two looks for silent clients. Source: `ClientHousekeepingService`.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

async fn forget_silent_clients(context: Arc<Context>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let changed = context.broker.expire_sessions();
        context.broker.tell(&changed);
    }
}

fn check_log_dir(settings: &Settings) -> Result<(), StartError> {
    let supported = settings.store_dir.join("commitlog");
    match &settings.log_dir {
        Some(named) if !is_same_dir(named, &supported) => Err(StartError::LogElsewhere {
            named: named.display().to_string(),
            supported: supported.display().to_string(),
        }),
        _ => Ok(()),
    }
}

/// Whether two paths lead to one place, links followed where they exist.
fn is_same_dir(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

async fn resolve(host: Option<&str>) -> Result<Option<IpAddr>, StartError> {
    let Some(host) = host else { return Ok(None) };
    let failed = |reason: String| StartError::Advertise { host: host.to_owned(), reason };
    let mut addresses = tokio::net::lookup_host((host, 0)).await.map_err(|error| failed(error.to_string()))?;
    let address = addresses.next().ok_or_else(|| failed("it has no address".into()))?;
    Ok(Some(address.ip()))
}
