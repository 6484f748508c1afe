//! A broker node on remoting: it turns frames into the verbs of [`broker`] and back, keeps name servers informed, and
//! shows metrics.

mod node; // start here
mod settings;

mod code;
mod handler;
mod latency;
mod limits;
mod metrics;
mod service;
mod table;

mod connections;
mod registrar;
mod routes;

pub use self::settings::{BrokerRole, FlushDiskType, Settings};
pub use handler::config::CHANGED_SETTINGS;
pub use node::{Node, StartError};
pub use registrar::{Registration, Registry, RegistryError, Remote};
