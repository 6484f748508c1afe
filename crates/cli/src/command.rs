//! One file for each command.

pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod context;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod man;
pub(crate) mod message;
pub(crate) mod produce;
pub(crate) mod timer;
pub(crate) mod top;
pub(crate) mod topic;
pub(crate) mod trace;
pub(crate) mod transaction;

use std::io::{BufRead, IsTerminal, Write};
use std::process::exit;

use anyhow::Result;
use client::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::args::{Arguments, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::role;

/// Exit status of a process that a signal ended: 128 and its number.
const INTERRUPTED: i32 = 130;

/// Carries out what was typed.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = CancellationToken::new();
    tokio::spawn(watch_signals(stop.clone()));
    if arguments.command.is_role() && arguments.common.context.is_some() {
        let text = "a server knows no contexts: name its name servers with --namesrv or namesrvAddr";
        return Err(Failure::Usage(text.into()).into());
    }
    let mut context = Context { common: arguments.common, out: Output::new(), stop: stop.clone() };
    let finished = match arguments.command {
        // These end by themselves, with a summary.
        Command::Produce(arguments) => produce::run(&mut context, arguments).await,
        Command::Consume(arguments) => consume::run(&mut context, arguments).await,
        // Leaves the terminal as it was.
        Command::Top(arguments) => top::run(&mut context, arguments).await,
        Command::Dlq(command) => dlq::run(&mut context, command).await,
        Command::Server(arguments) => arguments.run(&stop).await,
        Command::Broker(arguments) if arguments.command.is_none() => {
            arguments.run(context.common.namesrv.take(), &stop).await
        }
        Command::Namesrv(arguments) => arguments.run(&stop).await,
        Command::Proxy(arguments) => arguments.run(context.common.namesrv.take(), &stop).await,
        // Has threads of its own and ends by itself.
        Command::Bench(arguments) => {
            // One name server is enough for it, and any of them will do.
            let Config { name_servers, credentials, .. } = context.config()?;
            if credentials.is_some() {
                warn!("bench does not sign its requests, a cluster that checks credentials refuses them");
            }
            let arguments = match name_servers.first() {
                Some(at) => arguments.by_default_at(at),
                None => arguments,
            };
            Ok(tokio::task::block_in_place(|| arguments.run())?)
        }
        // The others are dropped where they are.
        question => tokio::select! {
            answered = answer(&mut context, question) => answered,
            () = stop.cancelled() => exit(INTERRUPTED),
        },
    };
    context.out.flush()?;
    finished
}

async fn answer(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Topic(command) => topic::run(context, command).await,
        Command::Group(command) => group::run(context, command).await,
        Command::Broker(role::BrokerArgs { command: Some(command), .. }) => broker::run(context, command).await,
        Command::Cluster(command) => cluster::run(context, command).await,
        Command::Message(command) => message::run(context, command).await,
        Command::Timer(command) => timer::run(context, command).await,
        Command::Transaction(command) => transaction::run(context, command).await,
        Command::Doctor(arguments) => arguments.watch.show(context, doctor::run).await,
        Command::Config(command) => config::run(context, command),
        Command::Context(command) => context::run(context, command),
        Command::Completions(arguments) => completions::run(context, arguments),
        Command::Man(arguments) => man::run(context, &arguments),
        Command::Produce(_) | Command::Consume(_) | Command::Top(_) | Command::Dlq(_) => unreachable!("handled before"),
        Command::Server(_) | Command::Broker(_) | Command::Namesrv(_) | Command::Proxy(_) | Command::Bench(_) => {
            unreachable!("handled before")
        }
    }
}

/// The first Ctrl-C or SIGTERM asks to stop, the second one does not ask.
async fn watch_signals(stop: CancellationToken) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    loop {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
            _ = terminate.recv() => {}
        }
        if stop.is_cancelled() {
            exit(INTERRUPTED);
        }
        stop.cancel();
    }
}

/// Asks a person before something is deleted; a program must have said `--yes`.
fn confirm(yes: bool, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    let (input, mut output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() {
        return Err(Failure::Usage(format!("{question} Say --yes to do it without being asked.")).into());
    }
    write!(output, "{question} [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(anyhow::anyhow!("nothing was changed")),
    }
}
