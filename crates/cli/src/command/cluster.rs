//! `rocketmq cluster`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::broker::{Examined, examine, rows, shown};
use crate::context::Context;
use crate::output::{self, Rows, count};
use crate::survey;
use crate::watch::Watch;

const EXAMPLES: &str = "\
Examples:
  rocketmq cluster list
  rocketmq cluster status --watch";

/// Look at clusters.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List clusters and what they carry.
    #[command(visible_alias = "ls")]
    List(Arguments),
    /// Show brokers, topics and groups in figures.
    Status(Arguments),
}

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    watch: Watch,
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => arguments.watch.show(context, list).await,
        Command::Status(arguments) => arguments.watch.show(context, status).await,
    }
}

/// What the brokers of one cluster come to.
#[derive(Default)]
struct Sum {
    brokers: BTreeSet<String>,
    processes: usize,
    unreachable: usize,
    in_per_second: f64,
    out_per_second: f64,
}

impl Sum {
    fn add(&mut self, (broker, figures): &Examined) {
        self.brokers.insert(broker.name.clone());
        self.processes += 1;
        match figures {
            Ok(figures) => {
                self.in_per_second += figures.in_per_second().unwrap_or_default();
                self.out_per_second += figures.out_per_second().unwrap_or_default();
            }
            Err(_) => self.unreachable += 1,
        }
    }
}

async fn list(context: &mut Context) -> Result<()> {
    let admin = context.admin().await?;
    let mut clusters: BTreeMap<String, Sum> = BTreeMap::new();
    for examined in &examine(&admin, admin.brokers().await?).await {
        clusters.entry(examined.0.cluster.clone()).or_default().add(examined);
    }
    if context.common.json {
        let shown = clusters.iter().map(|(cluster, sum)| {
            json!({"cluster": cluster, "brokers": sum.brokers, "processes": sum.processes,
                "unreachable": sum.unreachable, "inPerSecond": sum.in_per_second, "outPerSecond": sum.out_per_second})
        });
        context.out.json(&shown.collect::<Vec<_>>())?;
        return Ok(());
    }
    let mut rows = Rows::new(["cluster", "#processes", "#unreachable", "#in/s", "#out/s", "brokers"]);
    for (cluster, sum) in clusters {
        rows.push([
            cluster,
            sum.processes.to_string(),
            sum.unreachable.to_string(),
            output::rate(sum.in_per_second),
            output::rate(sum.out_per_second),
            sum.brokers.into_iter().collect::<Vec<_>>().join(" "),
        ]);
    }
    context.out.table(&rows, "no broker is registered at the name server")?;
    Ok(())
}

async fn status(context: &mut Context) -> Result<()> {
    let client = context.connect().await?;
    let admin = client.admin();
    let brokers = examine(&admin, admin.brokers().await?).await;
    // Of masters that do not answer there is nothing to be known.
    let reachable = brokers.iter().filter(|(broker, figures)| broker.is_master() && figures.is_ok());
    let masters: Vec<_> = reachable.map(|(broker, _)| broker.clone()).collect();
    let topics = survey::topics(&admin, &masters).await?;
    let topics = topics.keys().filter(|topic| !survey::is_internal(topic, &masters)).count();
    let groups = survey::groups(&admin, &masters, false).await?;
    let members: usize = groups.iter().map(|group| group.members.len()).sum();
    let lag: i64 = groups.iter().map(survey::Group::lag).sum();
    if context.common.json {
        let brokers: Vec<_> = brokers.iter().map(shown).collect();
        context.out.json(&json!({"nameServers": client.name_servers(), "brokers": brokers, "topics": topics,
            "groups": groups.len(), "members": members, "lag": lag}))?;
        return Ok(());
    }
    context.out.line(format!("Name servers {}", client.name_servers().join(" ")))?;
    let groups = groups.len();
    context.out.line(format!("topics: {topics}, groups: {groups}, members: {members}, lag: {}", count(lag)))?;
    context.out.line("")?;
    context.out.table(&rows(&brokers), "no broker is registered at the name server")?;
    Ok(())
}
