//! `rocketmq dlq replay`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use client::{Client, Message, Received, Start};
use protocol::properties;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{origin, topic_of};
use crate::command::confirm;
use crate::complete;
use crate::context::Context;
use crate::failure::{FAILED, Failure};
use crate::output::count;
use crate::parse;
use crate::scan::scan;

const EXAMPLES: &str = "\
Examples:
  rocketmq dlq replay billing --dry-run                 How many are there, and where would they go?
  rocketmq dlq replay billing --rate 50 --yes           Fifty a second
  rocketmq dlq replay billing --id 7F00...0000          Only this one
  rocketmq dlq replay billing --to orders-again         To another topic

Every group of the topic receives the copies. Dead letters stay where they are: replaying twice sends twice. A copy has
a new id and names its dead letter in the property DLQ_ORIGIN_MESSAGE_ID.";

/// Most dead letters of one run: they are held in memory, so that what is asked about is what is sent.
const MESSAGES_MAX: usize = 100_000;

/// Which ones, where to, how fast.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Consumer group.
    #[arg(add = complete::groups())]
    group: String,
    /// Only the one with this id. May be repeated.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only those set aside since then: -10m or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = parse::start, allow_hyphen_values = true)]
    #[arg(default_value = "beginning")]
    from: Start,
    /// At most so many.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// To this topic instead of those they came from.
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// At most so many a second.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Show what would be sent and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// What became of the dead letters.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    failed: usize,
    first_error: Option<String>,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let client = context.connect().await?;
    let topic = topic_of(&client.admin(), &arguments.group).await?;
    let found = find(context, &client, &topic, arguments).await?;
    let mut targets = BTreeMap::<&str, usize>::new();
    let target = |message| arguments.to.as_deref().or_else(|| origin(message));
    let lost = found.iter().filter(|message| target(message).is_none()).count();
    for topic in found.iter().filter_map(target) {
        *targets.entry(topic).or_default() += 1;
    }
    if found.is_empty() || !arguments.ids.is_empty() && found.len() < arguments.ids.len() {
        let text = format!("{} such dead letters of group {:?} found", found.len(), arguments.group);
        return Err(Failure::NotFound(text).into());
    }
    if lost > 0 {
        let text = format!("{lost} dead letters do not say where they came from, name a topic with --to");
        return Err(Failure::Usage(text).into());
    }
    if !arguments.dry_run {
        let to: Vec<String> =
            targets.iter().map(|(topic, number)| format!("{} to {topic}", count(*number as i64))).collect();
        confirm(arguments.yes, &format!("Send dead letters of {:?} again: {}?", arguments.group, to.join(", ")))?;
    }
    let tally = if arguments.dry_run { Tally::default() } else { send(context, &client, arguments, &found).await };
    client.close().await;
    let left = found.len() - tally.sent - tally.failed;
    if context.common.json {
        let answer = json!({"group": arguments.group, "found": found.len(), "sent": tally.sent, "failed": tally.failed,
            "notTried": left, "targets": targets, "dryRun": arguments.dry_run, "error": tally.first_error});
        context.out.json(&answer)?;
    } else {
        for (topic, number) in &targets {
            context.out.line(format!("{} dead letters for {topic}", count(*number as i64)))?;
        }
        let text = match (arguments.dry_run, left) {
            (true, _) => "nothing was sent".to_owned(),
            (false, 0) => format!("sent {}, failed {}", tally.sent, tally.failed),
            (false, left) => format!("sent {}, failed {}, not tried {left}", tally.sent, tally.failed),
        };
        context.out.line(text)?;
        if let Some(error) = &tally.first_error {
            context.out.line(format!("the first failure: {error}"))?;
        }
    }
    let all_well = arguments.dry_run || tally.sent == found.len();
    if all_well { Ok(()) } else { Err(Failure::Reported(FAILED).into()) }
}

async fn find(context: &Context, client: &Client, topic: &str, arguments: &Arguments) -> Result<Vec<Received>> {
    let mut found = Vec::new();
    let most = arguments.count.unwrap_or(usize::MAX);
    scan(client, topic, arguments.from, |message| {
        if found.len() >= most || context.stop.is_cancelled() {
            return Ok(ControlFlow::Break(()));
        }
        if found.len() == MESSAGES_MAX {
            let text = format!("there are more than {MESSAGES_MAX} dead letters, take some with --count or --from");
            return Err(Failure::Usage(text).into());
        }
        let (id, offset_id) = (message.id(), message.offset_id());
        if arguments.ids.is_empty() || arguments.ids.iter().any(|wanted| *wanted == id || *wanted == offset_id) {
            found.push(message.clone());
        }
        Ok(ControlFlow::Continue(()))
    })
    .await?;
    Ok(found)
}

async fn send(context: &Context, client: &Client, arguments: &Arguments, found: &[Received]) -> Tally {
    let producer = client.producer("rocketmq-dlq-replay");
    let mut pace = interval(Duration::from_secs(1) / arguments.rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tally = Tally::default();
    for message in found {
        tokio::select! {
            _ = pace.tick() => {}
            () = context.stop.cancelled() => break,
        }
        let Some(topic) = arguments.to.as_deref().or_else(|| origin(message)) else { continue };
        match producer.send(&copy(topic, message)).await {
            Ok(_) => tally.sent += 1,
            Err(error) => {
                tally.failed += 1;
                tally.first_error.get_or_insert_with(|| format!("{}: {error}", message.id()));
            }
        }
    }
    tally
}

/// A fresh message with what the application put into the dead one.
fn copy(topic: &str, message: &Received) -> Message {
    let mut copy = Message::new(topic, message.body.clone());
    copy.flag = message.flag;
    for (name, value) in message.properties().filter(|(name, _)| !OF_THE_SYSTEM.contains(name)) {
        copy = copy.property(name, value);
    }
    copy.property(properties::DLQ_ORIGIN_MESSAGE_ID, &message.offset_id())
}

/// Properties that tell of the way a message took, and would send a copy the same way. Source: `MessageConst`.
const OF_THE_SYSTEM: [&str; 29] = [
    properties::UNIQUE_KEY,
    properties::WAIT,
    properties::DELAY,
    properties::RETRY_TOPIC,
    properties::REAL_TOPIC,
    properties::REAL_QUEUE,
    properties::TRANSACTION_PREPARED,
    properties::TRANSACTION_ID,
    properties::TRANSACTION_CHECK_TIMES,
    properties::CHECK_IMMUNITY_SECONDS,
    properties::PRODUCER_GROUP,
    properties::ORIGIN_MESSAGE_ID,
    properties::RECONSUME_TIME,
    properties::MAX_RECONSUME_TIMES,
    properties::MSG_REGION,
    properties::TRACE_ON,
    properties::CLUSTER,
    properties::POP_CK,
    properties::TIMER_DELAY_SEC,
    properties::TIMER_DELAY_MS,
    properties::TIMER_DELIVER_MS,
    properties::TIMER_OUT_MS,
    properties::TIMER_ENQUEUE_MS,
    properties::TIMER_DEQUEUE_MS,
    properties::TIMER_ROLL_TIMES,
    properties::DLQ_ORIGIN_TOPIC,
    properties::DLQ_ORIGIN_MESSAGE_ID,
    "MIN_OFFSET",
    "MAX_OFFSET",
];
