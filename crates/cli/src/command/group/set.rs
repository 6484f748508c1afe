//! `rocketmq group create` and `rocketmq group update`.

use anyhow::Result;
use clap::Args;
use protocol::body::GroupConfig;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::parse;

/// The group and what it shall be. What is not said stays as it is, or as it is by default.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Consumer group.
    #[arg(value_parser = parse::group, add = complete::groups())]
    group: String,
    /// Tries after the first one, before a message becomes a dead letter.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=1000))]
    retries: Option<i32>,
    /// Whether it may consume: on or off.
    #[arg(long, value_name = "ON|OFF", value_parser = parse::switch)]
    consume: Option<bool>,
    /// Whether messages are popped in order, a must for gRPC clients of FIFO topics: on or off.
    #[arg(long, value_name = "ON|OFF", value_parser = parse::switch)]
    fifo: Option<bool>,
    /// Whether its members may each receive everything: on or off.
    #[arg(long, value_name = "ON|OFF", value_parser = parse::switch)]
    broadcast: Option<bool>,
    /// An attribute. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse::pair)]
    attributes: Vec<(String, String)>,
}

impl Arguments {
    fn changes_nothing(&self) -> bool {
        let switches = [self.consume, self.fifo, self.broadcast];
        self.retries.is_none() && switches.iter().all(Option::is_none) && self.attributes.is_empty()
    }

    fn apply(&self, config: &mut GroupConfig) {
        config.group_name.clone_from(&self.group);
        config.retry_max_times = self.retries.unwrap_or(config.retry_max_times);
        config.consume_enable = self.consume.unwrap_or(config.consume_enable);
        config.consume_message_orderly = self.fifo.unwrap_or(config.consume_message_orderly);
        config.consume_broadcast_enable = self.broadcast.unwrap_or(config.consume_broadcast_enable);
        // Changes of attributes are marked: a plus sets one. Source: `AttributeParser.parseToMap`.
        config.attributes = self.attributes.iter().map(|(key, value)| (format!("+{key}"), value.clone())).collect();
    }
}

/// Makes a group at every broker, or changes it where it is.
pub(crate) async fn create(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let masters = admin.masters(None).await?;
    if masters.is_empty() {
        return Err(Failure::NotFound("no broker is registered at the name server".into()).into());
    }
    let mut known = false;
    let mut names = Vec::new();
    for broker in masters {
        let existing = admin.group_configs(&broker.address).await?.remove(&arguments.group);
        known |= existing.is_some();
        let mut config = existing.unwrap_or_default();
        arguments.apply(&mut config);
        admin.create_group(&broker.address, &config).await?;
        names.push(broker.name);
    }
    say(context, &arguments.group, if known { "changed" } else { "created" }, &names)
}

/// Changes a group where it is.
pub(crate) async fn update(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let group = &arguments.group;
    if arguments.changes_nothing() {
        let text = format!("say what to change: rocketmq group update {group} --retries 5");
        return Err(Failure::Usage(text).into());
    }
    let admin = context.admin().await?;
    let mut names = Vec::new();
    for broker in admin.masters(None).await? {
        let Some(mut config) = admin.group_configs(&broker.address).await?.remove(group) else { continue };
        arguments.apply(&mut config);
        admin.create_group(&broker.address, &config).await?;
        names.push(broker.name);
    }
    if names.is_empty() {
        let text = format!("no broker knows the group {group:?}. See \"rocketmq group create\".");
        return Err(Failure::NotFound(text).into());
    }
    say(context, group, "changed", &names)
}

fn say(context: &mut Context, group: &str, done: &str, brokers: &[String]) -> Result<()> {
    if context.common.json {
        context.out.json(&json!({"group": group, "brokers": brokers, "result": done}))?;
    } else {
        context.out.line(format!("{done} group {group:?} at {}", brokers.join(", ")))?;
    }
    Ok(())
}
