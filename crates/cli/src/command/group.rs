//! `rocketmq group`.

mod delete;
mod describe;
mod list;
mod reset;
mod set;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  rocketmq group list
  rocketmq group create billing --retries 5 --fifo on
  rocketmq group describe billing --watch
  rocketmq group reset billing --topic orders --to -1h
  rocketmq group delete billing --yes";

/// List, make, change, show, move and delete consumer groups.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List groups with members and lag.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Make a group at every broker, or change it.
    Create(set::Arguments),
    /// Change a group where it is.
    Update(set::Arguments),
    /// Show members, subscriptions, offsets and lag of a group.
    #[command(visible_alias = "show")]
    Describe(describe::Arguments),
    /// Move a group to another place in a topic.
    Reset(reset::Arguments),
    /// Delete a group and its offsets.
    #[command(visible_alias = "rm")]
    Delete(delete::Arguments),
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => {
            arguments.watch.show(context, async |context| list::run(context, &arguments).await).await
        }
        Command::Create(arguments) => set::create(context, &arguments).await,
        Command::Update(arguments) => set::update(context, &arguments).await,
        Command::Describe(arguments) => {
            arguments.watch.show(context, async |context| describe::run(context, &arguments).await).await
        }
        Command::Reset(arguments) => reset::run(context, &arguments).await,
        Command::Delete(arguments) => delete::run(context, &arguments).await,
    }
}
