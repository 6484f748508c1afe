//! `rocketmq topic delete`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::command::confirm;
use crate::complete;
use crate::context::Context;

/// Which topic.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Topic.
    #[arg(add = complete::topics())]
    topic: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let topic = arguments.topic.as_str();
    let admin = context.admin().await?;
    admin.route(topic).await?;
    confirm(arguments.yes, &format!("Delete topic {topic:?} and all its messages?"))?;
    admin.delete_topic(topic).await?;
    if context.common.json {
        context.out.json(&json!({"topic": topic, "result": "deleted"}))?;
    } else {
        context.out.line(format!("deleted topic {topic:?}"))?;
    }
    Ok(())
}
