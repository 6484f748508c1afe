//! What a gRPC client sees of a broker.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod help;

mod bounds;
mod clients;
mod cluster;
mod listener;
mod lite;
mod offsets;
mod receiving;
mod sending;
mod transactions;
