//! `rocketmq dlq list`.

use anyhow::Result;
use clap::Args;
use protocol::name::DLQ_PREFIX;
use serde_json::json;

use crate::context::Context;
use crate::output::{self, Rows, count};
use crate::watch::Watch;

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) watch: Watch,
}

pub(crate) async fn run(context: &mut Context) -> Result<()> {
    let admin = context.admin().await?;
    let mut rows = Rows::new(["group", "#messages", "last"]);
    for topic in admin.topics().await? {
        let Some(group) = topic.strip_prefix(DLQ_PREFIX) else { continue };
        let stats = admin.topic_stats(&topic).await?;
        let messages: i64 = stats.offsets.values().map(|queue| queue.max_offset - queue.min_offset).sum();
        let last = stats.offsets.values().map(|queue| queue.last_update_timestamp).max().unwrap_or(0);
        if context.common.json {
            context.out.json(&json!({"group": group, "messages": messages, "last": output::rfc3339(last)}))?;
        } else {
            rows.push([group.to_owned(), count(messages), output::time(last)]);
        }
    }
    if !context.common.json {
        context.out.table(&rows, "no group has dead letters")?;
    }
    Ok(())
}
