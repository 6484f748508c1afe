//! Typed settings under RocketMQ's own keys.
//!
//! A component declares its settings once with [`settings!`]: a struct of typed fields, each with its key, default,
//! unit and whether it may change while running. From that come the defaults, a table of keys, reading and writing
//! by key, and the page of documentation. [`Sources`] fills such structs from a properties file, the environment and
//! flags, and reports everything that is wrong at once; [`Update`] changes them at run time, all or nothing.
//!
//! One file may fill several structs: a `broker.conf` holds the keys of the broker, the store and the listener.
//! Nothing here prints, and nothing but [`Sources::load`] and [`replace_file`] touches a file.

mod declare; // start here
mod file;
mod form;
mod hint;
mod java;
mod page;
mod problem;
pub mod properties;
mod sources;
mod update;

pub use file::{replace_file, replace_private_file};
pub use form::{Between, Bytes, Form, HostPort, Hours, Millis, Minutes, Plain, Seconds, Setting};
pub use page::page;
pub use problem::{Origin, Problem, Problems, Severity};
pub use sources::{Sources, environment_name};
pub use update::{Update, UpdateError};

/// When a change of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// At once.
    Live,
    /// At the next start.
    Restart,
}

/// What is known about a key without looking at a value.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// RocketMQ's name.
    pub name: &'static str,
    /// What it does, as written at the field.
    pub doc: &'static str,
    /// Unit of the number, empty when it has none.
    pub unit: &'static str,
    /// When a change takes effect.
    pub change: Change,
}

/// A value that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such key.
    #[error("unknown key {key:?}{}", hint::text(*hint))]
    Unknown {
        /// As given.
        key: String,
        /// The key that was perhaps meant.
        hint: Option<&'static str>,
    },
    /// The key exists, the value does not fit it.
    #[error("{key} is {value:?}, but {reason}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// As given.
        value: String,
        /// What would fit.
        reason: String,
    },
}

/// A struct declared with [`settings!`], seen through its keys.
pub trait Settings {
    /// Every key in the order of declaration.
    fn keys(&self) -> &'static [Key];
    /// The value of a key as text that [`Settings::set`] takes; `None` for an unknown key.
    fn get(&self, key: &str) -> Option<String>;
    /// Whether [`Settings::set`] would take the value.
    fn check(&self, key: &str, text: &str) -> Result<(), Error>;
    /// Sets a value from text. White space around it does not count.
    fn set(&mut self, key: &str, text: &str) -> Result<(), Error>;

    /// All keys and values, `key=value` on a line each: what GET_BROKER_CONFIG and GET_NAMESRV_CONFIG answer.
    fn to_properties_text(&self) -> String {
        let values = self.keys().iter().map(|key| (key.name, self.get(key.name).unwrap_or_default()));
        values.map(|(key, value)| properties::line(key, &value)).collect()
    }
}

/// Used by [`settings!`].
#[doc(hidden)]
pub fn parse<T, F: Form<T>>(key: &'static str, text: &str) -> Result<T, Error> {
    F::parse(text.trim()).map_err(|reason| Error::Invalid { key, value: text.chars().take(200).collect(), reason })
}

/// Used by [`settings!`].
#[doc(hidden)]
pub fn unknown(key: &str, keys: &'static [Key]) -> Error {
    Error::Unknown { key: key.chars().take(200).collect(), hint: hint::closest(key, keys.iter().map(|key| key.name)) }
}
