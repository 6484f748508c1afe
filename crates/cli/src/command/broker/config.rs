//! `rocketmq broker config`: settings of running brokers.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::chosen;
use crate::command::confirm;
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Rows;
use crate::parse;

const EXAMPLES: &str = "\
Examples:
  rocketmq broker config get
  rocketmq broker config get flushDiskType fileReservedTime --broker broker-a
  rocketmq broker config set maxMessageSize=8388608 --broker broker-a";

/// Show and change settings of running brokers.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show settings.
    Get(Get),
    /// Change settings: each broker takes all of them or none.
    Set(Set),
}

/// Which settings.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Keys; without any, all. See "rocketmq config keys" for what they mean.
    keys: Vec<String>,
    /// Only of the broker of this name or address.
    #[arg(long, value_name = "NAME", add = complete::brokers())]
    broker: Option<String>,
}

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Keys and their new values.
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse::pair)]
    changes: Vec<(String, String)>,
    /// The broker of this name or address; without it all brokers, after a question.
    #[arg(long, value_name = "NAME", add = complete::brokers())]
    broker: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Get(arguments) => get(context, &arguments).await,
        Command::Set(arguments) => set(context, &arguments).await,
    }
}

async fn get(context: &mut Context, arguments: &Get) -> Result<()> {
    let admin = context.admin().await?;
    let mut rows = Rows::new(["broker", "key", "value"]);
    for broker in chosen(&admin, arguments.broker.as_deref()).await? {
        let mut settings = admin.broker_config(&broker.address).await?;
        if let Some(missing) = arguments.keys.iter().find(|key| !settings.contains_key(*key)) {
            let text = format!("broker {:?} has no setting {missing:?}. See \"rocketmq config keys\".", broker.name);
            return Err(Failure::NotFound(text).into());
        }
        settings.retain(|key, _| arguments.keys.is_empty() || arguments.keys.contains(key));
        if context.common.json {
            context.out.json(&json!({"broker": broker.name, "id": broker.id, "settings": settings}))?;
        } else {
            settings.into_iter().for_each(|(key, value)| rows.push([broker.name.clone(), key, value]));
        }
    }
    if !context.common.json {
        context.out.table(&rows, "no settings")?;
    }
    Ok(())
}

async fn set(context: &mut Context, arguments: &Set) -> Result<()> {
    let admin = context.admin().await?;
    let brokers = chosen(&admin, arguments.broker.as_deref()).await?;
    let changes: Vec<(&str, &str)> =
        arguments.changes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    if arguments.broker.is_none() {
        confirm(arguments.yes, &format!("Change {} at all brokers, {} of them?", keys(&changes), brokers.len()))?;
    }
    for broker in &brokers {
        let remark = admin.update_broker_config(&broker.address, &changes).await?;
        let remark = remark.filter(|remark| !remark.trim().is_empty());
        if context.common.json {
            let note = remark.as_deref();
            context.out.json(&json!({"broker": broker.name, "id": broker.id, "result": "changed", "note": note}))?;
        } else {
            let note = remark.map(|remark| format!(": {remark}")).unwrap_or_default();
            context.out.line(format!("changed {} at {}{note}", keys(&changes), broker.name))?;
        }
        // What was done at one broker is told, even if the next one fails.
        context.out.flush()?;
    }
    Ok(())
}

fn keys(changes: &[(&str, &str)]) -> String {
    changes.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ")
}
