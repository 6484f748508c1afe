//! `rocketmq dlq show`.

use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;
use client::Start;

use super::{origin, topic_of};
use crate::complete;
use crate::context::Context;
use crate::message::Shown;
use crate::output::{self, Rows, count};
use crate::parse;
use crate::scan::scan;

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Consumer group.
    #[arg(add = complete::groups())]
    group: String,
    /// Since then: beginning, -10m or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = parse::start, allow_hyphen_values = true)]
    #[arg(default_value = "beginning")]
    from: Start,
    /// At most so many.
    #[arg(long, value_name = "N", default_value = "100")]
    count: usize,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let client = context.connect().await?;
    let topic = topic_of(&client.admin(), &arguments.group).await?;
    let mut rows = Rows::new(["id", "stored", "from topic", "#tries", "tag", "keys", "#bytes"]);
    let mut seen = 0;
    let shown = scan(&client, &topic, arguments.from, |message| {
        if seen == arguments.count || context.stop.is_cancelled() {
            return Ok(ControlFlow::Break(()));
        }
        seen += 1;
        if context.common.json {
            context.out.json(&Shown::new(message))?;
        } else {
            rows.push([
                message.id(),
                output::time(message.stored_ms),
                origin(message).unwrap_or("-").to_owned(),
                message.reconsume_times.to_string(),
                message.tag().unwrap_or("-").to_owned(),
                message.keys().collect::<Vec<_>>().join(" "),
                count(message.body.len() as i64),
            ]);
        }
        Ok(ControlFlow::Continue(()))
    });
    shown.await?;
    client.close().await;
    if !context.common.json {
        context.out.table(&rows, &format!("group {:?} has no dead letters since then", arguments.group))?;
    }
    Ok(())
}
