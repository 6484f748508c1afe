//! POP through restarts and crashes, in virtual time.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic where tests may")]

#[allow(dead_code, reason = "shared with the tests of timers and transactions")]
#[path = "../due/help.rs"]
mod help;

mod history;
mod lives;
mod order;
mod popping;
mod verbs;
mod waiting;
