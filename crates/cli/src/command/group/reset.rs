//! `rocketmq group reset`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use client::{Admin, MessageQueue, Start};
use protocol::body::OffsetWrapper;
use serde_json::json;

use crate::command::confirm;
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Rows, count};
use crate::{parse, survey};

const EXAMPLES: &str = "\
Examples:
  rocketmq group reset billing --topic orders --to -1h --dry-run    What would happen?
  rocketmq group reset billing --topic orders --to beginning        Everything again
  rocketmq group reset billing --topic orders --to end --yes        Skip what waits
  rocketmq group reset billing --topic orders --broker broker-a --queue 3 --offset 4711

Members that are online move as well. What they work on at the moment may be delivered twice.";

/// Which group, and where to.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Consumer group.
    #[arg(add = complete::groups())]
    group: String,
    /// Topic.
    #[arg(long, short, add = complete::topics())]
    topic: String,
    /// Where to: beginning, end, -10m (ten minutes ago) or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "WHERE", value_parser = parse::start, allow_hyphen_values = true)]
    #[arg(required_unless_present = "offset", conflicts_with = "offset")]
    to: Option<Start>,
    /// To this offset, in one queue. Java brokers before 5.0 cannot do that.
    #[arg(long, value_name = "N", requires = "queue")]
    offset: Option<i64>,
    /// The queue.
    #[arg(long, value_name = "N", requires = "offset")]
    queue: Option<i32>,
    /// The broker of the queue; needed when several have it.
    #[arg(long, value_name = "NAME", requires = "offset", add = complete::brokers())]
    broker: Option<String>,
    /// Show what would happen and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// A queue, where the group stands in it and where it shall stand.
struct Move {
    queue: MessageQueue,
    offsets: OffsetWrapper,
    to: i64,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let masters = admin.masters(None).await?;
    let (group, topic) = (arguments.group.as_str(), arguments.topic.as_str());
    let mut known = false;
    for broker in &masters {
        known |= admin.group_configs(&broker.address).await?.contains_key(group);
    }
    if !known {
        let text = format!("no broker knows the group {group:?}. See \"rocketmq group list\".");
        return Err(Failure::NotFound(text).into());
    }
    // Also tells an unknown topic from one that the group never consumed.
    let queues: Vec<MessageQueue> = admin.topic_stats(topic).await?.offsets.into_keys().collect();
    let stands = survey::group(&admin, &masters, group, Some(topic)).await?.offsets;
    let moves = plan(&admin, arguments, &queues, &stands).await?;
    if arguments.dry_run {
        return show(context, arguments, &moves, "would move");
    }
    let left: i64 = moves.iter().map(|one| (one.offsets.broker_offset - one.to).max(0)).sum();
    let queues = moves.len();
    let question =
        format!("Move group {group:?} in {queues} queues of {topic:?}? {} messages will be before it.", count(left));
    confirm(arguments.yes, &question)?;
    let moves = carry_out(&admin, arguments, moves).await?;
    show(context, arguments, &moves, "moved")
}

async fn plan(
    admin: &Admin,
    arguments: &Arguments,
    queues: &[MessageQueue],
    stands: &BTreeMap<MessageQueue, OffsetWrapper>,
) -> Result<Vec<Move>> {
    let named = |queue: &&MessageQueue| {
        arguments.queue.is_none_or(|id| id == queue.queue_id)
            && arguments.broker.as_ref().is_none_or(|broker| *broker == queue.broker_name)
    };
    let queues: Vec<&MessageQueue> = queues.iter().filter(named).collect();
    match (queues.len(), arguments.offset) {
        (0, _) => return Err(Failure::NotFound(format!("topic {:?} has no such queue", arguments.topic)).into()),
        (2.., Some(_)) => {
            let brokers: Vec<&str> = queues.iter().map(|queue| queue.broker_name.as_str()).collect();
            let text = format!("several brokers have this queue, name one with --broker: {}", brokers.join(", "));
            return Err(Failure::Usage(text).into());
        }
        _ => {}
    }
    let mut moves = Vec::new();
    for queue in queues {
        let offsets = stands.get(queue).copied().unwrap_or_default();
        let (min, max) = (admin.min_offset(queue).await?, admin.max_offset(queue).await?);
        let to = match (arguments.offset, arguments.to) {
            (Some(offset), _) if (min..=max).contains(&offset) => offset,
            (Some(offset), _) => {
                let text = format!("offset {offset} is not in the queue, which has {min} to {max}");
                return Err(Failure::Usage(text).into());
            }
            (None, Some(Start::First)) => min,
            (None, Some(Start::AtMs(ms))) => admin.search_offset(queue, ms).await?,
            (None, Some(Start::Last) | None) => max,
        };
        moves.push(Move { queue: queue.clone(), offsets: OffsetWrapper { broker_offset: max, ..offsets }, to });
    }
    Ok(moves)
}

/// What came of it, as the brokers say.
async fn carry_out(admin: &Admin, arguments: &Arguments, mut moves: Vec<Move>) -> Result<Vec<Move>> {
    let (group, topic) = (arguments.group.as_str(), arguments.topic.as_str());
    if arguments.offset.is_some() {
        for one in &moves {
            admin.reset_queue(group, &one.queue, one.to).await?;
        }
        return Ok(moves);
    }
    let time = match arguments.to {
        Some(Start::First) => Some(0),
        Some(Start::AtMs(ms)) => Some(ms),
        Some(Start::Last) | None => None,
    };
    let moved = admin.reset_offset(group, topic, time).await?;
    moves.retain(|one| moved.contains_key(&one.queue));
    for one in &mut moves {
        one.to = moved[&one.queue];
    }
    Ok(moves)
}

fn show(context: &mut Context, arguments: &Arguments, moves: &[Move], what: &str) -> Result<()> {
    if context.common.json {
        let queues: Vec<_> = moves
            .iter()
            .map(|one| {
                json!({"broker": one.queue.broker_name, "queue": one.queue.queue_id,
                    "from": one.offsets.consumer_offset, "to": one.to, "end": one.offsets.broker_offset})
            })
            .collect();
        let answer = json!({"group": arguments.group, "topic": arguments.topic, "dryRun": arguments.dry_run,
            "queues": queues});
        context.out.json(&answer)?;
        return Ok(());
    }
    let mut rows = Rows::new(["broker", "#queue", "#from", "#to", "#end"]);
    for one in moves {
        rows.push([
            one.queue.broker_name.clone(),
            one.queue.queue_id.to_string(),
            count(one.offsets.consumer_offset),
            count(one.to),
            count(one.offsets.broker_offset),
        ]);
    }
    context.out.line(format!("{what} group {:?} in topic {:?}", arguments.group, arguments.topic))?;
    context.out.line("")?;
    context.out.table(&rows, "no queues")?;
    Ok(())
}
