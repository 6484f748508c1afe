//! Topics: their settings, and the queues behind them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use protocol::body::{DataVersion, TopicConfig, TopicTable};
use protocol::limits::QUEUES_MAX;
use protocol::{name, perm, sysflag};
use store::{Queue, Store};
use tokio::sync::watch;

use crate::Error;
use crate::attribute;
use crate::limits::CHANGES_KEPT;
use crate::state::{Change, Journal};
use crate::stats::{Meter, Stats};

/// A topic as requests see it: settings that do not change, and its queues. A change of settings makes a new one.
#[derive(Debug)]
pub struct Topic {
    config: TopicConfig,
    /// Found in the store when first used, so that a send costs one look-up.
    queues: Box<[OnceLock<Arc<Queue>>]>,
    /// Counts what is stored; found when first used, like the queues.
    puts: OnceLock<Arc<Meter>>,
}

impl Topic {
    fn new(config: TopicConfig) -> Arc<Topic> {
        let queues = config.read_queue_nums.max(config.write_queue_nums).clamp(0, QUEUES_MAX);
        let queues = (0..queues).map(|_| OnceLock::new()).collect();
        Arc::new(Topic { config, queues, puts: OnceLock::new() })
    }

    /// Settings.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.config().topic_name
    }

    pub(crate) fn puts(&self, stats: &Stats) -> &Meter {
        self.puts.get_or_init(|| stats.puts_of(self.name()))
    }

    /// The store's queue, `None` when the topic has no queue of this number.
    pub fn queue(&self, store: &Store, id: i32) -> Option<&Arc<Queue>> {
        let slot = self.queues.get(usize::try_from(id).ok()?)?;
        Some(slot.get_or_init(|| store.queue(self.name(), id as u32)))
    }
}

/// All topics. Reading never waits; changes go through one lock, which also orders them in the log.
pub struct Topics {
    table: papaya::HashMap<String, Arc<Topic>, RandomState>,
    version: Mutex<DataVersion>,
    journal: Arc<Journal>,
    /// How many changes there were.
    changes: watch::Sender<u64>,
    /// Names of the newest changes, oldest first.
    changed: Mutex<VecDeque<String>>,
}

impl Topics {
    pub(crate) fn new(journal: Arc<Journal>) -> Topics {
        Topics {
            table: papaya::HashMap::default(),
            version: Mutex::default(),
            journal,
            changes: watch::Sender::new(0),
            changed: Mutex::default(),
        }
    }

    /// A topic by name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.table.pin().get(name).cloned()
    }

    /// A topic by name, or the error that says what to do.
    pub fn require(&self, name: &str) -> Result<Arc<Topic>, Error> {
        self.get(name).ok_or_else(|| Error::UnknownTopic(name.to_owned()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// All topics, in no order.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.table.pin().values().cloned().collect()
    }

    /// Settings of all topics and their version.
    pub fn to_table(&self) -> TopicTable {
        // The lock comes first: a change whose record is in the log already is in the table when it is free.
        let data_version = self.version();
        let topics = self.all().into_iter().map(|topic| (topic.name().to_owned(), topic.config.clone()));
        TopicTable { data_version, topic_config_table: topics.collect() }
    }

    /// Version of the table.
    pub fn version(&self) -> DataVersion {
        *self.version.lock()
    }

    /// Makes a topic or changes it. Returns whether anything changed.
    ///
    /// # Errors
    /// The name or a number breaks a rule, or the log takes no records.
    pub fn put(&self, config: TopicConfig) -> Result<bool, Error> {
        name::check_topic(&config.topic_name)?;
        self.put_named(config)
    }

    /// The same with a name that needs no check.
    fn put_named(&self, config: TopicConfig) -> Result<bool, Error> {
        check(&config)?;
        let mut version = self.version.lock();
        if self.get(&config.topic_name).is_some_and(|topic| topic.config == config) {
            return Ok(false);
        }
        self.journal.append(&Change::Topic(config.clone()))?;
        let name = config.topic_name.clone();
        self.insert(config);
        self.changed(&mut version, name);
        Ok(true)
    }

    /// Makes or changes a topic, its attributes given as `+key=value,-key`.
    pub fn put_with_attributes(&self, mut config: TopicConfig, changes: &str) -> Result<bool, Error> {
        let existing = self.get(&config.topic_name);
        let before = existing.as_ref().map(|topic| &topic.config.attributes);
        config.attributes = attribute::Of::Topic.apply(before, changes)?;
        self.put(config)
    }

    /// Forgets a topic. Returns whether there was one.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Error> {
        let mut version = self.version.lock();
        if self.get(name).is_none() {
            return Ok(false);
        }
        self.journal.append(&Change::TopicDeleted(name.to_owned()))?;
        self.table.pin().remove(name);
        self.changed(&mut version, name.to_owned());
        Ok(true)
    }

    /// Makes the topic that a producer sends to for the first time, after the settings of a template.
    ///
    /// Source: `TopicConfigManager.createTopicInSendMessageMethod`.
    pub(crate) fn create_by_template(
        &self,
        name: &str,
        template: &str,
        queues: i32,
        unit: bool,
    ) -> Result<Arc<Topic>, Error> {
        let template = self.get(template).filter(|topic| perm::is_inherited(topic.config.perm));
        let template = template.ok_or_else(|| Error::UnknownTopic(name.to_owned()))?;
        let queues = queues.min(template.config.write_queue_nums).max(0);
        self.put(TopicConfig {
            perm: template.config.perm & !perm::INHERIT,
            topic_filter_type: template.config.topic_filter_type.clone(),
            topic_sys_flag: if unit { sysflag::TOPIC_UNIT } else { 0 },
            ..TopicConfig::new(name, queues)
        })?;
        self.require(name)
    }

    /// A topic that the broker makes for itself, such as a retry topic.
    pub(crate) fn get_or_create(&self, name: &str, queues: i32) -> Result<Arc<Topic>, Error> {
        if let Some(topic) = self.get(name) {
            return Ok(topic);
        }
        // The parts of the name were checked; put together, they may have a sign that nobody else can use.
        self.put_named(TopicConfig::new(name, queues))?;
        self.require(name)
    }

    /// Counts changes, for those who tell name servers of them.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Names of the topics that changed after the first `seen` changes, those deleted included; `None` when that is
    /// too long ago to know.
    pub fn changed_since(&self, seen: u64) -> Option<BTreeSet<String>> {
        let changed = self.changed.lock();
        let behind = usize::try_from(self.changes.borrow().checked_sub(seen)?).ok()?;
        let first = changed.len().checked_sub(behind)?;
        Some(changed.iter().skip(first).cloned().collect())
    }

    /// Called when the table holds the change.
    fn changed(&self, version: &mut DataVersion, name: String) {
        version.counter += 1;
        version.timestamp = self.journal.now_ms();
        let mut changed = self.changed.lock();
        if changed.len() == CHANGES_KEPT {
            changed.pop_front();
        }
        changed.push_back(name);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn insert(&self, config: TopicConfig) {
        self.table.pin().insert(config.topic_name.clone(), Topic::new(config));
    }

    // Loading: neither journaled nor announced.

    pub(crate) fn load(&self, table: TopicTable) {
        *self.version.lock() = table.data_version;
        for (name, mut config) in table.topic_config_table {
            config.topic_name = name;
            self.insert(config);
        }
    }

    pub(crate) fn replay(&self, config: TopicConfig) {
        self.version.lock().counter += 1;
        self.insert(config);
    }

    pub(crate) fn replay_deleted(&self, name: &str) {
        self.version.lock().counter += 1;
        self.table.pin().remove(name);
    }
}

fn check(config: &TopicConfig) -> Result<(), Error> {
    let queues = 0..=QUEUES_MAX;
    if !queues.contains(&config.read_queue_nums) || !queues.contains(&config.write_queue_nums) {
        let (read, write) = (config.read_queue_nums, config.write_queue_nums);
        return Err(Error::Parameter(format!(
            "topic {:?}: {read} read and {write} write queues are not between 0 and {QUEUES_MAX}",
            config.topic_name
        )));
    }
    if !perm::is_valid(config.perm) {
        return Err(Error::Parameter(format!(
            "topic {:?}: permission {} is not 0 to 7",
            config.topic_name, config.perm
        )));
    }
    Ok(())
}
