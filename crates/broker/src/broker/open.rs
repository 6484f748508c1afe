//! Opening: the tables from their files, then what the log says behind them, then what every broker has.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use protocol::body::{GroupConfig, TopicConfig};
use protocol::id::UniqueIds;
use protocol::record::RecordView;
use protocol::{name, perm, properties};
use store::io::Io;
use store::{Clock, Recovery, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{Broker, Saved};
use crate::due::{Due, Kind, Loaded, Snapshot};
use crate::filter::Filters;
use crate::lite::Lite;
use crate::offset::Offsets;
use crate::pop::Pops;
use crate::reach::Reach;
use crate::schedule::Cursors;
use crate::snapshot::Tables;
use crate::state::{Change, Journal};
use crate::transaction::{self, Transactions};
use crate::{Config, Error, Groups, QueueLocks, Sessions, Stats, Topics, timer};

impl Broker {
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
        options.replay_commits = true;
        options.replay_all = loaded == Loaded::Nothing;
        let mut changes = Vec::new();
        let mut committed = VecDeque::new();
        let mut replay = |record: &RecordView<'_>| {
            changes.extend(replay_due(&due, loaded, &config, &mut committed, record));
        };
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
            transactions: Transactions::new(committed),
            stats: Stats::default(),
            journal,
            stopping: CancellationToken::new(),
            own_properties,
            memory_range: memory_bytes() / 100 * 40,
            unique_ids: UniqueIds::new(IpAddr::V4(Ipv4Addr::LOCALHOST), std::process::id(), rand::random()),
            saved: Mutex::new(Saved { due: Snapshot::loaded(loaded, clock.now_ms()), topics: None }),
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

    fn load(&self, tables: Tables) {
        self.topics.load(tables.topics.unwrap_or_default());
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
}

/// Applies a record of the log to the due table, unless its snapshot has it already; what is left is another change.
fn replay_due(
    due: &Due,
    loaded: Loaded,
    config: &Config,
    committed: &mut VecDeque<u64>,
    record: &RecordView<'_>,
) -> Option<Change> {
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
        // The store hands over committed messages, too.
        _ => transaction::replay_commit(committed, record),
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
