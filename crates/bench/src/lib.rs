//! A load program for any RocketMQ server, ours or Java's, and what it measured.
//!
//! It speaks only the remoting protocol and knows nothing of the server behind it. Requests are encoded once and
//! patched in place, answers are scanned and not parsed, and a thread serves all its connections from one loop: the
//! program must never be what limits the figures it prints, so it prints its own CPU time as well.

mod command; // start here
mod engine;
mod pace;
mod run;

mod clock;
mod record;
mod scan;
mod template;

mod args;
mod control;
mod error;
mod process;
mod report;

pub use command::BenchArgs;
pub use error::Error;
