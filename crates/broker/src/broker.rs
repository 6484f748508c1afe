//! The broker as a whole: its parts, and the verbs that concern several of them.

mod background;
mod open;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use protocol::body::DataVersion;
use protocol::id::UniqueIds;
use protocol::{name, perm};
use store::io::Disk;
use store::{Clock, Recovery, Store, SystemClock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::attribute::LITE_BIND_TOPIC;
use crate::due::{Due, Snapshot};
use crate::filter::Filters;
use crate::lite::Lite;
use crate::offset::Offsets;
use crate::pop::Pops;
use crate::reach::Reach;
use crate::schedule::Cursors;
use crate::state::Journal;
use crate::timer;
use crate::transaction::Transactions;
use crate::{Config, Error, Forbidden, Groups, Heartbeat, Members, QueueLocks, Sessions, Stats, Topics};

/// One broker. See the crate's page for what it does and what it leaves to others.
pub struct Broker {
    config: ArcSwap<Config>,
    pub(crate) store: Arc<Store>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) offsets: Offsets,
    pub(crate) sessions: Sessions,
    pub(crate) reach: Reach,
    pub(crate) locks: QueueLocks,
    pub(crate) cursors: Cursors,
    pub(crate) filters: Filters,
    pub(crate) due: Due,
    pub(crate) lite: Lite,
    pub(crate) pop: Pops,
    pub(crate) unrecorded: timer::Unrecorded,
    pub(crate) transactions: Transactions,
    pub(crate) stats: Stats,
    pub(crate) journal: Arc<Journal>,
    pub(crate) stopping: CancellationToken,
    /// Properties that every message gets.
    pub(crate) own_properties: String,
    /// How far behind the end of the log a message still counts as "in memory". Source:
    /// `accessMessageInMemoryMaxRatio`, 40 % of the machine.
    pub(crate) memory_range: u64,
    unique_ids: UniqueIds,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskTracker,
    /// Held while the tables are copied to files, so that two copies do not mix.
    saved: Mutex<Saved>,
}

/// What the files know.
struct Saved {
    due: Snapshot,
    /// Version of the topics; `None` before the first copy.
    topics: Option<DataVersion>,
}

impl Broker {
    /// Opens a broker on a store directory, made by this program or by a Java broker.
    ///
    /// # Errors
    /// The directory is in use, unreadable, or a table in it makes no sense.
    pub fn open(config: Config, options: store::Options) -> Result<(Arc<Broker>, Recovery), Error> {
        Broker::open_with(Arc::new(Disk), Arc::new(SystemClock), config, options)
    }

    /// Takes a heartbeat in: makes groups and their retry topics where needed. The answer lists the groups whose
    /// members should hear of a change.
    pub fn heartbeat(&self, beat: &Heartbeat) -> Vec<Members> {
        self.sessions.heartbeat(beat, self.now_ms(), |consumer| {
            let Ok(group) = self.groups.require(&consumer.group_name) else { return false };
            let retry = self.topics.get_or_create(&name::retry_topic(&consumer.group_name), group.retry_queue_nums);
            if let Err(error) = &retry {
                warn!(group = consumer.group_name, %error, "retry topic not made");
            }
            retry.is_ok()
        })
    }

    /// Forgets clients that were silent for too long.
    pub fn expire_sessions(&self) -> Vec<Members> {
        self.sessions.expire(self.now_ms() - self.config().session_timeout.as_millis() as i64)
    }

    /// Deletes a topic with its queues and offsets. Returns whether there was one.
    pub fn delete_topic(&self, topic: &str) -> Result<bool, Error> {
        if topic.trim().is_empty() {
            return Err(name::NameError::Blank("topic").into());
        }
        if self.is_system_topic(topic) {
            return Err(Error::Parameter(format!("the topic [{topic}] belongs to the system and cannot be deleted")));
        }
        self.delete_lite_topics_of(topic)?;
        let groups = self.offsets.groups_of(topic);
        let existed = self.remove_topic(topic)?;
        // Source: `AdminBrokerProcessor.deleteTopic`: what the groups have to consume again goes with it.
        for group in groups {
            for retry in [name::pop_retry_topic_v1(&group, topic), name::pop_retry_topic_v2(&group, topic)] {
                if self.topics.get(&retry).is_some() {
                    self.remove_topic(&retry)?;
                }
            }
        }
        Ok(existed)
    }

    fn remove_topic(&self, topic: &str) -> Result<bool, Error> {
        // First: a topic that is made again under this name at once must not count where nobody looks.
        self.stats.forget_topic(topic);
        let existed = self.topics.remove(topic)?;
        self.store.remove_topic(topic)?;
        self.offsets.remove_topic(topic)?;
        self.pop.forget_topic(topic);
        Ok(existed)
    }

    /// Deletes a group, and its offsets if asked to. Returns whether there was one.
    pub fn delete_group(&self, group: &str, with_offsets: bool) -> Result<bool, Error> {
        self.forget_lite_group(group);
        let lite = self.groups.get(group).is_some_and(|group| group.attributes.contains_key(LITE_BIND_TOPIC));
        let existed = self.groups.remove(group)?;
        self.stats.forget_group(group);
        self.pop.forget_group(group);
        let mut retries = vec![name::retry_topic(group)];
        for topic in self.offsets.topics_of(group) {
            retries.extend([name::pop_retry_topic_v1(group, &topic), name::pop_retry_topic_v2(group, &topic)]);
        }
        // Source: `AdminBrokerProcessor.deleteSubscriptionGroup`: offsets in lite topics always go.
        if with_offsets || lite {
            self.offsets.remove_group(group)?;
        }
        for retry in retries.iter().filter(|retry| self.topics.get(retry).is_some()) {
            self.remove_topic(retry)?;
        }
        Ok(existed)
    }

    /// Whether a topic belongs to the system, this broker's own topics included.
    pub fn is_system_topic(&self, topic: &str) -> bool {
        let config = self.config();
        let Config { cluster_name, broker_name, .. } = &**config;
        name::is_system_topic(topic)
            || topic == cluster_name
            || topic == broker_name
            || topic.strip_suffix(name::REPLY_SUFFIX) == Some(cluster_name)
    }

    /// Settings as they are now.
    pub fn config(&self) -> Guard<Arc<Config>> {
        self.config.load()
    }

    /// Takes other settings; those that were built on at the start stay as they were.
    pub fn reconfigure(&self, wanted: Config) {
        let started = Config::clone(&self.config());
        self.groups.set_auto_create(wanted.auto_create_group);
        self.config.store(Arc::new(Config {
            broker_name: started.broker_name,
            cluster_name: started.cluster_name,
            region: started.region,
            trace_on: started.trace_on,
            trace_topic: started.trace_topic,
            config_dir: started.config_dir,
            default_topic_queues: started.default_topic_queues,
            delay_levels: started.delay_levels,
            ..wanted
        }));
    }

    /// Topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Groups.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Consumer offsets.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Who is online.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// How to reach those who are online.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Locks of ordered consumers.
    pub fn locks(&self) -> &QueueLocks {
        &self.locks
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The store, for its marks and figures; messages go through the verbs.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn next_unique_key(&self) -> String {
        // Peers use the time in a unique key only for display; the ids stay unique whatever it says.
        const MONTH_MS: i64 = 30 * 24 * 3600 * 1000;
        self.unique_ids.next((self.now_ms() % MONTH_MS) as u32)
    }

    pub(crate) fn check_running(&self) -> Result<(), Error> {
        // Closed when the stop begins; asking the token itself would take a lock for each message.
        if self.tasks.is_closed() { Err(Error::Stopping) } else { Ok(()) }
    }

    pub(crate) fn broker_forbids(&self, what: &str) -> Error {
        let config = self.config();
        let Config { broker_name, permission, .. } = &**config;
        let shown = perm::text(*permission);
        Error::forbidden(
            Forbidden::Broker,
            format!("the broker[{broker_name}] forbids {what}, brokerPermission is {shown}"),
        )
    }
}
