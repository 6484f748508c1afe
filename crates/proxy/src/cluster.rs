//! The brokers of a cluster behind the calls: found through its name servers, spoken to over remoting.
//!
//! One connection to each, shared by all clients. Nothing is stored here; what is remembered of topics, groups and
//! addresses has a bound and an age, and lasts while no name server answers.
//! Source: `ClusterMessageService`, `ClusterMetadataService`, `ClusterTopicRouteService`, `ClusterTransactionService`,
//! `MQClientAPIExt`.

mod brokers;
mod call; // start here
mod group;
mod topic;

mod offset;
mod pop;
mod send;
mod settle;

mod listener;
mod lite;
mod transaction;

mod error;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use broker::{FilterText, Sql};
use protocol::body::GroupConfig;
use remoting::{Cache, Pool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::brokers::Brokers;
use self::listener::Listener;
use self::transaction::Producers;
use crate::clients::Clients;
use crate::limits::{DRAIN, REMEMBERED_MAX};
use crate::status::Refusal;
use crate::v2::Code;

pub(crate) use self::error::Error;
pub(crate) use self::topic::Topic;

/// Silence after which a client without a stream is forgotten. Source: `channelExpiredTimeout`.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(120);

/// Between two looks at the brokers, and between two heartbeats. Source: `transactionHeartbeatPeriodSecond`.
const ROUND: Duration = Duration::from_secs(20);

/// What an operator decides.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Name servers, `host:port`.
    pub(crate) name_servers: Vec<String>,
    /// The cluster whose brokers say how groups are set; without one, all brokers.
    pub(crate) cluster_name: Option<String>,
    pub(crate) message_bytes_max: usize,
}

pub(crate) struct Cluster {
    options: Options,
    pool: Pool<Listener>,
    /// Index of the name server that answered last.
    name_server: AtomicUsize,
    brokers: Brokers,
    topics: Cache<Topic>,
    groups: Cache<GroupConfig>,
    producers: Arc<Producers>,
    /// Turns through queues and brokers.
    turn: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Cluster {
    /// Begins to look after a cluster, until [`Cluster::stop`]. Name servers may be down; calls fail as long as they are.
    pub(crate) async fn start(options: Options, clients: Arc<Clients>) -> Arc<Cluster> {
        let producers = Arc::new(Producers::default());
        let cluster = Arc::new(Cluster {
            pool: Pool::new(Arc::new(Listener::new(clients.clone(), producers.clone()))),
            options,
            name_server: AtomicUsize::new(0),
            brokers: Brokers::default(),
            topics: Cache::new(REMEMBERED_MAX),
            groups: Cache::new(REMEMBERED_MAX),
            producers,
            turn: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        if let Err(error) = cluster.refresh_brokers().await {
            warn!(%error, "the brokers are not known yet");
        }
        cluster.spawn(cluster.clone().look_after(clients));
        cluster
    }

    /// Ends what is under way, and the connections.
    pub(crate) async fn stop(&self) {
        self.tasks.close();
        // What is given back to brokers is worth a moment.
        let _ = tokio::time::timeout(DRAIN, async {
            self.stop.cancel();
            self.tasks.wait().await;
        })
        .await;
        self.pool.close().await;
    }

    /// Runs a task until it is done or the cluster stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    async fn look_after(self: Arc<Self>, clients: Arc<Clients>) {
        let mut tick = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if let Err(error) = self.refresh_brokers().await {
                        warn!(%error, "addresses of brokers not refreshed");
                    }
                }
                () = self.producers.changed() => {}
            }
            self.producers.take(&clients.all());
            self.heartbeat().await;
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Checks a filter as a broker would, so that a mistake is told before it waits for messages.
pub(crate) fn check_filter(filter: FilterText<'_>) -> Result<(), Refusal> {
    match filter.kind {
        Some("SQL92") => match Sql::parse(filter.expression) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::new(Code::IllegalFilterExpression, error.to_string())),
        },
        _ => Ok(()),
    }
}
