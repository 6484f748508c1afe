//! What is behind the calls: the broker of this process, or the brokers of a cluster.
//!
//! The one seam of this crate. Its verbs, and what goes into them and comes out, are those of [`broker`], so that the
//! broker of this process is called as it is. What goes to a cluster is boxed: the futures of the other are small.

use std::sync::Arc;
use std::time::Duration;

use broker::{EndTransaction, FilterText, LiteSubscription, PopLiteRequest, PopRequest, Popped};
use bytes::Bytes;
use protocol::body::GroupConfig;
use protocol::receipt::Receipt;

use crate::caller::Ends;
use crate::clients::Client;
use crate::cluster::{self, Cluster};
use crate::local::Local;
use crate::offset::{Found, PullFrom, QueueAt, Wanted};
use crate::send::{Checked, Stored};
use crate::settle::Place;
use crate::status::Refusal;

/// See the page of the module.
pub(crate) enum Backend {
    /// The broker of this process.
    Local(Local),
    /// Brokers elsewhere.
    Cluster(Arc<Cluster>),
}

/// A topic, and who has its queues.
pub(crate) enum Topic {
    Local(Arc<broker::Topic>, Arc<str>),
    Cluster(Arc<cluster::Topic>),
}

/// What one broker has of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share<'t> {
    /// Name of the broker.
    pub(crate) broker: &'t str,
    /// Ids under which it is there: 0 is the master.
    pub(crate) ids: &'t [i64],
    pub(crate) perm: i32,
    pub(crate) read_queues: i32,
    pub(crate) write_queues: i32,
}

impl Topic {
    pub(crate) fn name(&self) -> &str {
        match self {
            Topic::Local(topic, _) => topic.name(),
            Topic::Cluster(topic) => &topic.name,
        }
    }

    /// The attribute `message.type`.
    pub(crate) fn kind(&self) -> Option<&str> {
        match self {
            Topic::Local(topic, _) => topic.config().attributes.get(broker::MESSAGE_TYPE).map(String::as_str),
            Topic::Cluster(topic) => topic.kind.as_deref(),
        }
    }

    /// All brokers that have queues of it, in the order of their names.
    pub(crate) fn shares(&self) -> Vec<Share<'_>> {
        match self {
            Topic::Local(topic, broker) => vec![local_share(topic, broker)],
            Topic::Cluster(topic) => topic.shares(),
        }
    }

    /// What the broker of this name has; a client that names none means any.
    pub(crate) fn share(&self, broker: &str) -> Option<Share<'_>> {
        match self {
            // There is no other, whatever the client calls it.
            Topic::Local(topic, name) => Some(local_share(topic, name)),
            Topic::Cluster(topic) => {
                topic.shares().into_iter().find(|share| broker.is_empty() || share.broker == broker)
            }
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Topic::Local(topic, broker) => local_share(topic, broker).is_writable(),
            Topic::Cluster(topic) => !topic.writable.is_empty(),
        }
    }
}

fn local_share<'t>(topic: &'t broker::Topic, broker: &'t str) -> Share<'t> {
    let config = topic.config();
    let (read_queues, write_queues) = (config.read_queue_nums.max(0), config.write_queue_nums.max(0));
    Share { broker, ids: &[0], perm: config.perm, read_queues, write_queues }
}

impl Share<'_> {
    pub(crate) fn is_readable(&self) -> bool {
        protocol::perm::is_readable(self.perm) && self.read_queues > 0
    }

    pub(crate) fn is_writable(&self) -> bool {
        protocol::perm::is_writeable(self.perm) && self.write_queues > 0
    }
}

/// Calls the verb of the broker here, or of the cluster.
macro_rules! verb {
    ($backend:expr, $verb:ident($($argument:expr),*)) => {
        match $backend {
            Backend::Local(local) => local.$verb($($argument),*).await,
            Backend::Cluster(cluster) => Box::pin(cluster.$verb($($argument),*)).await,
        }
    };
}

impl Backend {
    /// The clock that messages are stamped by.
    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            Backend::Local(local) => local.broker.now_ms(),
            Backend::Cluster(cluster) => cluster.now_ms(),
        }
    }

    /// Largest body.
    pub(crate) fn message_bytes_max(&self) -> usize {
        match self {
            Backend::Local(local) => local.broker.config().message_bytes_max,
            Backend::Cluster(cluster) => cluster.options().message_bytes_max,
        }
    }

    /// How far ahead the broker lets a delivery be; one elsewhere says so itself.
    pub(crate) fn timer_delay_max(&self) -> Option<Duration> {
        match self {
            Backend::Local(local) => Some(local.broker.config().timer_delay_max),
            Backend::Cluster(_) => None,
        }
    }

    /// Silence after which a client without a stream is forgotten.
    pub(crate) fn session_timeout(&self) -> Duration {
        match self {
            Backend::Local(local) => local.broker.config().session_timeout,
            Backend::Cluster(_) => cluster::SESSION_TIMEOUT,
        }
    }

    pub(crate) fn check_filter(&self, filter: FilterText<'_>) -> Result<(), Refusal> {
        match self {
            Backend::Local(local) => Ok(local.broker.check_filter(filter)?),
            Backend::Cluster(_) => cluster::check_filter(filter),
        }
    }

    pub(crate) async fn topic(&self, name: &str) -> Result<Topic, Refusal> {
        match self {
            Backend::Local(local) => Ok(Topic::Local(local.broker.topics().require(name)?, local.name.clone())),
            Backend::Cluster(cluster) => Ok(Topic::Cluster(Box::pin(cluster.topic(name)).await?)),
        }
    }

    /// Settings of a group, which is made if groups are made by themselves.
    pub(crate) async fn group(&self, name: &str) -> Result<Arc<GroupConfig>, Refusal> {
        match self {
            Backend::Local(local) => Ok(local.broker.groups().require(name)?),
            Backend::Cluster(cluster) => Box::pin(cluster.group(name)).await,
        }
    }

    /// Settings of a group that is there.
    pub(crate) async fn known_group(&self, name: &str) -> Option<Arc<GroupConfig>> {
        match self {
            Backend::Local(local) => local.broker.groups().get(name),
            Backend::Cluster(cluster) => Box::pin(cluster.known_group(name)).await,
        }
    }

    /// Stores messages, all of one topic, and waits until they are as safe as configured.
    pub(crate) async fn send(&self, ends: &Ends, topic: &Topic, messages: &[Checked]) -> Vec<Result<Stored, Refusal>> {
        match (self, topic) {
            (Backend::Local(local), Topic::Local(topic, _)) => local.send(ends, topic, messages).await,
            (Backend::Cluster(cluster), Topic::Cluster(topic)) => Box::pin(cluster.send(topic, messages)).await,
            _ => unreachable!("a topic comes from the same backend"),
        }
    }

    /// Calls back a message that waits for its time. The answer is its id.
    pub(crate) async fn recall(&self, ends: &Ends, topic: &str, handle: &str) -> Result<String, Refusal> {
        match self {
            Backend::Local(local) => local.recall(ends, topic, handle).await,
            Backend::Cluster(cluster) => Box::pin(cluster.recall(topic, handle)).await,
        }
    }

    /// Takes messages from the broker of this name, or from any. May be dropped: what it takes then is given back.
    pub(crate) async fn pop(&self, broker: &str, request: &PopRequest<'_>) -> Result<Popped, Refusal> {
        match self {
            Backend::Local(local) => Ok(local.broker.begin_pop(request)?.run().await?),
            Backend::Cluster(cluster) => Box::pin(cluster.pop(broker, request)).await,
        }
    }

    /// The same of lite topics.
    pub(crate) async fn pop_lite(&self, broker: &str, request: &PopLiteRequest<'_>) -> Result<Popped, Refusal> {
        match self {
            Backend::Local(local) => Ok(local.broker.begin_pop_lite(request)?.run().await?),
            Backend::Cluster(cluster) => Box::pin(cluster.pop_lite(broker, request)).await,
        }
    }

    pub(crate) async fn ack(&self, place: Place<'_>, receipt: &Receipt) -> Result<(), Refusal> {
        match self {
            Backend::Local(local) => local.ack(place, receipt),
            Backend::Cluster(cluster) => Box::pin(cluster.ack(place, receipt)).await,
        }
    }

    /// Changes for how long a message is invisible. The answer is its receipt from now on.
    pub(crate) async fn change_invisible(
        &self,
        place: Place<'_>,
        receipt: &Receipt,
        invisible: Duration,
        suspend: bool,
    ) -> Result<Receipt, Refusal> {
        match self {
            Backend::Local(local) => local.change_invisible(place, receipt, invisible, suspend),
            Backend::Cluster(cluster) => Box::pin(cluster.change_invisible(place, receipt, invisible, suspend)).await,
        }
    }

    /// Others shall see a message after this pause. Nobody waits for it: should it fail, they see it at the end of its
    /// invisible time.
    pub(crate) fn give_back(&self, place: Place<'_>, receipt: &Receipt, pause: Duration) {
        match self {
            Backend::Local(local) => local.give_back(place, receipt, pause),
            Backend::Cluster(cluster) => cluster.give_back(place, receipt, pause),
        }
    }

    /// Makes a dead letter of the message at a place of the log, and waits until it is safe.
    pub(crate) async fn bury(&self, place: Place<'_>, broker: &str, log_offset: u64) -> Result<(), Refusal> {
        match self {
            Backend::Local(local) => local.bury(place.group, log_offset).await,
            Backend::Cluster(cluster) => Box::pin(cluster.bury(place, broker, log_offset)).await,
        }
    }

    /// The record at a place of the log.
    pub(crate) async fn view(&self, broker: &str, log_offset: i64) -> Result<Bytes, Refusal> {
        match self {
            Backend::Local(local) => Ok(local.broker.view(log_offset).await?),
            Backend::Cluster(cluster) => Box::pin(cluster.view(broker, log_offset)).await,
        }
    }

    /// Ends a transaction whose half message lies at this broker.
    pub(crate) async fn end_transaction(
        &self,
        broker: &str,
        unique_key: &str,
        end: &EndTransaction<'_>,
    ) -> Result<(), Refusal> {
        match self {
            Backend::Local(local) => local.end_transaction(end).await,
            Backend::Cluster(cluster) => Box::pin(cluster.end_transaction(broker, unique_key, end)).await,
        }
    }

    pub(crate) async fn commit_offset(&self, at: QueueAt<'_>, group: &str, offset: i64) -> Result<(), Refusal> {
        verb!(self, commit_offset(at, group, offset))
    }

    /// Where a group stands; `None` if it has no offset.
    pub(crate) async fn committed(&self, at: QueueAt<'_>, group: &str) -> Result<Option<i64>, Refusal> {
        verb!(self, committed(at, group))
    }

    pub(crate) async fn offset_of(&self, at: QueueAt<'_>, wanted: Wanted) -> Result<i64, Refusal> {
        verb!(self, offset_of(at, wanted))
    }

    pub(crate) async fn pull(&self, at: QueueAt<'_>, from: &PullFrom<'_>) -> Result<Found, Refusal> {
        verb!(self, pull(at, from))
    }

    /// Changes what a client subscribes to.
    pub(crate) async fn lite_subscribe(&self, change: &LiteSubscription<'_>) -> Result<(), Refusal> {
        match self {
            Backend::Local(local) => local.lite_subscribe(change),
            Backend::Cluster(cluster) => Box::pin(cluster.lite_subscribe(change)).await,
        }
    }

    /// A client of lite topics leaves: what waits for it goes to others. Nobody waits for it.
    pub(crate) fn lite_leave(&self, client: &Client) {
        match self {
            Backend::Local(local) => local.lite_leave(client),
            Backend::Cluster(cluster) => cluster.lite_leave(client),
        }
    }

    /// A client is there, and is a member of its groups.
    pub(crate) fn register(&self, client: &Arc<Client>) {
        match self {
            Backend::Local(local) => local.register(client),
            Backend::Cluster(cluster) => cluster.register(client),
        }
    }

    /// A client is gone.
    pub(crate) fn unregister(&self, client: &Client) {
        match self {
            Backend::Local(local) => local.unregister(client),
            // Its groups are told to brokers until the next round.
            Backend::Cluster(_) => {}
        }
    }
}
