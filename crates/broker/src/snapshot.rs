//! The tables as files: `config/*.json`, in the names and shapes of a Java broker.
//!
//! They are copies. The log holds every change behind them; see [`crate::state`]. A Java broker that is given the
//! directory finds its topics, groups and offsets here, and one of its directories is taken over from here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::body::{DelayOffsetTable, GroupTable, MessageRequestModeTable, OffsetTable, TopicTable};
use protocol::json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::io::Disk;

use crate::pop::{OrderTable, OwnerTable};

const TOPICS: &str = "topics.json";
const GROUPS: &str = "subscriptionGroup.json";
const OFFSETS: &str = "consumerOffset.json";
const DELAYS: &str = "delayOffset.json";
const REQUEST_MODES: &str = "messageRequestMode.json";
const ORDERS: &str = "consumerOrderInfo.json";
/// The only one that is ours alone.
const OWNERS: &str = "popOwner.json";

/// Everything that is not a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    /// `None` leaves its file as it is: a million topics take seconds to write.
    pub(crate) topics: Option<TopicTable>,
    pub(crate) groups: GroupTable,
    pub(crate) offsets: OffsetTable,
    pub(crate) delays: DelayOffsetTable,
    pub(crate) request_modes: MessageRequestModeTable,
    pub(crate) orders: OrderTable,
    pub(crate) owners: OwnerTable,
}

impl Tables {
    /// Reads the files; one that is missing or empty counts as an empty table.
    pub(crate) fn load(dir: &Path) -> io::Result<Tables> {
        Ok(Tables {
            topics: Some(read(&dir.join(TOPICS))?),
            groups: read(&dir.join(GROUPS))?,
            offsets: read(&dir.join(OFFSETS))?,
            delays: read(&dir.join(DELAYS))?,
            request_modes: read(&dir.join(REQUEST_MODES))?,
            orders: read(&dir.join(ORDERS))?,
            owners: read(&dir.join(OWNERS))?,
        })
    }

    /// Replaces the files; each is whole at any moment, and durable on return.
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        if let Some(topics) = &self.topics {
            write(dir, TOPICS, topics)?;
        }
        write(dir, GROUPS, &self.groups)?;
        write(dir, OFFSETS, &self.offsets)?;
        write(dir, DELAYS, &self.delays)?;
        write(dir, REQUEST_MODES, &self.request_modes)?;
        write(dir, ORDERS, &self.orders)?;
        write(dir, OWNERS, &self.owners)
    }
}

fn read<T: DeserializeOwned + Default>(path: &Path) -> io::Result<T> {
    // Java keeps the version before as `.bak` and reads it when the file itself is missing or empty.
    for path in [path.to_owned(), backup(path)] {
        match fs::read(&path) {
            Ok(text) if text.iter().all(u8::is_ascii_whitespace) => {}
            Ok(text) => {
                let invalid =
                    |error| io::Error::new(io::ErrorKind::InvalidData, format!("read {}: {error}", path.display()));
                return json::parse(&text).map_err(invalid);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("read {}: {error}", path.display()))),
        }
    }
    Ok(T::default())
}

fn write(dir: &Path, name: &str, table: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(table).map_err(io::Error::other)?;
    // Most rounds change one table or none; a file that says the same already is left alone.
    if fs::read(dir.join(name)).is_ok_and(|old| old == text) {
        return Ok(());
    }
    store::io::replace(&Disk, dir, name, &text)
}

fn backup(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    name.into()
}
