//! `rocketmq consume`.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use client::{Batch, Consumer, ConsumerConfig, Filter, Received, Start};

use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::message::Shown;
use crate::{output, parse};

const EXAMPLES: &str = "\
Examples:
  rocketmq consume orders                                   Follow what comes from now on
  rocketmq consume orders --from beginning --no-follow      Everything that is there, then stop
  rocketmq consume orders --from -10m --tag 'vip || gold'   Since ten minutes ago, two tags only
  rocketmq consume orders --group billing                   Take part in a group and commit its offsets
  rocketmq consume orders --json | jq .properties           For programs

Without --group nothing is remembered and no consumer is disturbed.";

/// What to receive and how to show it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Topic.
    #[arg(add = complete::topics())]
    topic: String,
    /// Take part in this consumer group: share its queues, commit its offsets.
    #[arg(long, value_name = "NAME", add = complete::groups())]
    group: Option<String>,
    /// Only these tags, separated by ||.
    #[arg(long, value_name = "EXPRESSION")]
    tag: Option<String>,
    /// Only messages whose properties fit this SQL92 expression; brokers must allow it (enablePropertyFilter).
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "tag")]
    sql: Option<String>,
    /// Where to begin: beginning, end, -10m (ten minutes ago) or 2026-01-31T08:00:00Z. A group begins where it is.
    #[arg(long, value_name = "WHERE", value_parser = parse::start, allow_hyphen_values = true)]
    from: Option<Start>,
    /// Stop after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop at the present end instead of waiting for more; begins at the beginning unless told otherwise.
    #[arg(long, conflicts_with = "group")]
    no_follow: bool,
    /// Stop when nothing came for this long.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    idle: Option<Duration>,
    /// Show broker, queue and offset before the body.
    #[arg(long)]
    offsets: bool,
    /// Show tag and keys before the body.
    #[arg(long)]
    keys: bool,
    /// Show all properties before the body.
    #[arg(long)]
    properties: bool,
}

impl Arguments {
    fn config(&self) -> ConsumerConfig {
        let filter = match (&self.tag, &self.sql) {
            (Some(tags), _) => Filter::Tags(tags.clone()),
            (None, Some(expression)) => Filter::Sql(expression.clone()),
            (None, None) => Filter::default(),
        };
        let start = self.from.unwrap_or(if self.no_follow { Start::First } else { Start::Last });
        let config = match &self.group {
            Some(group) => ConsumerConfig::group(group),
            None => ConsumerConfig::all_queues(),
        };
        let config = config.filtered(&self.topic, filter).start(start);
        if self.no_follow { config.until_end() } else { config }
    }

    fn line(&self, message: &Received) -> Vec<u8> {
        let mut line = Vec::new();
        let mut column = |text: String| {
            line.extend_from_slice(text.as_bytes());
            line.push(b'\t');
        };
        if self.offsets {
            column(format!("{}:{}:{}", message.broker_name, message.queue_id, message.offset));
        }
        if self.keys {
            column(message.tag().unwrap_or("-").to_owned());
            column(message.keys().collect::<Vec<_>>().join(" "));
        }
        if self.properties {
            let pairs: Vec<String> = message.properties().map(|(name, value)| format!("{name}={value}")).collect();
            column(pairs.join(" "));
        }
        line.extend_from_slice(&message.body);
        line
    }
}

/// What has been received so far.
#[derive(Debug, Default)]
struct Seen {
    messages: u64,
    bytes: u64,
}

pub(crate) async fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    if arguments.count == Some(0) {
        return Err(Failure::Usage("--count 0 receives nothing".into()).into());
    }
    let client = context.connect().await?;
    let mut consumer = client.consumer(arguments.config()).await?;
    let began = Instant::now();
    let mut seen = Seen::default();
    let received = receive(context, &arguments, &mut consumer, &mut seen).await;
    // Also after an error, so that the offsets of what was shown are committed.
    consumer.close().await;
    client.close().await;
    received?;
    context.out.flush()?;
    let (messages, bytes) = (output::count(seen.messages as i64), output::bytes(seen.bytes));
    let seconds = began.elapsed().as_secs_f64();
    // Nobody is there to read that standard error is gone.
    let _ = writeln!(std::io::stderr(), "received {messages} messages, {bytes} in {seconds:.2} s");
    Ok(())
}

async fn receive(context: &mut Context, arguments: &Arguments, consumer: &mut Consumer, seen: &mut Seen) -> Result<()> {
    let left = |seen: &Seen| arguments.count.map_or(u64::MAX, |count| count - seen.messages);
    while left(seen) > 0 {
        let silence = async {
            match arguments.idle {
                Some(idle) => tokio::time::sleep(idle).await,
                None => std::future::pending().await,
            }
        };
        let batch = tokio::select! {
            batch = consumer.recv() => batch,
            () = context.stop.cancelled() => None,
            () = silence => None,
        };
        let Some(batch) = batch else { return Ok(()) };
        show(context, arguments, batch, left(seen), seen)?;
    }
    Ok(())
}

/// Shows up to `count_max` messages of a batch. What was not shown is not acknowledged.
fn show(context: &mut Context, arguments: &Arguments, batch: Batch, count_max: u64, seen: &mut Seen) -> Result<()> {
    let count = usize::try_from(count_max).unwrap_or(usize::MAX).min(batch.messages().len());
    let written = batch.messages()[..count].iter().try_for_each(|message| {
        seen.messages += 1;
        seen.bytes += message.body.len() as u64;
        if context.common.json {
            context.out.json(&Shown::new(message))
        } else {
            context.out.line(arguments.line(message))
        }
    });
    // Acknowledged only when it is out of our hands.
    let written = written.and_then(|()| context.out.flush());
    batch.ack_first(if written.is_ok() { count } else { 0 });
    Ok(written?)
}
