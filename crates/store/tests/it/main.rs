//! What the store promises.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod basics;
mod crash;
mod disk;
mod help;
mod java;
mod keys;
mod queues;
mod replay;
mod retention;
