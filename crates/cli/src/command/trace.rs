//! `rocketmq message trace`.

use anyhow::Result;
use clap::Args;
use client::Received;
use protocol::trace::{self, Entry, Event};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Rows};

/// Which message.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The id, as the producer shows it, or a key.
    id: String,
    /// Where clients store traces.
    #[arg(long, value_name = "TOPIC", default_value = protocol::name::TRACE_TOPIC)]
    trace_topic: String,
    /// At most so many trace messages from each broker.
    #[arg(long, value_name = "N", default_value = "64")]
    count: i32,
}

/// What happened to a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'m> {
    #[serde(skip)]
    at_ms: i64,
    at: Option<String>,
    id: &'m str,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'m str>,
    /// Address of the client.
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    details: String,
}

pub(crate) async fn run(context: &mut Context, arguments: &Trace) -> Result<()> {
    let admin = context.admin().await?;
    let found = admin.query_by_key(&arguments.trace_topic, &arguments.id, (0, i64::MAX), arguments.count).await?;
    let steps = steps(&found, &arguments.id);
    if steps.is_empty() {
        let (id, topic) = (&arguments.id, &arguments.trace_topic);
        let hint = "clients store traces when they are made with tracing enabled, a moment later";
        return Err(Failure::NotFound(format!("topic {topic:?} has no trace of {id}; {hint}")).into());
    }
    if context.common.json {
        for step in &steps {
            context.out.json(step)?;
        }
        return Ok(());
    }
    let mut rows = Rows::new(["at", "what", "group", "client", "#ms", "success", "details"]);
    for step in &steps {
        rows.push([
            output::time(step.at_ms),
            step.what.to_owned(),
            step.group.unwrap_or("-").to_owned(),
            step.client.clone(),
            step.took_ms.map_or("-".to_owned(), |ms| ms.to_string()),
            step.success.map_or("-", |success| if success { "yes" } else { "no" }).to_owned(),
            step.details.clone(),
        ]);
    }
    context.out.table(&rows, "")?;
    Ok(())
}

/// What trace messages tell of a message, or of those with a key, in the order of time.
fn steps<'m>(traces: &'m [Received], id: &str) -> Vec<Step<'m>> {
    let text = |message: &'m Received| std::str::from_utf8(&message.body).unwrap_or_default();
    let all = || traces.iter().flat_map(|message| trace::entries(text(message)).map(move |entry| (message, entry)));
    // A trace message has the entries of many messages. With a key, its messages are those that it was found by.
    let is_id = all().any(|(_, entry)| entry.message_id == id);
    let group_of = |request: &str| {
        all().find_map(|(_, entry)| match entry.event {
            Event::Received { request_id, .. } if request_id == request => entry.group,
            _ => None,
        })
    };
    let wanted = all().filter(|(_, entry)| !is_id || entry.message_id == id);
    let mut steps: Vec<_> = wanted.map(|(message, entry)| step(message, entry, group_of)).collect();
    steps.sort_by_key(|step| step.at_ms);
    steps
}

fn step<'m>(message: &'m Received, entry: Entry<'m>, group_of: impl Fn(&str) -> Option<&'m str>) -> Step<'m> {
    let (what, took_ms, success, details) = match entry.event {
        Event::Sent { topic, store_host, took_ms, success } => {
            ("sent", Some(took_ms), Some(success), format!("to {topic} at {store_host}"))
        }
        Event::Received { retries: 0, .. } => ("received", None, None, String::new()),
        Event::Received { retries, .. } => ("received", None, None, format!("try {}", retries + 1)),
        Event::Consumed { took_ms, success, .. } => ("consumed", Some(took_ms), Some(success), String::new()),
        Event::Decided { topic, state, from_check } => {
            let asked = if from_check { ", asked by the broker" } else { "" };
            ("decided", None, None, format!("{state} for {topic}{asked}"))
        }
    };
    let group = match entry.event {
        Event::Consumed { request_id, .. } => group_of(request_id),
        _ => entry.group,
    };
    // Old consumers do not say when they were done; they store that at once.
    let at_ms = entry.at_ms.unwrap_or(message.born_ms);
    Step {
        at_ms,
        at: output::rfc3339(at_ms),
        id: entry.message_id,
        what,
        group,
        client: message.born_host.to_string(),
        took_ms,
        success,
        details,
    }
}
