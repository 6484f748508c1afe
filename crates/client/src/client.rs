//! The connections of one process to its name servers and brokers, and what they are told about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use protocol::body::{ConsumerData, HeartbeatData, ProducerData, TopicRoute};
use protocol::code;
use protocol::id::UniqueIds;
use protocol::name::AUTO_CREATE_TOPIC;
use protocol::request::{
    GetRoute, GetRouteHeader, HeartBeat, NoFields, Request, UnregisterClient, UnregisterClientHeader,
};
use protocol::{Frame, Header, json};
use remoting::{CallError, Pool};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::listener::Listener;
use crate::producer::Producer;
use crate::route::{Route, Routes};
use crate::{Admin, Credentials, Error, clock, limits};

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name servers, `host:port`. All know the same; one that fails is passed over.
    pub name_servers: Vec<String>,
    /// Longest wait for one ordinary answer. Default 3 s.
    pub timeout: Duration,
    /// Signs every request, for clusters that check who asks. Default none.
    pub credentials: Option<Credentials>,
}

impl Config {
    /// These name servers, everything else by default. An element may hold several, separated by semicolons as in
    /// `NAMESRV_ADDR` (or commas).
    pub fn new<S: AsRef<str>>(name_servers: impl IntoIterator<Item = S>) -> Config {
        let mut all = Vec::new();
        for several in name_servers {
            let parts = several.as_ref().split([';', ',']).map(str::trim).filter(|part| !part.is_empty());
            all.extend(parts.map(str::to_owned));
        }
        Config { name_servers: all, timeout: limits::CALL_TIMEOUT, credentials: None }
    }
}

/// One member of the cluster on the asking side. Clones share everything; the connections end with the last clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

pub(crate) struct Shared {
    config: Config,
    id: String,
    ids: UniqueIds,
    pool: Pool<Listener>,
    pub(crate) listener: Arc<Listener>,
    /// Index of the name server that answered last.
    name_server: AtomicUsize,
    routes: Routes,
    /// One caller fetches routes at a time: those behind it find its result.
    fetching: tokio::sync::Mutex<()>,
    groups: Mutex<Groups>,
    /// Asks for a heartbeat before its time.
    beat: Notify,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What heartbeats say.
#[derive(Debug, Default)]
struct Groups {
    producers: Vec<ProducerData>,
    consumers: Vec<ConsumerData>,
}

impl Client {
    /// Connects to one of the name servers.
    ///
    /// # Errors
    /// [`Error::NameServer`] when none can be reached, [`Error::Invalid`] when none is given.
    pub async fn connect(config: Config) -> Result<Client, Error> {
        if config.name_servers.is_empty() {
            return Err(Error::Invalid("no name server address is given".into()));
        }
        let listener = Arc::new(Listener::default());
        let pool = Pool::new(listener.clone());
        let (local, name_server) = first_reachable(&config, &pool).await?;
        let (process, nanos) = (std::process::id(), clock::now_ns());
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            // The form of Java's client ids, so that tools show ours alike. Source: `ClientConfig.buildMQClientId`.
            id: format!("{}@{process}#{nanos}", local.ip()),
            ids: UniqueIds::new(local.ip(), process, nanos as u32),
            config,
            pool,
            listener,
            name_server: AtomicUsize::new(name_server),
            routes: Routes::default(),
            fetching: tokio::sync::Mutex::default(),
            groups: Mutex::default(),
            beat: Notify::new(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        shared.tasks.spawn(shared.clone().stay_known());
        Ok(Client { shared, _stop: Arc::new(stop.drop_guard()) })
    }

    /// The id under which brokers know this client.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The name servers it was given.
    pub fn name_servers(&self) -> &[String] {
        &self.shared.config.name_servers
    }

    /// A producer of a group. Brokers ask members of the group about open transactions; otherwise it is just a name.
    pub fn producer(&self, group: &str) -> Producer {
        let data = ProducerData { group_name: group.to_owned() };
        let mut groups = self.shared.groups.lock();
        if !groups.producers.contains(&data) {
            groups.producers.push(data);
            self.shared.beat.notify_one();
        }
        drop(groups);
        Producer::new(self.clone(), group)
    }

    /// The calls of admin tools.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// Sends one request to one server and returns its successful answer.
    ///
    /// # Errors
    /// [`Error::Call`] without an answer, [`Error::Refused`] with any code but success.
    pub async fn call<R: Request>(
        &self,
        address: &str,
        header: &R::Header<'_>,
        body: impl Into<Bytes>,
    ) -> Result<Frame, Error> {
        self.shared.call::<R>(address, header, body.into()).await
    }

    /// The same for a request that name servers answer: the next one is asked when one is silent.
    ///
    /// # Errors
    /// [`Error::NameServer`] when none answers, [`Error::Refused`] with any code but success.
    pub async fn ask<R: Request>(&self, header: &R::Header<'_>) -> Result<Frame, Error> {
        self.shared.ask::<R>(header).await
    }

    /// The route of a topic in use: fetched the first time, then kept fresh.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or why no name server answers.
    pub async fn route(&self, topic: &str) -> Result<Arc<Route>, Error> {
        match self.shared.routes.get(topic) {
            Some(route) => Ok(route),
            None => self.shared.refresh(topic).await,
        }
    }

    /// The route that a topic has or will get: messages to an unknown topic go where topics may be made.
    pub(crate) async fn route_to_send(&self, topic: &str) -> Result<Arc<Route>, Error> {
        match self.route(topic).await {
            Err(Error::UnknownTopic(_)) => {
                let template = self.shared.fetch(AUTO_CREATE_TOPIC).await;
                let template = template.map_err(|error| match error {
                    Error::UnknownTopic(_) => Error::UnknownTopic(topic.to_owned()),
                    other => other,
                })?;
                // Kept under the topic's name until the next look: by then the first message has made the topic.
                let route = Arc::new(Route::new(topic, template, limits::NEW_TOPIC_QUEUES));
                self.shared.routes.set(topic, route.clone());
                Ok(route)
            }
            known => known,
        }
    }

    /// Leaves the brokers and closes all connections. Close consumers first, so that they commit their offsets.
    pub async fn close(self) {
        let shared = self.shared;
        shared.stop.cancel();
        let Groups { producers, consumers } = std::mem::take(&mut *shared.groups.lock());
        for group in &producers {
            shared.unregister(Some(&group.group_name), None).await;
        }
        for group in &consumers {
            shared.unregister(None, Some(&group.group_name)).await;
        }
        shared.tasks.close();
        shared.tasks.wait().await;
        shared.pool.close().await;
    }
}

impl Shared {
    pub(crate) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// A new unique message id.
    pub(crate) fn unique_id(&self) -> String {
        self.ids.next(clock::ms_of_month(clock::now_ms()))
    }

    pub(crate) async fn call<R: Request>(
        &self,
        address: &str,
        header: &R::Header<'_>,
        body: Bytes,
    ) -> Result<Frame, Error> {
        let frame = Frame::request(R::CODE, header).with_body(body);
        let answer = self.exchange(address, frame, self.config.timeout).await?;
        if answer.code == code::SUCCESS.0 { Ok(answer) } else { Err(refused(address, R::NAME, &answer)) }
    }

    /// Sends a request and returns whatever is answered.
    pub(crate) async fn exchange(
        &self,
        address: &str,
        mut frame: Frame,
        timeout: Duration,
    ) -> Result<Frame, CallError> {
        self.sign(&mut frame);
        self.pool.call(address, frame, timeout).await
    }

    /// Sends a request that wants no answer.
    pub(crate) async fn notify(&self, address: &str, mut frame: Frame) -> Result<(), CallError> {
        self.sign(&mut frame);
        self.pool.peer(address).await?.notify(frame)
    }

    fn sign(&self, frame: &mut Frame) {
        if let Some(credentials) = &self.config.credentials {
            credentials.sign(frame);
        }
    }

    async fn ask<R: Request>(&self, header: &R::Header<'_>) -> Result<Frame, Error> {
        let servers = &self.config.name_servers;
        let first = self.name_server.load(Ordering::Relaxed);
        let mut reason = String::new();
        for at in first..first + servers.len() {
            let at = at % servers.len();
            match self.call::<R>(&servers[at], header, Bytes::new()).await {
                Err(Error::Call(error)) => reason = reason_of(&error),
                answered => {
                    self.name_server.store(at, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(Error::NameServer { addresses: servers.join(", "), reason })
    }

    /// The route as the name server tells it now.
    pub(crate) async fn fetch(&self, topic: &str) -> Result<TopicRoute, Error> {
        let header = GetRouteHeader { topic, accept_standard_json_only: true };
        let answer = self.ask::<GetRoute>(&header).await.map_err(|error| match error.code() {
            Some(code::TOPIC_NOT_EXIST) => Error::UnknownTopic(topic.to_owned()),
            _ => error,
        })?;
        body::<GetRoute, _>("the name server", &answer)
    }

    /// Fetches the route of a topic into the cache. Callers that come together share one fetch.
    pub(crate) async fn refresh(&self, topic: &str) -> Result<Arc<Route>, Error> {
        let asked = Instant::now();
        let _fetching = self.fetching.lock().await;
        let new_enough = asked.checked_sub(limits::ROUTE_AGE_MIN).unwrap_or(asked);
        if let Some(route) = self.routes.newer(topic, new_enough) {
            return Ok(route);
        }
        // A topic that was known stays known whatever the name server says now: it forgets the topics of a broker that
        // restarts, and the broker is still the best place to ask.
        let route = Arc::new(Route::new(topic, self.fetch(topic).await?, protocol::limits::QUEUES_MAX));
        if self.routes.get(topic).is_none() {
            // Its brokers may not know us yet.
            self.beat.notify_one();
        }
        self.routes.set(topic, route.clone());
        Ok(route)
    }

    /// Says what the heartbeats of this client shall say about a consumer group.
    pub(crate) fn join(&self, group: ConsumerData) -> Result<(), Error> {
        let mut groups = self.groups.lock();
        if groups.consumers.iter().any(|known| known.group_name == group.group_name) {
            let name = group.group_name;
            return Err(Error::Invalid(format!(
                "this client is a member of group {name:?} already, use another client"
            )));
        }
        groups.consumers.push(group);
        Ok(())
    }

    /// Stops saying it, and tells the brokers.
    pub(crate) async fn leave(&self, group: &str) {
        self.groups.lock().consumers.retain(|known| known.group_name != group);
        self.unregister(None, Some(group)).await;
    }

    /// Tells all brokers in use that this client lives and what it does.
    pub(crate) async fn heartbeat(&self) {
        let (body, masters_only) = {
            let groups = self.groups.lock();
            if groups.producers.is_empty() && groups.consumers.is_empty() {
                return;
            }
            let beat = HeartbeatData {
                client_id: self.id.clone(),
                consumer_data_set: groups.consumers.clone(),
                producer_data_set: groups.producers.clone(),
                ..HeartbeatData::default()
            };
            (Bytes::from(json::to_vec(&beat)), groups.consumers.is_empty())
        };
        let brokers = self.routes.brokers(masters_only);
        let body = &body;
        join_all(brokers.iter().map(|address| async move {
            if let Err(error) = self.call::<HeartBeat>(address, &NoFields {}, body.clone()).await {
                warn!(broker = %address, %error, "heartbeat failed");
            }
        }))
        .await;
    }

    async fn unregister(&self, producer_group: Option<&str>, consumer_group: Option<&str>) {
        let header = &UnregisterClientHeader { client_id: &self.id, producer_group, consumer_group };
        let brokers = self.routes.brokers(consumer_group.is_none());
        join_all(brokers.iter().map(|address| async move {
            // The broker notices the closed connection as well, only later.
            if let Err(error) = self.call::<UnregisterClient>(address, header, Bytes::new()).await {
                debug!(broker = %address, %error, "unregistering failed");
            }
        }))
        .await;
    }

    /// Heartbeats and fresh routes, until the client stops.
    async fn stay_known(self: Arc<Self>) {
        let mut tick = tokio::time::interval(limits::HEARTBEAT_PERIOD);
        tick.tick().await;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.beat.notified() => {}
                _ = tick.tick() => self.refresh_all().await,
            }
            self.heartbeat().await;
        }
    }

    async fn refresh_all(&self) {
        for topic in self.routes.topics() {
            if let Err(error) = self.refresh(&topic).await {
                warn!(topic, %error, "route not refreshed");
            }
        }
    }
}

/// Connects to the first name server that lets us, and says under which address of ours.
async fn first_reachable(config: &Config, pool: &Pool<Listener>) -> Result<(SocketAddr, usize), Error> {
    let mut reason = String::new();
    for (at, address) in config.name_servers.iter().enumerate() {
        match pool.peer(address).await {
            Ok(peer) => return Ok((peer.local(), at)),
            Err(error) => reason = reason_of(&error),
        }
    }
    Err(Error::NameServer { addresses: config.name_servers.join(", "), reason })
}

/// The reason alone, without the address, which is named beside it, and the number the system has for it.
fn reason_of(error: &CallError) -> String {
    match error {
        CallError::Connect { reason, .. } => reason.split(" (os error").next().unwrap_or_default().to_lowercase(),
        other => other.to_string(),
    }
}

/// A refusal in our terms.
pub(crate) fn refused(address: &str, request: &'static str, answer: &Frame) -> Error {
    Error::Refused {
        address: address.to_owned(),
        request,
        code: code::Code(answer.code),
        remark: answer.remark.clone().unwrap_or_default(),
    }
}

/// The header of an answer to `R`.
pub(crate) fn reply<'a, R: Request>(address: &str, answer: &'a Frame) -> Result<R::Reply<'a>, Error> {
    R::Reply::decode(&answer.fields).map_err(|error| unreadable::<R>(address, error))
}

/// The JSON body of an answer to `R`.
pub(crate) fn body<R: Request, T: serde::de::DeserializeOwned>(address: &str, answer: &Frame) -> Result<T, Error> {
    json::parse(&answer.body).map_err(|error| unreadable::<R>(address, error))
}

pub(crate) fn unreadable<R: Request>(address: &str, reason: impl ToString) -> Error {
    Error::Unreadable { address: address.to_owned(), request: R::NAME, reason: reason.to_string() }
}
