//! `rocketmq topic create`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use client::{Admin, Broker, Error};
use protocol::body::TopicConfig;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::parse;

const EXAMPLES: &str = "\
Examples:
  rocketmq topic create orders --queues 8
  rocketmq topic create payments --attribute message.type=FIFO
  rocketmq topic create archive --perm r               Close a topic to producers

Each broker gets so many queues. A topic that exists is changed.";

/// How often the name server is asked for a topic just made.
const LOOKS: u32 = 30;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What the topic shall be.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Name: letters, digits, % | _ -
    #[arg(value_parser = parse::topic)]
    topic: String,
    /// Queues at each broker.
    #[arg(long, short, value_name = "N", default_value = "8", value_parser = clap::value_parser!(i32).range(1..=65536))]
    queues: i32,
    /// What clients may do: r, w or rw.
    #[arg(long, value_name = "PERM", default_value = "rw", value_parser = parse::permission)]
    perm: i32,
    /// An attribute, such as message.type=FIFO, DELAY, TRANSACTION. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse::pair)]
    attributes: Vec<(String, String)>,
    /// Only at the brokers of this cluster.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only at this broker.
    #[arg(long, value_name = "NAME", add = complete::brokers())]
    broker: Option<String>,
}

pub(crate) async fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let brokers = brokers(&admin, &arguments).await?;
    let config = TopicConfig {
        perm: arguments.perm,
        attributes: arguments.attributes.into_iter().collect(),
        ..TopicConfig::new(&arguments.topic, arguments.queues)
    };
    let mut changed = false;
    for broker in &brokers {
        changed |= admin.topic_config(&broker.address, &config.topic_name).await?.is_some();
        admin.create_topic(&broker.address, &config).await?;
    }
    wait_for_route(&admin, &config.topic_name).await?;

    let names: Vec<&str> = brokers.iter().map(|broker| broker.name.as_str()).collect();
    let (topic, queues, done) = (&config.topic_name, arguments.queues, if changed { "changed" } else { "created" });
    if context.common.json {
        let answer = json!({"topic": topic, "queues": queues, "brokers": names, "result": done});
        context.out.json(&answer)?;
    } else {
        let brokers = names.join(", ");
        context.out.line(format!("{done} topic {topic:?} with {queues} queues at {brokers}"))?;
    }
    Ok(())
}

async fn brokers(admin: &Admin, arguments: &Arguments) -> Result<Vec<Broker>> {
    let mut brokers = admin.masters(arguments.cluster.as_deref()).await?;
    brokers.retain(|broker| arguments.broker.as_ref().is_none_or(|name| *name == broker.name));
    if brokers.is_empty() {
        let text = match (&arguments.broker, &arguments.cluster) {
            (Some(name), _) => format!("no master broker {name:?} is registered"),
            (None, Some(name)) => format!("no master broker of cluster {name:?} is registered"),
            (None, None) => "no broker is registered at the name server".into(),
        };
        return Err(Failure::NotFound(text).into());
    }
    Ok(brokers)
}

/// A broker tells the name servers in its own time; the next command should find the topic.
async fn wait_for_route(admin: &Admin, topic: &str) -> Result<()> {
    for _ in 0..LOOKS {
        match admin.route(topic).await {
            Err(Error::UnknownTopic(_)) => tokio::time::sleep(LOOK_PAUSE).await,
            other => return Ok(other.map(drop)?),
        }
    }
    tracing::warn!(topic, "the brokers have the topic, the name server does not know it yet");
    Ok(())
}
