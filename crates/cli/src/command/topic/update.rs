//! `rocketmq topic update`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::parse;

const EXAMPLES: &str = "\
Examples:
  rocketmq topic update orders --queues 16
  rocketmq topic update archive --perm r               Close a topic to producers

What is not said stays as it is. Fewer queues hide the messages of those that go.";

/// What to change.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("change").args(["queues", "perm", "attributes"]).required(true).multiple(true)))]
pub(crate) struct Arguments {
    /// Topic.
    #[arg(add = complete::topics())]
    topic: String,
    /// Queues at each broker.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=65536))]
    queues: Option<i32>,
    /// What clients may do: r, w or rw.
    #[arg(long, value_name = "PERM", value_parser = parse::permission)]
    perm: Option<i32>,
    /// An attribute, such as message.type=FIFO. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse::pair)]
    attributes: Vec<(String, String)>,
    /// Only at this broker.
    #[arg(long, value_name = "NAME", add = complete::brokers())]
    broker: Option<String>,
}

pub(crate) async fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let admin = context.admin().await?;
    admin.route(&arguments.topic).await?;
    let mut names = Vec::new();
    for broker in admin.masters(None).await? {
        if arguments.broker.as_ref().is_some_and(|name| *name != broker.name) {
            continue;
        }
        let Some(mut config) = admin.topic_config(&broker.address, &arguments.topic).await? else { continue };
        if let Some(queues) = arguments.queues {
            (config.read_queue_nums, config.write_queue_nums) = (queues, queues);
        }
        config.perm = arguments.perm.unwrap_or(config.perm);
        // They are set in addition to those it has.
        config.attributes = arguments.attributes.iter().cloned().collect();
        admin.create_topic(&broker.address, &config).await?;
        names.push(broker.name);
    }
    let topic = &arguments.topic;
    if names.is_empty() {
        let text = match &arguments.broker {
            Some(broker) => format!("broker {broker:?} has no topic {topic:?}"),
            None => format!("no broker that answers has the topic {topic:?}"),
        };
        return Err(Failure::NotFound(text).into());
    }
    if context.common.json {
        context.out.json(&json!({"topic": topic, "brokers": names, "result": "changed"}))?;
    } else {
        context.out.line(format!("changed topic {topic:?} at {}", names.join(", ")))?;
    }
    Ok(())
}
