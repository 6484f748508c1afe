//! Consumer groups and their settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use protocol::body::{DataVersion, GroupConfig, GroupTable};
use protocol::name;
use tracing::debug;

use crate::state::{Change, Journal};
use crate::{Error, attribute};

/// All consumer groups. Reading never waits; changes go through one lock, which also orders them in the log.
pub struct Groups {
    table: papaya::HashMap<String, Arc<GroupConfig>, RandomState>,
    /// Topics a group may not read, by group; rarely any.
    forbidden: Mutex<BTreeMap<String, BTreeMap<String, i32>>>,
    version: Mutex<DataVersion>,
    journal: Arc<Journal>,
    auto_create: AtomicBool,
}

impl Groups {
    pub(crate) fn new(journal: Arc<Journal>, auto_create: bool) -> Groups {
        Groups {
            table: papaya::HashMap::default(),
            forbidden: Mutex::default(),
            version: Mutex::default(),
            journal,
            auto_create: auto_create.into(),
        }
    }

    /// A group by name.
    pub fn get(&self, group: &str) -> Option<Arc<GroupConfig>> {
        self.table.pin().get(group).cloned()
    }

    /// A group by name. An unknown one is made with defaults where that is allowed.
    ///
    /// Source: `SubscriptionGroupManager.findSubscriptionGroupConfig`.
    pub fn require(&self, group: &str) -> Result<Arc<GroupConfig>, Error> {
        if let Some(config) = self.get(group) {
            return Ok(config);
        }
        if !self.auto_create.load(Ordering::Relaxed) && !name::is_system_group(group) {
            return Err(Error::UnknownGroup(group.to_owned()));
        }
        let config = GroupConfig { group_name: group.to_owned(), ..GroupConfig::default() };
        match self.put(config.clone()) {
            Ok(()) => self.get(group).ok_or_else(|| Error::UnknownGroup(group.to_owned())),
            // The log takes no records, of a full disk for one. Reading goes on, and the group is made later.
            Err(Error::Store(error)) => {
                debug!(group, %error, "group not made yet");
                Ok(Arc::new(config))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn set_auto_create(&self, auto_create: bool) {
        self.auto_create.store(auto_create, Ordering::Relaxed);
    }

    /// Makes a group or changes it; its attributes are changes, with keys such as `+lite.bind.topic`.
    pub fn put_with_attributes(&self, mut config: GroupConfig) -> Result<(), Error> {
        let existing = self.get(&config.group_name);
        let changes = config.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        config.attributes =
            attribute::Of::Group.apply_pairs(existing.as_ref().map(|group| &group.attributes), changes)?;
        self.put(config)
    }

    /// Makes a group or changes it.
    pub fn put(&self, config: GroupConfig) -> Result<(), Error> {
        name::check_group(&config.group_name)?;
        let mut version = self.version.lock();
        if self.get(&config.group_name).is_some_and(|known| *known == config) {
            return Ok(());
        }
        self.journal.append(&Change::Group(config.clone()))?;
        self.touch(&mut version);
        self.insert(config);
        Ok(())
    }

    /// Forgets a group. Returns whether there was one.
    pub(crate) fn remove(&self, group: &str) -> Result<bool, Error> {
        let mut version = self.version.lock();
        if self.get(group).is_none() {
            return Ok(false);
        }
        self.journal.append(&Change::GroupDeleted(group.to_owned()))?;
        self.touch(&mut version);
        self.table.pin().remove(group);
        self.forbidden.lock().remove(group);
        Ok(true)
    }

    /// Whether a group may read a topic.
    pub fn may_read(&self, group: &str, topic: &str) -> bool {
        const READ_FORBIDDEN: i32 = 4;
        let forbidden = self.forbidden.lock();
        forbidden.get(group).and_then(|topics| topics.get(topic)).is_none_or(|bits| bits & READ_FORBIDDEN == 0)
    }

    /// Settings of all groups and their version.
    pub fn to_table(&self) -> GroupTable {
        // The lock comes first: a change whose record is in the log already is in the table when it is free.
        let data_version = *self.version.lock();
        let groups = self.table.pin().iter().map(|(name, config)| (name.clone(), GroupConfig::clone(config))).collect();
        GroupTable { data_version, forbidden_table: self.forbidden.lock().clone(), subscription_group_table: groups }
    }

    /// Names of all groups.
    pub fn names(&self) -> Vec<String> {
        self.table.pin().keys().cloned().collect()
    }

    fn touch(&self, version: &mut DataVersion) {
        version.counter += 1;
        version.timestamp = self.journal.now_ms();
    }

    fn insert(&self, config: GroupConfig) {
        self.table.pin().insert(config.group_name.clone(), Arc::new(config));
    }

    // Loading: not journaled.

    pub(crate) fn load(&self, table: GroupTable) {
        *self.version.lock() = table.data_version;
        *self.forbidden.lock() = table.forbidden_table;
        for (name, mut config) in table.subscription_group_table {
            config.group_name = name;
            self.insert(config);
        }
    }

    pub(crate) fn replay(&self, config: GroupConfig) {
        self.version.lock().counter += 1;
        self.insert(config);
    }

    pub(crate) fn replay_deleted(&self, group: &str) {
        self.version.lock().counter += 1;
        self.table.pin().remove(group);
    }
}
