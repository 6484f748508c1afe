//! Handlers: decode a request, call a verb of the broker, encode the answer. One file per subject.

pub(crate) mod assignment;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod group;
pub(crate) mod lite;
pub(crate) mod message;
pub(crate) mod offset;
pub(crate) mod page;
pub(crate) mod pop;
pub(crate) mod pull;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod reset;
pub(crate) mod send;
pub(crate) mod stats;
pub(crate) mod topic;
pub(crate) mod transaction;
