//! `rocketmq config`: files of settings, and what can be set.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use remoting::TlsSettings;
use serde_json::json;
use settings::{Change, Key, Problems, Settings, Severity, Sources};

use crate::context::Context;
use crate::failure::{FAILED, Failure};
use crate::output::Rows;
use crate::role::OwnSettings;

const EXAMPLES: &str = "\
Examples:
  rocketmq config check broker.conf
  rocketmq config check namesrv.conf --role namesrv
  rocketmq config keys flush

Settings of brokers that run: see \"rocketmq broker config\".";

/// Check files of settings, and explain what can be set.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Say what a server would say about files of settings, and start none.
    Check(Check),
    /// List what can be set, with its default and meaning.
    Keys(Keys),
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file: broker.conf, namesrv.conf or rmq-proxy.json. A later one counts more than those before it.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The server that shall take them.
    #[arg(long, value_enum, default_value = "server")]
    role: Role,
}

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// Only those with this in their name or meaning.
    text: Option<String>,
    /// The server they are for.
    #[arg(long, value_enum, default_value = "server")]
    role: Role,
}

/// Servers that take settings. (Docs of the variants would stretch every help page.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    Server,
    Broker,
    Namesrv,
    Proxy,
}

impl Role {
    /// The groups of keys it takes, with their defaults.
    fn settings(self) -> Vec<Box<dyn Settings>> {
        match self {
            Role::Server => vec![
                Box::new(broker_server::Settings::default()),
                Box::new(metrics::Settings::default()),
                Box::new(OwnSettings::default()),
                Box::new(proxy::Settings::default()),
                Box::new(TlsSettings::default()),
            ],
            Role::Broker => vec![
                Box::new(broker_server::Settings::default()),
                Box::new(metrics::Settings::default()),
                Box::new(TlsSettings::default()),
            ],
            Role::Namesrv => vec![Box::new(namesrv::Settings::default()), Box::new(TlsSettings::default())],
            Role::Proxy => vec![
                Box::new(proxy::ClusterSettings::default()),
                Box::new(metrics::Settings::default()),
                Box::new(proxy::Settings::default()),
                Box::new(TlsSettings::default()),
            ],
        }
    }
}

pub(crate) fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Check(arguments) => check(context, &arguments),
        Command::Keys(arguments) => keys(context, &arguments),
    }
}

fn check(context: &mut Context, arguments: &Check) -> Result<()> {
    let mut groups = arguments.role.settings();
    let sources = arguments.files.iter().fold(Sources::new(), |sources, file| sources.file(file));
    let mut borrowed: Vec<&mut dyn Settings> = groups.iter_mut().map(borrow).collect();
    let found = sources.load(&mut borrowed);
    let usable = found.is_ok();
    let (Ok(problems) | Err(problems)) = found;
    if context.common.json {
        let problems = problems.0.iter().map(|problem| {
            let severity = format!("{:?}", problem.severity).to_lowercase();
            json!({"severity": severity, "origin": problem.origin.to_string(), "text": problem.text})
        });
        context.out.json(&json!({"usable": usable, "problems": problems.collect::<Vec<_>>()}))?;
    } else {
        say(context, &arguments.files, usable, &problems)?;
    }
    if usable { Ok(()) } else { Err(Failure::Reported(FAILED).into()) }
}

fn borrow(group: &mut Box<dyn Settings>) -> &mut dyn Settings {
    group.as_mut()
}

fn say(context: &mut Context, files: &[PathBuf], usable: bool, problems: &Problems) -> Result<()> {
    if !problems.0.is_empty() {
        context.out.line(problems.to_string())?;
    }
    let of = |severity| problems.of(severity).count();
    let names: Vec<String> = files.iter().map(|file: &PathBuf| Path::display(file).to_string()).collect();
    let verdict = match (usable, of(Severity::Warning)) {
        (true, 0) => "usable".to_owned(),
        (true, warnings) => format!("usable, but not all as it asks: {warnings} warnings"),
        (false, _) => format!("not usable, a server would not start: {} errors", of(Severity::Error)),
    };
    context.out.line(format!("{}: {verdict}", names.join(", ")))?;
    Ok(())
}

fn keys(context: &mut Context, arguments: &Keys) -> Result<()> {
    let groups = arguments.role.settings();
    let mut rows = Rows::new(["key", "default", "unit", "change", "meaning"]);
    let mut shown = Vec::new();
    for group in &groups {
        for key in group.keys().iter().filter(|key| matches(key, arguments.text.as_deref())) {
            let default = group.get(key.name).unwrap_or_default();
            let change = match key.change {
                Change::Live => "at once",
                Change::Restart => "restart",
            };
            let meaning = key.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            shown.push(
                json!({"key": key.name, "default": default, "unit": key.unit, "change": change, "meaning": meaning}),
            );
            rows.push([key.name.to_owned(), default, key.unit.to_owned(), change.to_owned(), meaning]);
        }
    }
    if shown.is_empty() {
        let text = format!("no key has {:?} in its name or meaning", arguments.text.as_deref().unwrap_or_default());
        return Err(Failure::NotFound(text).into());
    }
    if context.common.json {
        context.out.json(&shown)?;
    } else {
        context.out.wrapped(&rows)?;
    }
    Ok(())
}

fn matches(key: &Key, text: Option<&str>) -> bool {
    let Some(text) = text.map(str::to_lowercase) else { return true };
    key.name.to_lowercase().contains(&text) || key.doc.to_lowercase().contains(&text)
}
