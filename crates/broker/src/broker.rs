//! The broker as a whole: opening, background work, stopping, and the verbs that concern several parts.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use protocol::body::{GroupConfig, TopicConfig};
use protocol::id::UniqueIds;
use protocol::record::RecordView;
use protocol::{name, perm, properties};
use store::io::{Disk, Io};
use store::{Clock, Recovery, Store, SystemClock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::attribute::LITE_BIND_TOPIC;
use crate::due::{Due, Kind, Loaded, Snapshot};
use crate::filter::Filters;
use crate::lite::Lite;
use crate::offset::Offsets;
use crate::pop::Pops;
use crate::reach::Reach;
use crate::schedule::Cursors;
use crate::snapshot::Tables;
use crate::state::{Change, Journal};
use crate::transaction::Transactions;
use crate::{Config, Error, Forbidden, Groups, Heartbeat, Members, QueueLocks, Sessions, Stats, Topics};
use crate::{timer, transaction};

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
    snapshot: Mutex<Snapshot>,
}

impl Broker {
    /// Opens a broker on a store directory, made by this program or by a Java broker.
    ///
    /// # Errors
    /// The directory is in use, unreadable, or a table in it makes no sense.
    pub fn open(config: Config, options: store::Options) -> Result<(Arc<Broker>, Recovery), Error> {
        Broker::open_with(Arc::new(Disk), Arc::new(SystemClock), config, options)
    }

    /// The same on a given file system, for the store, and with a given clock: of tests.
    pub fn open_with(
        io: Arc<dyn Io>,
        clock: Arc<dyn Clock>,
        config: Config,
        mut options: store::Options,
    ) -> Result<(Arc<Broker>, Recovery), Error> {
        let unreadable = |error: std::io::Error| Error::Settings(error.to_string());
        let tables = Tables::load(&config.config_dir).map_err(unreadable)?;
        let due = Due::default();
        let loaded = due.load(&config.config_dir).map_err(unreadable)?;
        options.replay_topics = [name::TIMER_TOPIC, name::HALF_TOPIC, name::OP_HALF_TOPIC].map(String::from).to_vec();
        options.replay_all = loaded == Loaded::Nothing;
        let mut changes = Vec::new();
        let mut replay = |record: &RecordView<'_>| changes.extend(replay_due(&due, loaded, &config, record));
        let (store, recovery) = Store::open_replaying(io, clock.clone(), options, &mut replay)?;
        if loaded == Loaded::Nothing {
            forget_what_java_did(&due, &tables, &config.config_dir);
        }
        let journal = Arc::new(Journal::new(store.clone(), clock.clone()));
        let mut own_properties = String::new();
        properties::push(&mut own_properties, properties::MSG_REGION, &config.region);
        properties::push(&mut own_properties, properties::TRACE_ON, if config.trace_on { "true" } else { "false" });
        properties::push(&mut own_properties, properties::CLUSTER, &config.cluster_name);
        let broker = Broker {
            topics: Topics::new(journal.clone()),
            groups: Groups::new(journal.clone(), config.auto_create_group),
            offsets: Offsets::new(journal.clone()),
            sessions: Sessions::default(),
            reach: Reach::default(),
            locks: QueueLocks::default(),
            cursors: Cursors::default(),
            filters: Filters::default(),
            due,
            lite: Lite::load(&store),
            pop: Pops::new(&journal, &config.broker_name),
            unrecorded: timer::Unrecorded::default(),
            transactions: Transactions::default(),
            stats: Stats::default(),
            journal,
            stopping: CancellationToken::new(),
            own_properties,
            memory_range: memory_bytes() / 100 * 40,
            unique_ids: UniqueIds::new(IpAddr::V4(Ipv4Addr::LOCALHOST), std::process::id(), rand::random()),
            snapshot: Mutex::new(Snapshot::loaded(loaded, clock.now_ms())),
            clock,
            tasks: TaskTracker::new(),
            config: ArcSwap::from_pointee(config),
            store,
        };
        broker.load(tables);
        changes.into_iter().for_each(|change| broker.replay(change));
        broker.land_doubled_flights();
        broker.create_system_topics()?;
        broker.stats.sample(broker.now_ms());
        Ok((Arc::new(broker), recovery))
    }

    /// Starts the background work; [`Broker::stop`] ends it.
    pub fn start(self: &Arc<Self>) {
        for level in 1..=self.config().delay_levels.len() as i32 {
            self.tasks.spawn(self.clone().run_delay_level(level));
        }
        self.tasks.spawn(self.clone().run_timers());
        self.tasks.spawn(self.clone().run_invisible());
        self.tasks.spawn(self.clone().run_retention());
        self.tasks.spawn(self.clone().run_lite());
        self.tasks.spawn(self.clone().run_lite_sweeps());
        self.tasks.spawn(self.clone().every(self.config().offset_interval, |broker| {
            if let Err(error) = broker.save_offsets() {
                warn!(%error, "consumer offsets not saved, trying again");
            }
        }));
        self.tasks.spawn(self.clone().every(Duration::from_secs(10), |broker| {
            broker.stats.sample(broker.now_ms());
            broker.locks.sweep(broker.now_ms());
            broker.pop.sweep(broker.now_ms());
        }));
        let snapshots = self.clone();
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(async move {
            loop {
                // The first at once: a broker that crashes again and again soon after its start must not have more
                // and more of the log to replay.
                let broker = snapshots.clone();
                let _ = tokio::task::spawn_blocking(move || broker.save_snapshot(false)).await;
                tokio::time::sleep(snapshots.config().snapshot_interval).await;
            }
        }));
    }

    async fn every(self: Arc<Self>, period: Duration, work: impl Fn(&Broker)) {
        let stopping = self.stopping.clone();
        let rounds = async {
            loop {
                tokio::time::sleep(period).await;
                work(&self);
            }
        };
        stopping.run_until_cancelled(rounds).await;
    }

    /// Stops: ends waiting pulls and background work, saves everything, closes the store. Blocks on the disk.
    pub async fn stop(self: &Arc<Self>) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let broker = self.clone();
        let _ = tokio::task::spawn_blocking(move || {
            if let Err(error) = broker.save_offsets() {
                error!(%error, "consumer offsets not saved");
            }
            broker.save_snapshot(true);
            if let Err(error) = broker.store.close() {
                error!(%error, "store not closed cleanly, the next start will check its end");
            }
        })
        .await;
    }

    /// Copies the tables to files and tells the store that the log before is no longer needed for them.
    fn save_snapshot(&self, last: bool) {
        let mut due = self.snapshot.lock();
        // Changes are made in memory before or together with their record: whatever the log holds up to here is in
        // the tables that are read below.
        let (_, state_at) = self.store.log_range();
        let tables = Tables {
            topics: self.topics.to_table(),
            groups: self.groups.to_table(),
            offsets: self.offsets.to_table(),
            delays: self.cursors.to_table(),
            request_modes: self.pop.modes.to_table(),
            orders: self.pop.orders.to_table(),
            owners: self.pop.owners.to_table(),
        };
        let dir = self.config().config_dir.clone();
        let saved = self.make_offsets_safe().map_err(|error| error.to_string());
        let saved = saved.and_then(|()| tables.save(&dir).map_err(|error| error.to_string()));
        let saved = saved.and_then(|()| {
            let due_at = due.save(&self.due, &dir, &self.store, || self.record_flights(), last, self.now_ms());
            let due_at = due_at.map_err(|error| error.to_string())?;
            self.store.checkpoint(Some(state_at.min(due_at))).map_err(|error| error.to_string())
        });
        if let Err(error) = saved {
            warn!(error, "settings not copied to files; the log has them, trying again");
        }
    }

    /// Makes the log know, for good, what the offsets that were just read left in flight: a file that has the ones
    /// without the others would lose messages.
    fn make_offsets_safe(&self) -> Result<(), Error> {
        if self.invisible_messages() == 0 {
            return Ok(());
        }
        {
            let _change = self.due.change();
            self.record_flights()?;
        }
        Ok(self.store.flush()?)
    }

    fn load(&self, tables: Tables) {
        self.topics.load(tables.topics);
        self.groups.load(tables.groups);
        self.offsets.load(tables.offsets);
        self.cursors.load(tables.delays);
        self.pop.modes.load(tables.request_modes);
        self.pop.orders.load(tables.orders);
        self.pop.owners.load(tables.owners);
    }

    fn replay(&self, change: Change) {
        match change {
            Change::Topic(config) => self.topics.replay(config),
            Change::TopicDeleted(topic) => {
                self.topics.replay_deleted(&topic);
                self.pop.replay_topic_deleted(&topic);
            }
            Change::Group(config) => self.groups.replay(config),
            Change::GroupDeleted(group) => {
                self.groups.replay_deleted(&group);
                self.pop.replay_group_deleted(&group);
            }
            Change::Offsets(offsets) => offsets.into_iter().for_each(|offset| self.offsets.replay(offset)),
            Change::GroupOffsetsDeleted(group) => self.offsets.replay_group_deleted(&group),
            Change::TopicOffsetsDeleted(topic) => self.offsets.replay_topic_deleted(&topic),
            Change::DelayOffset(level, offset) => self.cursors.set(level, offset),
            Change::PopOwner(number, topic, group) => self.pop.owners.replay(number, topic, group),
            Change::Orders(orders) => orders.into_iter().for_each(|order| self.pop.orders.replay(order)),
            Change::RequestMode(row) => self.pop.modes.replay(row),
            Change::Due(_) | Change::Flights(_) => {
                unreachable!("changes of the due table are applied as they are read")
            }
        }
    }

    /// Lets retention delete what it wants to, once what still matters of it is somewhere else.
    async fn run_retention(self: Arc<Self>) {
        let stopping = self.stopping.clone();
        let rounds = async {
            loop {
                tokio::time::sleep(RETENTION_PERIOD).await;
                if let Err(error) = self.make_way().await {
                    warn!(%error, "old segments are kept, timers or half messages in them could not be moved");
                }
            }
        };
        stopping.run_until_cancelled(rounds).await;
    }

    async fn make_way(self: &Arc<Self>) -> Result<(), Error> {
        while let Some(before) = self.store.held_back() {
            self.roll_timers(before).await?;
            self.set_old_halves_aside(before).await?;
            self.store.flushed().wait(self.store.appended()).await?;
            self.store.release(before);
            let store = self.store.clone();
            let swept = tokio::task::spawn_blocking(move || store.sweep()).await;
            swept.map_err(|_| Error::Stopping)??;
        }
        Ok(())
    }

    /// Topics and groups that every broker has. Source: `TopicConfigManager.init`.
    fn create_system_topics(&self) -> Result<(), Error> {
        let config = self.config();
        let cluster = &config.cluster_name;
        let all = perm::READ | perm::WRITE | perm::INHERIT;
        let template = if self.config().auto_create_topic { all } else { perm::READ | perm::WRITE };
        let topics = [
            (name::SELF_TEST_TOPIC.to_owned(), 1, perm::READ | perm::WRITE),
            (name::AUTO_CREATE_TOPIC.to_owned(), self.config().default_topic_queues, template),
            (name::BENCHMARK_TOPIC.to_owned(), 1024, perm::READ | perm::WRITE),
            (cluster.clone(), 16, all),
            (self.config().broker_name.clone(), 1, all),
            (name::OFFSET_MOVED_TOPIC.to_owned(), 1, perm::READ | perm::WRITE),
            (name::SCHEDULE_TOPIC.to_owned(), self.config().delay_levels.len() as i32, perm::READ | perm::WRITE),
            (name::reply_topic(cluster), 1, perm::READ | perm::WRITE),
            (name::HALF_TOPIC.to_owned(), 1, perm::READ | perm::WRITE),
            (name::OP_HALF_TOPIC.to_owned(), 1, perm::READ | perm::WRITE),
            (name::TIMER_TOPIC.to_owned(), 1, perm::READ | perm::WRITE),
        ];
        let trace = (name::TRACE_TOPIC.to_owned(), 1, perm::READ | perm::WRITE);
        for (topic, queues, perm) in topics.into_iter().chain(config.trace_topic.then_some(trace)) {
            if self.topics.get(&topic).is_none() || topic == name::AUTO_CREATE_TOPIC {
                self.topics.put(TopicConfig { perm, ..TopicConfig::new(topic, queues) })?;
            }
        }
        for group in name::SYSTEM_GROUPS {
            if self.groups.get(group).is_none() {
                self.groups.put(GroupConfig { group_name: group.into(), ..GroupConfig::default() })?;
            }
        }
        Ok(())
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
        let existed = self.topics.remove(topic)?;
        self.store.remove_topic(topic)?;
        self.offsets.remove_topic(topic)?;
        self.pop.forget_topic(topic);
        self.stats.forget_topic(topic);
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
        if self.stopping.is_cancelled() { Err(Error::Stopping) } else { Ok(()) }
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

/// Time between two looks at what retention wants; its own looks are 10 seconds apart.
const RETENTION_PERIOD: Duration = Duration::from_secs(5);

/// Applies a record of the log to the due table, unless its snapshot has it already; what is left is another change.
fn replay_due(due: &Due, loaded: Loaded, config: &Config, record: &RecordView<'_>) -> Option<Change> {
    let known = matches!(loaded, Loaded::UpTo(at) if record.log_offset() < at.0);
    match record.topic() {
        store::STATE_TOPIC => match serde_json::from_slice(record.body()) {
            Ok(Change::Due(_) | Change::Flights(_)) if known => {}
            Ok(Change::Due(change)) => due.replay(change),
            Ok(Change::Flights(change)) => change.replay(due),
            Ok(change) => return Some(change),
            Err(error) => warn!(%error, "a change of settings in the log is not readable and was left out"),
        },
        _ if known => {}
        name::TIMER_TOPIC => timer::replay(due, record),
        name::HALF_TOPIC => transaction::replay_half(due, record, config.transaction_timeout.as_millis() as i64),
        name::OP_HALF_TOPIC => transaction::replay_op(due, record),
        _ => {}
    }
    None
}

/// After the first start in the directory of a Java broker: leaves out timers that it has delivered and half messages
/// that it has dealt with, as its own files say. Source: `TimerCheckpoint`, `TransactionalMessageServiceImpl.check`.
fn forget_what_java_did(due: &Due, tables: &Tables, config_dir: &Path) {
    if let Ok(checkpoint) = std::fs::read(config_dir.join("timercheck"))
        && let Some(read_ms) = checkpoint.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
    {
        due.retain(Kind::Timed, |key| key.due_ms >= read_ms);
    }
    let standing = format!("{}@{}", name::HALF_TOPIC, name::TRANSACTION_GROUP);
    let queues = tables.offsets.offset_table.get(&standing);
    if let Some(seen) = queues.and_then(|queues| queues.get(&0)) {
        due.retain(Kind::Check, |key| i64::try_from(key.place).is_ok_and(|place| place >= *seen));
    }
}

fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram as u64 * u64::from(info.mem_unit)
}
