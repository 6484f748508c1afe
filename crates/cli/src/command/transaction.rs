//! `rocketmq transaction`: half messages that wait for the decision of their producer.

use std::collections::HashMap;
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use client::{Client, Received, Start};
use jiff::Timestamp;
use protocol::name::{CHECK_MAX_TIME_TOPIC, HALF_TOPIC, OP_HALF_TOPIC, TRANSACTION_GROUP};
use protocol::properties::{PRODUCER_GROUP, REAL_TOPIC, TRANSACTION_CHECK_TIMES};
use protocol::request::EndTransactionHeader;
use protocol::sysflag::{TRANSACTION_COMMIT, TRANSACTION_ROLLBACK};
use serde_json::json;

use super::confirm;
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Rows, count};
use crate::scan::scan;
use crate::watch::Watch;

const EXAMPLES: &str = "\
Examples:
  rocketmq transaction list
  rocketmq transaction list --topic payments --json
  rocketmq transaction resolve 7F00000100007D46DD3796E2656B30000 --rollback
  rocketmq transaction list --given-up
  rocketmq transaction resume 7F00000100007D46DD3796E2656B30000

These read the half messages and decisions that brokers keep.";

/// Most half messages that are looked at: each is held in memory until all decisions are known.
const HALVES_MAX: usize = 1_000_000;

/// List transactions that wait for their producer, and decide them.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List half messages that nobody decided, the oldest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Commit or roll back one in place of its producer.
    Resolve(Resolve),
    /// Let its broker ask again about one that it gave up after too many questions.
    Resume(Resume),
}

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those for this topic.
    #[arg(long, short, add = complete::topics())]
    topic: Option<String>,
    /// Only those of this producer group.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Those that their brokers gave up, and do not ask about any more, instead.
    #[arg(long)]
    given_up: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value = "100")]
    count: usize,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// Which one.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Its unique id, which is that of the transaction.
    id: String,
}

/// Which one, and how.
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// Its unique id, which is that of the transaction.
    id: String,
    /// Deliver the message.
    #[arg(long, required_unless_present = "rollback", conflicts_with = "rollback")]
    commit: bool,
    /// Drop the message.
    #[arg(long)]
    rollback: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// A half message that nobody decided.
#[derive(Debug, Clone)]
struct Half {
    id: String,
    topic: String,
    group: String,
    broker: String,
    checks: String,
    stored_ms: i64,
    queue_offset: i64,
    log_offset: i64,
    offset_id: String,
}

impl From<&Received> for Half {
    fn from(message: &Received) -> Half {
        let property = |name: &str| message.property(name).unwrap_or_default().to_owned();
        let checks = property(TRANSACTION_CHECK_TIMES);
        Half {
            id: message.id(),
            topic: property(REAL_TOPIC),
            group: property(PRODUCER_GROUP),
            broker: message.broker_name.clone(),
            checks: if checks.is_empty() { "0".into() } else { checks },
            stored_ms: message.stored_ms,
            queue_offset: message.offset,
            log_offset: message.log_offset,
            offset_id: message.offset_id(),
        }
    }
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => {
            arguments.watch.show(context, async |context| list(context, &arguments).await).await
        }
        Command::Resolve(arguments) => resolve(context, &arguments).await,
        Command::Resume(arguments) => resume(context, &arguments).await,
    }
}

async fn list(context: &mut Context, arguments: &List) -> Result<()> {
    let client = context.connect().await?;
    let mut halves = if arguments.given_up { given_up(&client).await? } else { undecided(&client).await? };
    client.close().await;
    halves.retain(|half| arguments.topic.as_ref().is_none_or(|topic| *topic == half.topic));
    halves.retain(|half| arguments.group.as_ref().is_none_or(|group| *group == half.group));
    halves.truncate(arguments.count);
    let now_ms = Timestamp::now().as_millisecond();
    let mut rows = Rows::new(["id", "topic", "producer group", "broker", "stored", "#age s", "#checks"]);
    for half in halves {
        if context.common.json {
            let stored = output::rfc3339(half.stored_ms);
            context.out.json(&json!({"id": half.id, "topic": half.topic, "producerGroup": half.group,
                "broker": half.broker, "stored": stored, "checks": half.checks.parse::<u64>().unwrap_or(0)}))?;
        } else {
            let age = count((now_ms - half.stored_ms).max(0) / 1000);
            rows.push([half.id, half.topic, half.group, half.broker, output::time(half.stored_ms), age, half.checks]);
        }
    }
    if !context.common.json {
        let none =
            if arguments.given_up { "no transaction was given up" } else { "no transaction waits for its producer" };
        context.out.table(&rows, none)?;
    }
    Ok(())
}

async fn resolve(context: &mut Context, arguments: &Resolve) -> Result<()> {
    let client = context.connect().await?;
    let id = arguments.id.as_str();
    let Some(half) = undecided(&client).await?.into_iter().find(|half| half.id == id) else {
        let text = format!("no half message with id {id} waits. See \"rocketmq transaction list\".");
        return Err(Failure::NotFound(text).into());
    };
    let (verb, decision, done) = match arguments.commit {
        true => ("Commit", TRANSACTION_COMMIT, "committed"),
        false => ("Roll back", TRANSACTION_ROLLBACK, "rolled back"),
    };
    let question = format!("{verb} the transaction of group {:?} for topic {:?}?", half.group, half.topic);
    confirm(arguments.yes, &question)?;
    let address = address_of(&client, &half).await?;
    let end = EndTransactionHeader {
        topic: Some(&half.topic),
        producer_group: &half.group,
        tran_state_table_offset: half.queue_offset,
        commit_log_offset: half.log_offset,
        commit_or_rollback: decision,
        from_transaction_check: false,
        msg_id: id,
        transaction_id: Some(id),
    };
    client.admin().end_transaction(&address, &end).await?;
    client.close().await;
    if context.common.json {
        context.out.json(&json!({"id": id, "topic": half.topic, "producerGroup": half.group, "result": done}))?;
    } else {
        context.out.line(format!("{done} the transaction {id} for topic {:?}", half.topic))?;
    }
    Ok(())
}

async fn resume(context: &mut Context, arguments: &Resume) -> Result<()> {
    let client = context.connect().await?;
    let id = arguments.id.as_str();
    // What was given up again after it was resumed is there twice.
    let Some(half) = given_up(&client).await?.into_iter().rfind(|half| half.id == id) else {
        let text = format!("no half message with id {id} was given up. See \"rocketmq transaction list --given-up\".");
        return Err(Failure::NotFound(text).into());
    };
    let address = address_of(&client, &half).await?;
    client.admin().resume_checks(&address, CHECK_MAX_TIME_TOPIC, &half.offset_id).await?;
    client.close().await;
    if context.common.json {
        context.out.json(&json!({"id": id, "topic": half.topic, "producerGroup": half.group, "result": "resumed"}))?;
    } else {
        context
            .out
            .line(format!("its producers are asked about the transaction {id} for topic {:?} again", half.topic))?;
    }
    Ok(())
}

async fn address_of(client: &Client, half: &Half) -> Result<String> {
    match client.admin().masters(None).await?.into_iter().find(|broker| broker.name == half.broker) {
        Some(broker) => Ok(broker.address),
        None => bail!("broker {:?}, which holds the message, is gone", half.broker),
    }
}

/// Half messages that brokers set aside, the oldest first. A resumed one stays where it was set aside.
async fn given_up(client: &Client) -> Result<Vec<Half>> {
    let mut halves = Vec::new();
    let scanned = scan(client, CHECK_MAX_TIME_TOPIC, Start::First, |message| {
        halves.push(Half::from(message));
        check_room(halves.len())?;
        Ok(ControlFlow::Continue(()))
    })
    .await;
    match scanned {
        // Brokers make it with the first.
        Err(error) if matches!(error.downcast_ref(), Some(client::Error::UnknownTopic(_))) => Ok(Vec::new()),
        scanned => scanned.map(|()| in_order(halves)),
    }
}

fn check_room(halves: usize) -> Result<()> {
    if halves > HALVES_MAX {
        bail!("more than {HALVES_MAX} half messages, that is more than this command can hold");
    }
    Ok(())
}

fn in_order(mut halves: Vec<Half>) -> Vec<Half> {
    halves.sort_unstable_by(|one, other| (one.stored_ms, &one.id).cmp(&(other.stored_ms, &other.id)));
    halves
}

/// Half messages without a decision, the oldest first.
///
/// Source: `TransactionalMessageServiceImpl.check`: a half counts when it lies at or behind the offset of the group of
/// transactions, and no record of the op topic names its offset.
async fn undecided(client: &Client) -> Result<Vec<Half>> {
    let mut halves = HashMap::new();
    scan(client, HALF_TOPIC, Start::First, |message| {
        halves.insert((message.broker_name.clone(), message.queue_id, message.offset), Half::from(message));
        check_room(halves.len())?;
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    // The decisions after the halves: what was decided meanwhile is not listed.
    scan(client, OP_HALF_TOPIC, Start::First, |message| {
        let text = std::str::from_utf8(&message.body).unwrap_or_default();
        for offset in text.split(',').filter_map(|offset| offset.trim().parse::<i64>().ok()) {
            halves.remove(&(message.broker_name.clone(), message.queue_id, offset));
        }
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    let admin = client.admin();
    for queue in admin.topic_stats(HALF_TOPIC).await?.offsets.into_keys() {
        let done = admin.consumer_offset(TRANSACTION_GROUP, &queue).await?.unwrap_or(0);
        halves
            .retain(|(broker, id, offset), _| *broker != queue.broker_name || *id != queue.queue_id || *offset >= done);
    }
    Ok(in_order(halves.into_values().collect()))
}
