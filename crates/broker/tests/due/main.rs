//! Everything that happens later: timers, transactions and lite topics, through restarts and crashes, in virtual time.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic where tests may")]

mod help;
mod history;
mod lite;
mod model;
mod timers;
mod transactions;
