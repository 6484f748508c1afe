//! `rocketmq message`.

use anyhow::Result;
use clap::{Args, Subcommand};
use client::{Received, Start};
use jiff::Timestamp;

use super::trace::{self, Trace};
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::message::{Shown, describe, table};
use crate::parse;

const EXAMPLES: &str = "\
Examples:
  rocketmq message get --topic orders 7F00000100007D46DD3796E2656B30000
  rocketmq message query --topic orders --key 4711 --from -1h
  rocketmq message trace 7F00000100007D46DD3796E2656B30000";

/// Look messages up.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show one message by its id, the unique one or the one of its place.
    #[command(visible_alias = "show")]
    Get(Get),
    /// List messages with a key.
    Query(Query),
    /// Show who sent and who consumed a message, as tracing clients tell it.
    Trace(Trace),
}

/// Which message.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The id, as producers and consumers show it.
    id: String,
    /// Its topic.
    #[arg(long, short, add = complete::topics())]
    topic: String,
}

/// Which messages.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The topic.
    #[arg(long, short, add = complete::topics())]
    topic: String,
    /// The key.
    #[arg(long, short)]
    key: String,
    /// Stored since then: beginning, -10m or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = parse::start, allow_hyphen_values = true)]
    #[arg(default_value = "beginning")]
    from: Start,
    /// At most so many from each broker.
    #[arg(long, value_name = "N", default_value = "64")]
    count: i32,
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Get(arguments) => get(context, &arguments).await,
        Command::Query(arguments) => query(context, &arguments).await,
        Command::Trace(arguments) => trace::run(context, &arguments).await,
    }
}

async fn get(context: &mut Context, arguments: &Get) -> Result<()> {
    let admin = context.admin().await?;
    let mut found: Vec<Received> = admin.query_by_id(&arguments.topic, &arguments.id).await?;
    if found.is_empty() && protocol::id::parse_offset_id(&arguments.id).is_some() {
        found.extend(admin.view_message(&arguments.topic, &arguments.id).await?);
    }
    if found.is_empty() {
        let (id, topic) = (&arguments.id, &arguments.topic);
        return Err(Failure::NotFound(format!("topic {topic:?} has no message with id {id}")).into());
    }
    for message in &found {
        if context.common.json {
            context.out.json(&Shown::new(message))?;
        } else {
            context.out.line(describe(message).join("\n"))?;
        }
    }
    Ok(())
}

async fn query(context: &mut Context, arguments: &Query) -> Result<()> {
    let begin = match arguments.from {
        Start::First => 0,
        Start::AtMs(ms) => ms,
        Start::Last => Timestamp::now().as_millisecond(),
    };
    let admin = context.admin().await?;
    let found = admin.query_by_key(&arguments.topic, &arguments.key, (begin, i64::MAX), arguments.count).await?;
    if context.common.json {
        for message in &found {
            context.out.json(&Shown::new(message))?;
        }
        return Ok(());
    }
    let nothing = format!("no message of {:?} has the key {:?}", arguments.topic, arguments.key);
    context.out.table(&table(&found), &nothing)?;
    Ok(())
}
