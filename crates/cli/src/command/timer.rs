//! `rocketmq timer`: messages that wait for a time of their own.

use std::collections::HashMap;
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use client::{Client, Received, Start};
use jiff::Timestamp;
use protocol::name::TIMER_TOPIC;
use protocol::properties::{REAL_TOPIC, TIMER_DELETE_UNIQUE_KEY, TIMER_OUT_MS};
use protocol::recall::RecallHandle;
use serde_json::json;

use super::confirm;
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Rows};
use crate::scan::scan;
use crate::watch::Watch;

const EXAMPLES: &str = "\
Examples:
  rocketmq timer list --topic orders
  rocketmq timer cancel --topic orders 7F00000100007D46DD3796E2656B30000

Both read the whole timer topic of every broker. Messages of the 18 delay levels are not timers.";

/// Most timers that are looked at: each is held in memory until all are known.
const TIMERS_MAX: usize = 1_000_000;

/// List and cancel messages that wait for a time of their own.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List the messages that wait, the next one first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Cancel a message before its time; brokers must allow it (recallMessageEnable).
    Cancel(Cancel),
}

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those for this topic.
    #[arg(long, short, add = complete::topics())]
    topic: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value = "100")]
    count: usize,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// Which one.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Its unique id.
    id: String,
    /// The topic it is for.
    #[arg(long, short, add = complete::topics())]
    topic: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Timer {
    due_ms: i64,
    topic: String,
    broker: String,
    stored_ms: i64,
    keys: String,
    bytes: usize,
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => {
            arguments.watch.show(context, async |context| list(context, &arguments).await).await
        }
        Command::Cancel(arguments) => cancel(context, &arguments).await,
    }
}

async fn list(context: &mut Context, arguments: &List) -> Result<()> {
    let client = context.connect().await?;
    let mut timers: Vec<(String, Timer)> = waiting(&client).await?.into_iter().collect();
    client.close().await;
    timers.retain(|(_, timer)| arguments.topic.as_ref().is_none_or(|topic| *topic == timer.topic));
    timers.sort_unstable_by(|(one, a), (other, b)| (a.due_ms, one).cmp(&(b.due_ms, other)));
    timers.truncate(arguments.count);
    let mut rows = Rows::new(["id", "due", "topic", "broker", "keys", "#bytes"]);
    for (id, timer) in timers {
        if context.common.json {
            let (due, stored) = (output::rfc3339(timer.due_ms), output::rfc3339(timer.stored_ms));
            context.out.json(&json!({"id": id, "due": due, "topic": timer.topic, "broker": timer.broker,
                "stored": stored, "keys": timer.keys, "bytes": timer.bytes}))?;
        } else {
            let bytes = output::count(timer.bytes as i64);
            rows.push([id, output::time(timer.due_ms), timer.topic, timer.broker, timer.keys, bytes]);
        }
    }
    if !context.common.json {
        context.out.table(&rows, "no message waits for its time")?;
    }
    Ok(())
}

async fn cancel(context: &mut Context, arguments: &Cancel) -> Result<()> {
    let client = context.connect().await?;
    let (topic, id) = (arguments.topic.as_str(), arguments.id.as_str());
    let found = waiting(&client).await?.remove(id).filter(|timer| timer.topic == topic);
    let Some(timer) = found else {
        let text =
            format!("no message with id {id} waits for topic {topic:?}: it never was there, or its time has come");
        return Err(Failure::NotFound(text).into());
    };
    let due = output::time(timer.due_ms);
    confirm(arguments.yes, &format!("Cancel message {id}, which is due for {topic:?} at {due}?"))?;
    let admin = client.admin();
    let masters = admin.masters(None).await?;
    let Some(broker) = masters.iter().find(|broker| broker.name == timer.broker) else {
        bail!("broker {:?}, which holds the message, is gone", timer.broker);
    };
    let handle = RecallHandle {
        topic: timer.topic.clone(),
        broker_name: timer.broker.clone(),
        timestamp_ms: timer.due_ms + 1,
        unique_key: id.to_owned(),
    };
    admin.recall(&broker.address, topic, &handle.encode()).await?;
    client.close().await;
    if context.common.json {
        context.out.json(&json!({"id": id, "topic": topic, "broker": timer.broker, "result": "cancelled"}))?;
    } else {
        context.out.line(format!("cancelled message {id}, which was due for {topic:?} at {due}"))?;
    }
    Ok(())
}

/// All messages whose time is to come, by their unique ids.
async fn waiting(client: &Client) -> Result<HashMap<String, Timer>> {
    let mut timers = HashMap::new();
    let now_ms = Timestamp::now().as_millisecond();
    scan(client, TIMER_TOPIC, Start::First, |message| {
        take(&mut timers, message, now_ms);
        if timers.len() > TIMERS_MAX {
            bail!("more than {TIMERS_MAX} timers wait, that is more than this command can hold");
        }
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    Ok(timers)
}

fn take(timers: &mut HashMap<String, Timer>, message: &Received, now_ms: i64) {
    // A marker names whom it cancels, before 5.4.0 with the topic and a plus sign in front.
    if let Some(cancelled) = message.property(TIMER_DELETE_UNIQUE_KEY) {
        timers.remove(cancelled.rsplit('+').next().unwrap_or(cancelled));
        return;
    }
    let due_ms = message.property(TIMER_OUT_MS).and_then(|due| due.parse::<i64>().ok());
    let (Some(due_ms), Some(topic)) = (due_ms, message.property(REAL_TOPIC)) else { return };
    if due_ms <= now_ms {
        return;
    }
    // Brokers store a message again when its part of the log goes, so the last one counts.
    let timer = Timer {
        due_ms,
        topic: topic.to_owned(),
        broker: message.broker_name.clone(),
        stored_ms: message.stored_ms,
        keys: message.keys().collect::<Vec<_>>().join(" "),
        bytes: message.body.len(),
    };
    timers.insert(message.id(), timer);
}
