//! Who popped what: pairs of topic and group under a short number, which entries of the due table carry.
//!
//! A number is told in the log before its first entry, kept in `config/popOwner.json`, and never used for another pair:
//! entries of a deleted topic or group are recognised as such when they are due.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::limits::POP_OWNERS_MAX;
use crate::state::{Change, Journal};
use crate::{Error, offset};

/// A group and one topic in which it pops; a retry topic counts by itself.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) number: u32,
    pub(crate) topic: String,
    pub(crate) group: String,
}

/// All owners.
pub(crate) struct Owners {
    by_name: papaya::HashMap<String, Arc<Owner>, RandomState>,
    numbers: Mutex<Numbers>,
    journal: Arc<Journal>,
}

#[derive(Default)]
struct Numbers {
    by_number: HashMap<u32, Arc<Owner>>,
    next: u32,
}

/// `config/popOwner.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OwnerTable {
    /// Topic and group by number.
    owners: BTreeMap<u32, (String, String)>,
    /// The next number.
    next: u32,
}

impl Owners {
    pub(crate) fn new(journal: Arc<Journal>) -> Owners {
        Owners { by_name: papaya::HashMap::default(), numbers: Mutex::default(), journal }
    }

    /// An owner, if it ever popped.
    pub(crate) fn find(&self, topic: &str, group: &str) -> Option<Arc<Owner>> {
        self.by_name.pin().get(&offset::key(topic, group)).cloned()
    }

    /// An owner by number; `None` when its topic or group was deleted.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<Owner>> {
        self.numbers.lock().by_number.get(&number).cloned()
    }

    /// An owner, made when it pops for the first time.
    ///
    /// # Errors
    /// There are too many, or the log takes no records.
    pub(crate) fn find_or_make(&self, topic: &str, group: &str) -> Result<Arc<Owner>, Error> {
        if let Some(owner) = self.find(topic, group) {
            return Ok(owner);
        }
        let mut numbers = self.numbers.lock();
        if let Some(owner) = self.find(topic, group) {
            return Ok(owner);
        }
        if numbers.by_number.len() >= POP_OWNERS_MAX || numbers.next == u32::MAX {
            return Err(Error::Unsupported(format!(
                "{POP_OWNERS_MAX} pairs of topic and group pop from this broker already; delete groups or topics"
            )));
        }
        let owner = Owner { number: numbers.next, topic: topic.to_owned(), group: group.to_owned() };
        self.journal.append(&Change::PopOwner(owner.number, owner.topic.clone(), owner.group.clone()))?;
        Ok(self.insert(&mut numbers, owner))
    }

    fn insert(&self, numbers: &mut Numbers, owner: Owner) -> Arc<Owner> {
        let owner = Arc::new(owner);
        numbers.next = numbers.next.max(owner.number.saturating_add(1));
        numbers.by_number.insert(owner.number, owner.clone());
        self.by_name.pin().insert(offset::key(&owner.topic, &owner.group), owner.clone());
        owner
    }

    /// Forgets those of a deleted topic.
    pub(crate) fn remove_topic(&self, topic: &str) {
        self.remove_matching(|owner| owner.topic == topic);
    }

    /// Forgets those of a deleted group.
    pub(crate) fn remove_group(&self, group: &str) {
        self.remove_matching(|owner| owner.group == group);
    }

    fn remove_matching(&self, wanted: impl Fn(&Owner) -> bool) {
        let mut numbers = self.numbers.lock();
        let by_name = self.by_name.pin();
        numbers.by_number.retain(|_, owner| {
            let gone = wanted(owner);
            if gone {
                by_name.remove(&offset::key(&owner.topic, &owner.group));
            }
            !gone
        });
    }

    pub(crate) fn to_table(&self) -> OwnerTable {
        let numbers = self.numbers.lock();
        let pair = |owner: &Arc<Owner>| (owner.number, (owner.topic.clone(), owner.group.clone()));
        OwnerTable { owners: numbers.by_number.values().map(pair).collect(), next: numbers.next }
    }

    // Loading: not journaled.

    pub(crate) fn load(&self, table: OwnerTable) {
        let mut numbers = self.numbers.lock();
        for (number, (topic, group)) in table.owners {
            self.insert(&mut numbers, Owner { number, topic, group });
        }
        numbers.next = numbers.next.max(table.next);
    }

    pub(crate) fn replay(&self, number: u32, topic: String, group: String) {
        self.insert(&mut self.numbers.lock(), Owner { number, topic, group });
    }
}
