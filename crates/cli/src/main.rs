//! `rocketmq`: the server in all its roles, and the tool.
//!
//! `args.rs` says what can be typed, `command/` has one file for each command and `role/` one for each server,
//! `output.rs` and `failure.rs` say how answers and errors look.

mod allocator;
mod args; // start here
mod command;
mod complete;
mod context;
mod contexts;
mod failure;
mod figures;
mod home;
mod latency;
mod logging;
mod message;
mod output;
mod parse;
mod role;
mod scan;
mod secret;
mod survey;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::args::Arguments;

fn main() -> ExitCode {
    // Answers a shell and ends, if it is one that asks.
    CompleteEnv::with_factory(Arguments::command).var(complete::VARIABLE).complete();
    allocator::return_memory_at_once();
    let arguments = Arguments::parse();
    let log = logging::start(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&anyhow::Error::new(error).context("start the runtime")),
    };
    let finished = runtime.block_on(command::run(arguments));
    // A thread that waits for a line of standard input cannot be interrupted; it ends with the process.
    runtime.shutdown_background();
    // What was logged comes in front of how it ended.
    drop(log);
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
