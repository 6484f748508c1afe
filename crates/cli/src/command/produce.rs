//! `rocketmq produce`.

mod source;
mod tally;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use client::{Client, Error, Message, Producer, Receipt, Select};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protocol::properties::SHARDING_KEY;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::failure::{Failure, explain, status};
use crate::parse;
use source::Source;
use tally::Tally;

const EXAMPLES: &str = "\
Examples:
  rocketmq produce orders 'hello, world'                    One message
  rocketmq produce orders a b c --tag vip --key 4711        Three, with a tag and a key
  tail -f app.log | rocketmq produce logs                   One message a line
  rocketmq produce orders --count 100000 --size 1024        Load
  rocketmq produce orders later --delay-level 3             Delivered in 10 s (1s 5s 10s 30s 1m 2m 3m ...)
  rocketmq produce orders paid --ordered-by customer-7      In order with all others of that key

A topic that does not exist is made with the first message, if the brokers allow it.";

/// What to send.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to.
    #[arg(add = complete::topics())]
    topic: String,
    /// Messages; without any, each line of standard input is one.
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,
    /// Each line of this file is a message.
    #[arg(long, value_name = "PATH", conflicts_with = "messages")]
    file: Option<PathBuf>,
    /// Send so many messages: the given ones in turn, or generated ones.
    #[arg(long, value_name = "N", conflicts_with = "file")]
    count: Option<u64>,
    /// Size of a generated message in bytes.
    #[arg(long, value_name = "BYTES", requires = "count", conflicts_with = "messages", default_value = "1024")]
    size: usize,
    /// A tag, by which consumers may choose.
    #[arg(long)]
    tag: Option<String>,
    /// A key to look the message up by. May be repeated.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// A property. May be repeated.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse::pair)]
    properties: Vec<(String, String)>,
    /// Deliver later: levels 1 to 18 mean 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..))]
    delay_level: Option<u32>,
    /// Send to the n-th writeable queue of the topic, counting from 0 over all brokers.
    #[arg(long, value_name = "N")]
    queue: Option<usize>,
    /// Keep the order among all messages with this key: one queue, one at a time.
    #[arg(long, value_name = "KEY", conflicts_with = "queue")]
    ordered_by: Option<String>,
    /// Messages on their way at the same time.
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u64).range(1..=8192))]
    window: u64,
    /// Producer group.
    #[arg(long, value_name = "NAME", default_value = "rocketmq-cli")]
    group: String,
    /// Go on after a message that could not be sent.
    #[arg(long)]
    keep_going: bool,
}

impl Arguments {
    fn source(&self) -> Result<Source> {
        match (&self.file, self.count) {
            (Some(path), _) => Source::file(path),
            (None, Some(count)) if self.messages.is_empty() => Ok(Source::generated(self.size, count)),
            (None, Some(count)) => Ok(Source::given(&self.messages, count)),
            (None, None) if self.messages.is_empty() => Ok(Source::standard_input()),
            (None, None) => Ok(Source::given(&self.messages, self.messages.len() as u64)),
        }
    }

    fn message(&self, body: Vec<u8>) -> Message {
        let mut message = Message::new(&self.topic, body);
        if let Some(tag) = &self.tag {
            message = message.tag(tag);
        }
        for key in &self.keys {
            message = message.key(key);
        }
        for (name, value) in &self.properties {
            message = message.property(name, value);
        }
        if let Some(level) = self.delay_level {
            message = message.delay_level(level);
        }
        match &self.ordered_by {
            Some(key) => message.property(SHARDING_KEY, key),
            None => message,
        }
    }

    fn select(&self) -> Select<'_> {
        match (&self.ordered_by, self.queue) {
            (Some(key), _) => Select::Key(key),
            (None, Some(nth)) => Select::Nth(nth),
            (None, None) => Select::Turn,
        }
    }
}

pub(crate) async fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let client = context.connect().await?;
    let sent = send_all(context, &client, &arguments).await;
    client.close().await;
    sent
}

async fn send_all(context: &mut Context, client: &Client, arguments: &Arguments) -> Result<()> {
    let producer = client.producer(&arguments.group);
    let mut source = arguments.source()?;
    // A handful of messages, typed by a person who wants to know where they went.
    let show = context.common.json || (arguments.count.is_none() && !arguments.messages.is_empty());
    let mut tally = Tally::new(source.total(), show);
    // Requests on one connection may be carried out in any order.
    let window = if arguments.ordered_by.is_some() { 1 } else { arguments.window as usize };
    let mut flying = FuturesUnordered::new();
    let mut first_error = None;
    let mut more = true;
    while more || !flying.is_empty() {
        tokio::select! {
            Some((bytes, took, result)) = flying.next(), if !flying.is_empty() => match result {
                Ok(receipt) => {
                    tally.sent(bytes, took);
                    if show {
                        print(context, &receipt)?;
                    }
                    if flying.is_empty() {
                        // Who reads the receipts should not wait for the next message.
                        context.out.flush()?;
                    }
                }
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    tally.failed(&explain(&error));
                    more &= arguments.keep_going;
                    first_error.get_or_insert(error);
                }
            },
            body = source.next(), if more && flying.len() < window => match body {
                Some(body) => flying.push(send(&producer, arguments.message(body?), arguments.select())),
                None => more = false,
            },
            () = context.stop.cancelled(), if more => more = false,
        }
    }
    context.out.flush()?;
    tally.finish(source.empty_lines());
    // Errors were printed as they came; the first one decides the exit status.
    first_error.map_or(Ok(()), |error| Err(Failure::Reported(status(&error)).into()))
}

async fn send(
    producer: &Producer,
    message: Message,
    select: Select<'_>,
) -> (usize, std::time::Duration, Result<Receipt, Error>) {
    let began = Instant::now();
    let result = producer.send_to(&message, select).await;
    (message.body.len(), began.elapsed(), result)
}

fn print(context: &mut Context, receipt: &Receipt) -> Result<()> {
    let queue = &receipt.queue;
    if context.common.json {
        context.out.json(&json!({
            "id": receipt.id,
            "offsetId": receipt.offset_id,
            "topic": queue.topic,
            "broker": queue.broker_name,
            "queue": queue.queue_id,
            "offset": receipt.offset,
            "status": receipt.stored.name(),
        }))?;
    } else {
        let status = if receipt.stored == client::Stored::Ok { "" } else { receipt.stored.name() };
        let (broker, number, offset, id) = (&queue.broker_name, queue.queue_id, receipt.offset, &receipt.id);
        context.out.line(format!("{broker} queue {number} offset {offset} id {id} {status}").trim_end())?;
    }
    Ok(())
}
