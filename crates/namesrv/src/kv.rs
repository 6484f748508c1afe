//! Key-values by namespace, kept in a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use protocol::body::KvTable;
use protocol::json;
use serde::{Deserialize, Serialize};

use crate::limits::KV_BYTES_MAX;

/// The file's content. Source: `KVConfigSerializeWrapper`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Table {
    config_table: BTreeMap<String, BTreeMap<String, String>>,
}

/// Key-values by namespace. Readers never wait; a change is in the file before it is visible.
#[derive(Debug)]
pub(crate) struct Kv {
    path: PathBuf,
    table: ArcSwap<Table>,
    changing: Mutex<()>,
}

impl Kv {
    /// Opens the file; it need not exist yet.
    pub(crate) fn open(path: PathBuf) -> io::Result<Kv> {
        let table = match fs::read(&path) {
            Ok(bytes) => json::parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Table::default(),
            Err(error) => return Err(error),
        };
        Ok(Kv { path, table: ArcSwap::from_pointee(table), changing: Mutex::default() })
    }

    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.table.load().config_table.get(namespace)?.get(key).cloned()
    }

    /// All of a namespace; `None` when nobody ever put anything there.
    pub(crate) fn list(&self, namespace: &str) -> Option<KvTable> {
        self.table.load().config_table.get(namespace).map(|table| KvTable { table: table.clone() })
    }

    pub(crate) fn put(&self, namespace: &str, key: &str, value: &str) -> io::Result<()> {
        self.change(|table| {
            let values = table.entry(namespace.into()).or_default();
            values.insert(key.into(), value.into()).as_deref() != Some(value)
        })
    }

    pub(crate) fn delete(&self, namespace: &str, key: &str) -> io::Result<()> {
        self.change(|table| table.get_mut(namespace).is_some_and(|values| values.remove(key).is_some()))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, BTreeMap<String, String>>) -> bool) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut table = Table::clone(&self.table.load());
        if change(&mut table.config_table) {
            let bytes = json::to_vec(&table);
            if bytes.len() > KV_BYTES_MAX {
                return Err(io::Error::other(format!("the key-values would exceed {KV_BYTES_MAX} bytes")));
            }
            settings::replace_file(&self.path, &bytes)?;
            self.table.store(Arc::new(table));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/kvConfig.json");
        let kv = Kv::open(path.clone()).unwrap();
        assert_eq!((kv.get("N", "k"), kv.list("N")), (None, None));
        kv.put("N", "k", "v").unwrap();
        kv.put("N", "gone", "v").unwrap();
        kv.delete("N", "gone").unwrap();
        kv.delete("M", "unknown").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"configTable":{"N":{"k":"v"}}}"#);
        let again = Kv::open(path).unwrap();
        assert_eq!(again.get("N", "k").as_deref(), Some("v"));
        assert_eq!(again.list("N").unwrap().table.len(), 1);
    }

    #[test]
    fn a_change_that_cannot_be_kept_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let kv = Kv::open(directory.path().join("kvConfig.json")).unwrap();
        kv.put("N", "k", "v").unwrap();
        assert!(kv.put("N", "k", &"x".repeat(KV_BYTES_MAX)).is_err());
        assert_eq!(kv.get("N", "k").as_deref(), Some("v"));
    }

    #[test]
    fn a_broken_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kvConfig.json");
        fs::write(&path, "{").unwrap();
        assert_eq!(Kv::open(path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
