//! `rocketmq group`.

mod delete;
mod describe;
mod list;
mod reset;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  rocketmq group list
  rocketmq group describe billing
  rocketmq group reset billing --topic orders --to -1h
  rocketmq group delete billing --yes";

/// List, show, move and delete consumer groups.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List groups with members and lag.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Show members, subscriptions, offsets and lag of a group.
    Describe(describe::Arguments),
    /// Move a group to another place in a topic.
    Reset(reset::Arguments),
    /// Delete a group and its offsets.
    #[command(visible_alias = "rm")]
    Delete(delete::Arguments),
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => list::run(context, &arguments).await,
        Command::Describe(arguments) => describe::run(context, &arguments).await,
        Command::Reset(arguments) => reset::run(context, &arguments).await,
        Command::Delete(arguments) => delete::run(context, &arguments).await,
    }
}
