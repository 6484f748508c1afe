//! POP through restarts and crashes, in virtual time.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic where tests may")]

#[allow(dead_code, reason = "shared with the tests of timers and transactions")]
#[path = "../due/help.rs"]
mod help;

#[path = "../due/model.rs"]
mod later;

mod history;
mod lives;
mod mixed;
mod model;
mod order;
mod popping;
mod verbs;
mod waiting;
