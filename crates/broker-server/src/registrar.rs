//! Keeping name servers informed: everything at the start, afterwards only what changed, and a sign of life.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use protocol::body::{DataVersion, QueueData, RegisterBrokerBody, RegisteredTopics, TopicConfig, TopicRoute};
use protocol::request::{
    BrokerHeader, GetRoute, GetRouteHeader, QueryDataVersion, QueryDataVersionReply, RegisterBroker,
    RegisterBrokerHeader, Request, UnregisterBroker,
};
use protocol::{Frame, code, json, perm};
use remoting::Pool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What a name server is told.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Broker name.
    pub broker_name: String,
    /// Cluster.
    pub cluster_name: String,
    /// 0 is the master.
    pub broker_id: i64,
    /// Fixed host of the advertised address, if the operator set one.
    pub host: Option<String>,
    /// Port of the advertised address.
    pub port: u16,
    /// Version of the topics.
    pub version: DataVersion,
    /// Topics that are new or changed; all of them the first time.
    pub topics: BTreeMap<String, TopicConfig>,
    /// Topics that are gone.
    pub deleted: Vec<String>,
}

/// Why a name server does not know of us (yet).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RegistryError(pub String);

/// A name server, somewhere on the network or in this process.
pub trait Registry: Send + Sync + 'static {
    /// Tells it what there is, or only that we are alive when nothing changed.
    fn register(&self, registration: &Registration) -> impl Future<Output = Result<(), RegistryError>> + Send;
    /// Whether it knows this version of the topics; also a sign of life.
    fn knows(&self, registration: &Registration) -> impl Future<Output = Result<bool, RegistryError>> + Send;
    /// Queues of a topic at all brokers; none when nobody has it.
    fn queues(&self, topic: &str) -> impl Future<Output = Result<Vec<QueueData>, RegistryError>> + Send;
    /// Leaves.
    fn unregister(&self, registration: &Registration) -> impl Future<Output = Result<(), RegistryError>> + Send;
    /// For messages.
    fn name(&self) -> String;
}

/// A name server on the network.
pub struct Remote {
    address: String,
    pool: Arc<Pool>,
    timeout: Duration,
}

impl Remote {
    /// By address.
    pub fn new(address: String, pool: Arc<Pool>) -> Remote {
        // Source: registerBrokerTimeoutMills is 24 s; a name server that takes longer than this will hear again soon.
        Remote { address, pool, timeout: Duration::from_secs(6) }
    }

    async fn call<'a, R: Request>(&self, header: R::Header<'a>, body: Vec<u8>) -> Result<Frame, RegistryError> {
        self.accepted(self.ask::<R>(header, body).await?)
    }

    /// The answer may be a refusal.
    async fn ask<'a, R: Request>(&self, header: R::Header<'a>, body: Vec<u8>) -> Result<Frame, RegistryError> {
        let frame = Frame::request(R::CODE, &header).with_body(body);
        let answer = self.pool.call(&self.address, frame, self.timeout).await;
        answer.map_err(|error| RegistryError(error.to_string()))
    }

    fn accepted(&self, answer: Frame) -> Result<Frame, RegistryError> {
        if answer.code != code::SUCCESS.0 {
            let remark = answer.remark.unwrap_or_default();
            return Err(RegistryError(format!("{} answered {}: {remark}", self.address, code::Code(answer.code))));
        }
        Ok(answer)
    }
}

impl Registry for Remote {
    async fn register(&self, registration: &Registration) -> Result<(), RegistryError> {
        // Deletions are not passed on: a name server can only forget a topic for the whole cluster, other brokers
        // included. As with a Java broker, whoever deletes a topic tells the name servers too.
        let body = json::to_vec(&RegisterBrokerBody {
            filter_server_list: Vec::new(),
            topic_config_serialize_wrapper: RegisteredTopics {
                data_version: registration.version,
                topic_config_table: registration.topics.clone(),
                ..RegisteredTopics::default()
            },
        });
        let address = registration.address();
        let header = RegisterBrokerHeader {
            broker_name: &registration.broker_name,
            broker_addr: &address,
            cluster_name: &registration.cluster_name,
            ha_server_addr: Some(""),
            broker_id: registration.broker_id,
            heartbeat_timeout_millis: None,
            enable_acting_master: None,
            compressed: false,
            body_crc32: Some(0),
            zone_name: None,
        };
        self.call::<RegisterBroker>(header, body).await.map(drop)
    }

    async fn knows(&self, registration: &Registration) -> Result<bool, RegistryError> {
        let address = registration.address();
        let version = json::to_vec(&registration.version);
        let answer = self.call::<QueryDataVersion>(registration.broker(&address), version).await?;
        let reply: QueryDataVersionReply = answer.header().map_err(|error| RegistryError(error.to_string()))?;
        Ok(!reply.changed)
    }

    async fn queues(&self, topic: &str) -> Result<Vec<QueueData>, RegistryError> {
        let header = GetRouteHeader { topic, accept_standard_json_only: true };
        let answer = self.ask::<GetRoute>(header, Vec::new()).await?;
        if answer.code == code::TOPIC_NOT_EXIST.0 {
            return Ok(Vec::new());
        }
        let route: Result<TopicRoute, _> = json::parse(&self.accepted(answer)?.body);
        let unreadable = |error| RegistryError(format!("{} answered with an unreadable route: {error}", self.address));
        Ok(route.map_err(unreadable)?.queue_datas)
    }

    async fn unregister(&self, registration: &Registration) -> Result<(), RegistryError> {
        let address = registration.address();
        self.call::<UnregisterBroker>(registration.broker(&address), Vec::new()).await.map(drop)
    }

    fn name(&self) -> String {
        self.address.clone()
    }
}

impl Registration {
    fn broker<'a>(&'a self, address: &'a str) -> BrokerHeader<'a> {
        BrokerHeader {
            broker_name: &self.broker_name,
            broker_addr: address,
            cluster_name: &self.cluster_name,
            broker_id: self.broker_id,
        }
    }

    /// The advertised address, with this host's first address when none was set.
    fn address(&self) -> String {
        let host = self.host.clone().unwrap_or_else(|| own_address().to_string());
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

/// The address from which this host would speak to the world; loopback when it could not. No packet is sent.
fn own_address() -> IpAddr {
    let route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    route.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}

/// Tells one name server what changed, as soon as it changed.
pub(crate) struct Registrar<R> {
    pub(crate) registry: Arc<R>,
    pub(crate) broker: Arc<Broker>,
    /// Everything but the topics.
    pub(crate) about: Registration,
    pub(crate) period: Duration,
    /// How many changes the name server has heard of, none before the first registration; see [`Registered`].
    pub(crate) done: watch::Sender<Option<u64>>,
}

/// Waits until name servers know of a change.
#[derive(Clone)]
pub(crate) struct Registered {
    changes: watch::Receiver<u64>,
    done: Vec<watch::Receiver<Option<u64>>>,
}

/// How long an admin tool waits for name servers to hear of its change; they will hear of it later otherwise.
const REGISTERED_WAIT: Duration = Duration::from_secs(3);

impl Registered {
    pub(crate) fn new(changes: watch::Receiver<u64>, done: Vec<watch::Receiver<Option<u64>>>) -> Registered {
        Registered { changes, done }
    }

    /// Whether every name server knows everything that changed so far.
    pub(crate) fn is_current(&self) -> bool {
        let changes = Some(*self.changes.borrow());
        self.done.iter().all(|done| *done.borrow() >= changes)
    }

    /// Waits until every name server has heard of all changes so far, but not for long.
    pub(crate) async fn wait(self) {
        let changes = Some(*self.changes.borrow());
        let all = async {
            for mut done in self.done {
                let _ = done.wait_for(|done| *done >= changes).await;
            }
        };
        let _ = tokio::time::timeout(REGISTERED_WAIT, all).await;
    }
}

impl<R: Registry> Registrar<R> {
    pub(crate) async fn run(self, mut changes: watch::Receiver<u64>, stop: CancellationToken) {
        // How many changes the name server has heard of; none when it must hear everything.
        let mut heard = None;
        let mut failing = false;
        loop {
            let now = *changes.borrow_and_update();
            let pause = match self.registry.register(&self.news(heard)).await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!(name_server = self.registry.name(), "registered again");
                    }
                    heard = Some(now);
                    self.done.send_replace(heard);
                    self.period
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(name_server = self.registry.name(), %error, "not registered, trying again every second");
                    }
                    heard = None;
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed(), if !failing => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {
                    // It may have restarted meanwhile and know nothing.
                    if !self.registry.knows(&self.news(heard)).await.unwrap_or(false) {
                        heard = None;
                    }
                }
            }
        }
        if let Err(error) = self.registry.unregister(&self.about).await {
            warn!(name_server = self.registry.name(), %error, "not unregistered, it will notice by itself");
        }
    }

    /// What a name server does not know that has heard of so many changes.
    fn news(&self, heard: Option<u64>) -> Registration {
        let topics = self.broker.topics();
        let permission = self.broker.config().permission;
        let changed = heard.and_then(|heard| topics.changed_since(heard));
        let mut news = Registration { version: topics.version(), ..self.about.clone() };
        let mut tell = |config: &TopicConfig| {
            let config = TopicConfig { perm: limit(config.perm, permission), ..config.clone() };
            news.topics.insert(config.topic_name.clone(), config);
        };
        match changed {
            None => topics.all().iter().for_each(|topic| tell(topic.config())),
            Some(names) => {
                for name in names {
                    match topics.get(&name) {
                        Some(topic) => tell(topic.config()),
                        None => news.deleted.push(name),
                    }
                }
            }
        }
        news
    }
}

/// A broker that does not allow everything limits what its topics allow. Source: `BrokerController`, on registering.
fn limit(topic: i32, broker: i32) -> i32 {
    let both = perm::READ | perm::WRITE;
    if broker & both == both { topic } else { topic & broker }
}
