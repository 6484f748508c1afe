//! `rocketmq dlq`: messages that a group gave up.

mod list;
mod replay;
mod show;

use anyhow::Result;
use clap::Subcommand;
use client::Received;
use protocol::name;
use protocol::properties::{DLQ_ORIGIN_TOPIC, RETRY_TOPIC};

use crate::context::Context;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  rocketmq dlq list
  rocketmq dlq show billing --from -24h
  rocketmq dlq replay billing --dry-run
  rocketmq dlq replay billing --rate 50 --yes";

/// List and show dead letters, and send them again.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List groups with dead letters.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Show the dead letters of a group.
    Show(show::Arguments),
    /// Send dead letters of a group again, to the topics they came from.
    Replay(replay::Arguments),
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => arguments.watch.show(context, list::run).await,
        Command::Show(arguments) => show::run(context, &arguments).await,
        Command::Replay(arguments) => replay::run(context, &arguments).await,
    }
}

/// The topic a dead letter was for, when it says so.
fn origin(message: &Received) -> Option<&str> {
    message.property(DLQ_ORIGIN_TOPIC).or_else(|| message.property(RETRY_TOPIC))
}

/// The topic of a group's dead letters, which is there only once there is one.
async fn topic_of(admin: &client::Admin, group: &str) -> Result<String> {
    let topic = name::dlq_topic(group);
    match admin.route(&topic).await {
        Ok(_) => Ok(topic),
        Err(client::Error::UnknownTopic(_)) => {
            let text = format!("group {group:?} has no dead letters. See \"rocketmq dlq list\".");
            Err(Failure::NotFound(text).into())
        }
        Err(error) => Err(error.into()),
    }
}
