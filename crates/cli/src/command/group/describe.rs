//! `rocketmq group describe`.

use anyhow::Result;
use clap::Args;
use protocol::body::{GroupConfig, MessageModel};
use protocol::name::RETRY_PREFIX;
use protocol::peer::version_name;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Rows, count};
use crate::survey::{self, Group};
use crate::watch::Watch;

/// Which group.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Consumer group.
    #[arg(add = complete::groups())]
    group: String,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let masters = admin.masters(None).await?;
    let mut settings: Option<GroupConfig> = None;
    for broker in &masters {
        settings = settings.or(admin.group_configs(&broker.address).await?.remove(&arguments.group));
    }
    let group = survey::group(&admin, &masters, &arguments.group, None).await?;
    if settings.is_none() && group.connection.is_none() {
        let text = format!("no broker knows the group {:?}. See \"rocketmq group list\".", arguments.group);
        return Err(Failure::NotFound(text).into());
    }
    let settings = settings.unwrap_or_default();
    if context.common.json {
        return show_json(context, &group, &settings);
    }
    let lag = count(group.lag());
    context.out.line(format!("Group {}, {} members, lag {lag}", group.name, group.members.len()))?;
    for note in notes(&group, &settings) {
        context.out.line(note)?;
    }
    context.out.line("")?;
    context.out.table(&members(&group), "no member is online")?;
    context.out.line("")?;
    context.out.table(&subscriptions(&group), "no subscriptions")?;
    context.out.line("")?;
    context.out.table(&offsets(&group), "no offsets")?;
    Ok(())
}

/// Settings that differ from what people expect.
fn notes(group: &Group, settings: &GroupConfig) -> Vec<String> {
    let mut notes = Vec::new();
    if !settings.consume_enable {
        notes.push("Consuming is switched off for this group (consumeEnable=false).".into());
    }
    if let Some(connection) = &group.connection {
        if connection.message_model == MessageModel::Broadcasting {
            notes.push("Every member receives everything (broadcasting): brokers keep no offsets.".into());
        }
        if let Some(start) = &connection.consume_from_where {
            notes.push(format!("New queues: {start}."));
        }
    }
    notes.push(format!(
        "A message is tried {} times, then it goes to %DLQ%{}.",
        settings.retry_max_times + 1,
        group.name
    ));
    notes
}

fn members(group: &Group) -> Rows {
    let mut rows = Rows::new(["member", "address", "language", "version"]);
    for member in group.members.values() {
        let language = member.language.name().unwrap_or("?").to_owned();
        rows.push([member.client_id.clone(), member.client_addr.clone(), language, version_name(member.version)]);
    }
    rows
}

fn subscriptions(group: &Group) -> Rows {
    let mut rows = Rows::new(["topic", "kind", "expression"]);
    for (topic, subscription) in group.connection.iter().flat_map(|connection| &connection.subscription_table) {
        if !topic.starts_with(RETRY_PREFIX) {
            let kind = subscription.expression_type.clone().unwrap_or_else(|| "TAG".into());
            rows.push([topic.clone(), kind, subscription.sub_string.clone()]);
        }
    }
    rows
}

fn offsets(group: &Group) -> Rows {
    let mut rows = Rows::new(["topic", "broker", "#queue", "#offset", "#end", "#lag", "last consumed"]);
    for (queue, offsets) in &group.offsets {
        rows.push([
            queue.topic.clone(),
            queue.broker_name.clone(),
            queue.queue_id.to_string(),
            count(offsets.consumer_offset),
            count(offsets.broker_offset),
            count(survey::lag(offsets)),
            output::time(offsets.last_timestamp),
        ]);
    }
    rows
}

fn show_json(context: &mut Context, group: &Group, settings: &GroupConfig) -> Result<()> {
    let offsets = group.offsets.iter().map(|(queue, offsets)| {
        json!({
            "topic": queue.topic,
            "broker": queue.broker_name,
            "queue": queue.queue_id,
            "offset": offsets.consumer_offset,
            "end": offsets.broker_offset,
            "lag": survey::lag(offsets),
            "lastConsumed": output::rfc3339(offsets.last_timestamp),
        })
    });
    context.out.json(&json!({
        "group": group.name,
        "lag": group.lag(),
        "members": group.members.values().collect::<Vec<_>>(),
        "subscriptions": group.connection.as_ref().map(|connection| &connection.subscription_table),
        "offsets": offsets.collect::<Vec<_>>(),
        "settings": settings,
    }))?;
    Ok(())
}
