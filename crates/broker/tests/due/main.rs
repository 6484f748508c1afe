//! Everything that happens later: timers and transactions, through restarts and crashes, in virtual time.

mod help;
mod history;
mod timers;
mod transactions;
