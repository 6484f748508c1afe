//! `rocketmq doctor`.

mod backlog;
mod broker;
mod clients;
mod machine;
mod network;

use anyhow::Result;
use clap::Args;
use client::{Client, Error};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{FAILED, Failure, explain, without_numbers};
use crate::watch::Watch;

const EXAMPLES: &str = "\
Examples:
  rocketmq doctor
  rocketmq doctor --namesrv 'mq-1:9876;mq-2:9876' --json

Exit status 1 when something is wrong; things worth knowing do not count.";

/// How to show it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Wrong.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    /// What it is about.
    subject: String,
    /// What was found.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.add(Level::Good, subject.into(), found.into(), None);
    }

    fn note(&mut self, subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Note, subject.into(), found.into(), Some(advice.into()));
    }

    fn bad(&mut self, subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Bad, subject.into(), found.into(), Some(advice.into()));
    }

    fn add(&mut self, level: Level, subject: String, found: String, advice: Option<String>) {
        self.0.push(Finding { level, subject, found, advice });
    }
}

pub(crate) async fn run(context: &mut Context) -> Result<()> {
    let mut findings = Findings::default();
    match context.connect().await {
        Ok(client) => examine(&client, &mut findings).await?,
        Err(error) => findings.bad("name server", explain(&error), "Start it, or name another one with --namesrv."),
    }
    show(context, &findings.0)?;
    if findings.0.iter().any(|finding| finding.level == Level::Bad) {
        return Err(Failure::Reported(FAILED).into());
    }
    Ok(())
}

async fn examine(client: &Client, findings: &mut Findings) -> Result<()> {
    let (admin, brokers) = (client.admin(), network::name_servers(client, findings).await);
    if brokers.is_empty() {
        findings.bad("brokers", "none is registered", "Start one, and let its namesrvAddr point here.");
        return Ok(());
    }
    let mut reachable = Vec::new();
    for broker in &brokers {
        network::address(client, broker, findings);
        if broker::examine(&admin, broker, findings).await {
            machine::examine(&admin, broker, findings).await;
            network::vip_port(broker, findings).await;
            reachable.push(broker.clone());
        }
    }
    broker::compare(&brokers, findings);
    let masters: Vec<_> = reachable.into_iter().filter(client::Broker::is_master).collect();
    // A broker that fails half-way was reported above or answers strangely now; the other checks still count.
    let checks = [
        ("topics", clients::topics(&admin, &masters, findings).await),
        ("groups", clients::groups(&admin, &masters, findings).await),
    ];
    for (subject, result) in checks {
        if let Err(error) = result {
            findings.bad(subject, error.to_string(), "See the log of that server.");
        }
    }
    Ok(())
}

fn show(context: &mut Context, findings: &[Finding]) -> Result<()> {
    if context.common.json {
        context.out.json(&findings)?;
        return Ok(());
    }
    let colour = context.out.is_terminal();
    for finding in findings {
        let (mark, code) = match finding.level {
            Level::Good => ("ok   ", 32),
            Level::Note => ("note ", 33),
            Level::Bad => ("BAD  ", 31),
        };
        let mark = if colour { format!("\u{1b}[{code}m{mark}\u{1b}[0m") } else { mark.to_owned() };
        context.out.line(format!("{mark} {}: {}", finding.subject, finding.found))?;
        if let Some(advice) = &finding.advice {
            context.out.line(format!("       {advice}"))?;
        }
    }
    let (bad, notes) = (of(findings, Level::Bad), of(findings, Level::Note));
    context.out.line("")?;
    context.out.line(match (bad, notes) {
        (0, 0) => "All is well.".to_owned(),
        (0, notes) => format!("Nothing is wrong, {notes} worth knowing."),
        (bad, notes) => format!("{bad} wrong, {notes} worth knowing."),
    })?;
    Ok(())
}

fn of(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

/// The reason in few words.
fn reason(error: &Error) -> String {
    without_numbers(&error.to_string())
}
