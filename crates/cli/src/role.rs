//! Roles: what the binary can be while it runs.

mod broker;
mod namesrv;
mod notify;
mod proxy;
mod registry;
mod server;
mod start;

pub(crate) use broker::BrokerArgs;
pub(crate) use namesrv::NamesrvArgs;
pub(crate) use proxy::ProxyArgs;
pub(crate) use server::{OwnSettings, ServerArgs};
