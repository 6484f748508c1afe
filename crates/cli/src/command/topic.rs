//! `rocketmq topic`.

mod create;
mod delete;
mod describe;
mod list;
mod update;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  rocketmq topic create orders --queues 8
  rocketmq topic list
  rocketmq topic update orders --queues 16
  rocketmq topic describe orders --watch
  rocketmq topic delete orders --yes";

/// List, make, change, show and delete topics.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List topics.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Make a topic at every broker, or change it.
    Create(create::Arguments),
    /// Change a topic where it is.
    Update(update::Arguments),
    /// Show brokers, queues and groups of a topic.
    #[command(visible_alias = "show")]
    Describe(describe::Arguments),
    /// Delete a topic and its messages.
    #[command(visible_alias = "rm")]
    Delete(delete::Arguments),
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => {
            arguments.watch.show(context, async |context| list::run(context, &arguments).await).await
        }
        Command::Create(arguments) => create::run(context, arguments).await,
        Command::Update(arguments) => update::run(context, arguments).await,
        Command::Describe(arguments) => {
            arguments.watch.show(context, async |context| describe::run(context, &arguments).await).await
        }
        Command::Delete(arguments) => delete::run(context, &arguments).await,
    }
}
