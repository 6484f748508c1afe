//! A node in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use broker_server::{Registration, Registry, RegistryError, Remote, Settings};
use namesrv::{Clock, NameServer};
use protocol::body::QueueData;
use remoting::Pool;
use settings::HostPort;

use crate::{Client, DataDir};

/// Hears everything and keeps nothing: these tests ask the broker itself.
struct Deaf;

impl Registry for Deaf {
    async fn register(&self, _registration: &Registration) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn knows(&self, _registration: &Registration) -> Result<bool, RegistryError> {
        Ok(true)
    }

    async fn queues(&self, _topic: &str) -> Result<Vec<QueueData>, RegistryError> {
        Ok(Vec::new())
    }

    async fn unregister(&self, _registration: &Registration) -> Result<(), RegistryError> {
        Ok(())
    }

    fn name(&self) -> String {
        "nobody".into()
    }
}

/// A name server in this process, on a port of the system's choice. Its directory is removed with what is returned.
///
/// # Panics
/// When it does not start.
pub async fn name_server() -> (namesrv::Running, DataDir) {
    let dir = DataDir::default();
    let settings =
        namesrv::Settings { bind_address: [127, 0, 0, 1].into(), listen_port: 0, ..namesrv::Settings::default() };
    let running = NameServer::start(settings, dir.path(), Clock::system(), Arc::default()).await;
    (running.expect("the name server starts"), dir)
}

/// A broker node in this process, on ports of the system's choice.
pub struct Node {
    node: broker_server::Node,
    dir: Arc<DataDir>,
}

impl Node {
    /// With the defaults and a directory of its own.
    pub async fn start() -> Node {
        Node::start_with(Arc::default(), |_| {}).await
    }

    /// On a directory, with settings changed. It registers with the name servers that these name.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(dir: Arc<DataDir>, change: impl FnOnce(&mut Settings)) -> Node {
        let mut settings = Node::settings(&dir);
        change(&mut settings);
        Node::launch(dir, settings, |_| {}).await
    }

    /// With the defaults, a directory of its own, and metrics as they are changed here.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with_metrics(change: impl FnOnce(&mut metrics::Settings)) -> Node {
        let dir = Arc::<DataDir>::default();
        let settings = Node::settings(&dir);
        Node::launch(dir, settings, change).await
    }

    fn settings(dir: &DataDir) -> Settings {
        Settings {
            bind_address: [127, 0, 0, 1].into(),
            listen_port: 0,
            fast_listen_port: Some(0),
            store_dir: dir.path().to_owned(),
            segment_bytes: 4 << 20,
            // How full the disk of this machine is decides nothing.
            disk_clean_forcibly: 95,
            disk_warning: 99,
            ..Settings::default()
        }
    }

    async fn launch(dir: Arc<DataDir>, settings: Settings, change: impl FnOnce(&mut metrics::Settings)) -> Node {
        let mut metrics = metrics::Settings { port: 0, ..metrics::Settings::default() };
        change(&mut metrics);
        let pool = Arc::new(Pool::default());
        let remote = |address: &HostPort| Remote::new(format!("{}:{}", address.host, address.port), pool.clone());
        let remotes: Vec<Remote> = settings.namesrv_addr.iter().map(remote).collect();
        let node = match remotes.is_empty() {
            true => broker_server::Node::start(settings, metrics, vec![Deaf], Arc::default()).await,
            false => broker_server::Node::start(settings, metrics, remotes, Arc::default()).await,
        };
        Node { node: node.expect("the node starts"), dir }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.node.address()
    }

    /// The other port.
    pub fn fast_address(&self) -> SocketAddr {
        self.node.fast_address()
    }

    /// The node itself.
    pub fn inner(&self) -> &broker_server::Node {
        &self.node
    }

    /// A new connection.
    pub async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Ends it in order and hands out its directory.
    pub async fn stop(self) -> Arc<DataDir> {
        self.node.stop().await;
        self.dir
    }
}
