//! `rocketmq topic describe`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use protocol::body::{TopicRoute, TopicStats};
use protocol::perm;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::output::{self, Rows, count};
use crate::survey::{self, AT_ONCE, Group};
use crate::watch::Watch;

/// Which topic.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Topic.
    #[arg(add = complete::topics())]
    topic: String,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let topic = arguments.topic.as_str();
    let admin = context.admin().await?;
    let route = admin.route(topic).await?;
    let masters = admin.masters(None).await?;
    let stats = admin.topic_stats(topic).await?;
    let mut attributes = BTreeMap::new();
    for broker in &masters {
        attributes.extend(admin.topic_config(&broker.address, topic).await?.unwrap_or_default().attributes);
    }
    let groups = admin.topic_groups(topic).await?;
    let groups = stream::iter(&groups).map(|name| survey::group(&admin, &masters, name, Some(topic)));
    let groups: Vec<Group> = groups.buffered(AT_ONCE).try_collect().await?;

    if context.common.json {
        return show_json(context, topic, &route, &attributes, &stats, &groups);
    }
    context.out.line(format!("Topic {topic}"))?;
    for (name, value) in &attributes {
        context.out.line(format!("Attribute {name}={value}"))?;
    }
    context.out.line("")?;
    context.out.table(&brokers(&route), "no broker")?;
    context.out.line("")?;
    context.out.table(&queues(&stats), "no queues")?;
    context.out.line("")?;
    context.out.table(&consumers(&groups), "no group consumes this topic")?;
    Ok(())
}

fn brokers(route: &TopicRoute) -> Rows {
    let mut rows = Rows::new(["broker", "cluster", "#queues", "perm", "addresses"]);
    for queues in &route.queue_datas {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name);
        let Some(broker) = broker else { continue };
        let addresses: Vec<&str> = broker.broker_addrs.values().map(String::as_str).collect();
        let number = if queues.read_queue_nums == queues.write_queue_nums {
            queues.write_queue_nums.to_string()
        } else {
            format!("{} read, {} write", queues.read_queue_nums, queues.write_queue_nums)
        };
        let perm = perm::text(queues.perm);
        rows.push([broker.broker_name.clone(), broker.cluster.clone(), number, perm, addresses.join(" ")]);
    }
    rows
}

fn queues(stats: &TopicStats) -> Rows {
    let mut rows = Rows::new(["broker", "#queue", "#from", "#to", "#messages", "last stored"]);
    for (queue, offsets) in &stats.offsets {
        rows.push([
            queue.broker_name.clone(),
            queue.queue_id.to_string(),
            count(offsets.min_offset),
            count(offsets.max_offset),
            count(offsets.max_offset - offsets.min_offset),
            output::time(offsets.last_update_timestamp),
        ]);
    }
    rows
}

fn consumers(groups: &[Group]) -> Rows {
    let mut rows = Rows::new(["group", "#members", "#lag"]);
    for group in groups {
        rows.push([group.name.clone(), group.members.len().to_string(), count(group.lag())]);
    }
    rows
}

fn show_json(
    context: &mut Context,
    topic: &str,
    route: &TopicRoute,
    attributes: &BTreeMap<String, String>,
    stats: &TopicStats,
    groups: &[Group],
) -> Result<()> {
    let queues = stats.offsets.iter().map(|(queue, offsets)| {
        json!({
            "broker": queue.broker_name,
            "queue": queue.queue_id,
            "minOffset": offsets.min_offset,
            "maxOffset": offsets.max_offset,
            "lastStored": output::rfc3339(offsets.last_update_timestamp),
        })
    });
    let groups =
        groups.iter().map(|group| json!({"group": group.name, "members": group.members.len(), "lag": group.lag()}));
    context.out.json(&json!({
        "topic": topic,
        "attributes": attributes,
        "brokers": route.broker_datas,
        "permissions": route.queue_datas,
        "queues": queues.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
    }))?;
    Ok(())
}
