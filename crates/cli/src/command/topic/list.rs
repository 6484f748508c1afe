//! `rocketmq topic list`.

use anyhow::Result;
use clap::Args;
use client::Admin;
use futures_util::stream::{self, StreamExt};
use protocol::perm;
use serde_json::json;

use crate::context::Context;
use crate::output::{Rows, count};
use crate::survey::{self, AT_ONCE, Topic};
use crate::watch::Watch;

/// Which topics.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only topics whose name contains this.
    text: Option<String>,
    /// Also topics of the system, retry and dead-letter topics.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let masters = admin.masters(None).await?;
    let mut topics = survey::topics(&admin, &masters).await?;
    topics.retain(|name, _| {
        (arguments.all || !survey::is_internal(name, &masters))
            && arguments.text.as_ref().is_none_or(|text| name.contains(text))
    });
    let counted = stream::iter(topics).map(|(name, topic)| messages(&admin, name, topic));
    let counted: Vec<(String, Topic, Option<i64>)> = counted.buffered(AT_ONCE).collect().await;

    if context.common.json {
        let shown = |(name, topic, messages): &(String, Topic, Option<i64>)| {
            json!({
                "topic": name,
                "queues": topic.writeable_queues,
                "readableQueues": topic.readable_queues,
                "perm": perm::text(topic.perm),
                "messages": messages,
                "brokers": topic.brokers,
                "attributes": topic.attributes,
            })
        };
        context.out.json(&counted.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(());
    }
    let mut rows = Rows::new(["topic", "#queues", "perm", "#messages", "brokers"]);
    for (name, topic, messages) in counted {
        let brokers = if topic.brokers.is_empty() { "none".into() } else { topic.brokers.join(" ") };
        rows.push([
            name,
            topic.writeable_queues.to_string(),
            perm::text(topic.perm),
            messages.map_or("-".into(), count),
            brokers,
        ]);
    }
    context.out.table(&rows, "no topics; make one with \"rocketmq topic create\"")?;
    Ok(())
}

/// How many messages there are, where a broker can tell.
async fn messages(admin: &Admin, name: String, topic: Topic) -> (String, Topic, Option<i64>) {
    let stats = admin.topic_stats(&name).await.ok();
    let messages = stats.map(|stats| stats.offsets.values().map(|queue| queue.max_offset - queue.min_offset).sum());
    (name, topic, messages)
}
