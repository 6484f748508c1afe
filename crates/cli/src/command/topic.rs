//! `rocketmq topic`.

mod create;
mod delete;
mod describe;
mod list;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  rocketmq topic create orders --queues 8
  rocketmq topic list
  rocketmq topic describe orders
  rocketmq topic delete orders --yes";

/// List, make, show and delete topics.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List topics.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Make a topic at every broker, or change it.
    Create(create::Arguments),
    /// Show brokers, queues and groups of a topic.
    Describe(describe::Arguments),
    /// Delete a topic and its messages.
    #[command(visible_alias = "rm")]
    Delete(delete::Arguments),
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => list::run(context, &arguments).await,
        Command::Create(arguments) => create::run(context, arguments).await,
        Command::Describe(arguments) => describe::run(context, &arguments).await,
        Command::Delete(arguments) => delete::run(context, &arguments).await,
    }
}
