//! RocketMQ's gRPC protocol, version 2, over the verbs of a [`broker::Broker`] in the same process, or over the brokers
//! of a cluster.
//!
//! A call is checked, turned into a verb, and its result into messages of the protocol. `backend.rs` is the seam: with
//! the broker here nothing is encoded in between, and to a cluster the same verbs travel over remoting. A refusal is an
//! answer with a status inside, chosen in `status.rs`. Clients speak over the telemetry stream first, to agree on
//! settings, and are members of the broker's sessions like those of any wire.
//!
//! Source: the classes of `org.apache.rocketmq.proxy`, release 5.5.0.

mod connection;
mod proxy_protocol;
mod server; // start here
mod settings;

mod caller;
mod context;
mod service;
mod status;
mod validate;

mod calls;
mod monitor;

mod backend;
mod cluster;
mod local;

mod agree;
mod client;
mod clients;
mod telemetry;

mod convert;
mod encoding;

mod ack;
mod dead_letter;
mod delivery;
mod lite;
mod offset;
mod receive;
mod renew;
mod route;
mod send;
mod settle;
mod transaction;

mod limits;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated, see xtask")]
#[path = "grpc/apache.rocketmq.v2.rs"]
pub mod v2;

pub use self::server::{Advertised, Proxy, StartError};
pub use self::settings::{ClusterSettings, ProxyMode, Settings};
