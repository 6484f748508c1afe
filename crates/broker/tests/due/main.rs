//! Everything that happens later: timers and transactions, through restarts and crashes, in virtual time.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic where tests may")]

mod help;
mod history;
mod timers;
mod transactions;
