//! `rocketmq context`: clusters by name.

use anyhow::Result;
use clap::{Args, Subcommand};
use client::Credentials;
use serde_json::json;

use crate::complete;
use crate::context::Context;
use crate::contexts::{Contexts, Known, Named, Target};
use crate::failure::Failure;
use crate::output::Rows;
use crate::{parse, secret};

const EXAMPLES: &str = "\
Examples:
  rocketmq context add staging --namesrv 'mq-1:9876;mq-2:9876' --description \"two of everything\" --use
  rocketmq context add prod --namesrv mq:9876 --access-key alice --secret-key-file secret
  rocketmq context list
  rocketmq --context staging topic list

The cluster of a command is, in this order: --namesrv, --context, ROCKETMQ_NAMESRV_ADDR,
ROCKETMQ_CONTEXT, NAMESRV_ADDR, the current context, 127.0.0.1:9876.";

/// Name clusters, and choose the one that commands talk to.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// List contexts.
    #[command(visible_alias = "ls")]
    List,
    /// Make a context of the addresses in --namesrv, or change it.
    Add(Add),
    /// Let commands talk to a context when nothing else is said.
    Use(Which),
    /// Show where commands go now and why, or what a context is.
    Show(Show),
    /// Forget a context.
    #[command(visible_alias = "rm")]
    Remove(Which),
}

/// The context to make.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name: letters, digits, . _ -
    #[arg(value_parser = parse::context)]
    name: String,
    /// A line for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Use it from now on.
    #[arg(long = "use")]
    current: bool,
}

/// One context.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Name.
    #[arg(add = complete::contexts())]
    name: String,
}

/// One context, or none in particular.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name; without it, what counts now.
    #[arg(add = complete::contexts())]
    name: Option<String>,
}

pub(crate) fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context),
        Command::Add(arguments) => add(context, arguments),
        Command::Use(arguments) => choose(context, &arguments.name),
        Command::Show(arguments) => show(context, arguments.name.as_deref()),
        Command::Remove(arguments) => remove(context, &arguments.name),
    }
}

fn list(context: &mut Context) -> Result<()> {
    let all = Contexts::load()?;
    let is_current = |name: &str| all.current.as_deref() == Some(name);
    if context.common.json {
        let shown = all.contexts.iter().map(|(name, named)| shown(name, named, is_current(name)));
        context.out.json(&shown.collect::<Vec<_>>())?;
        return Ok(());
    }
    let mut rows = Rows::new(["context", "current", "name servers", "description"]);
    for (name, named) in &all.contexts {
        let mark = if is_current(name) { "*" } else { "" };
        let description = named.description.clone().unwrap_or_default();
        rows.push([name.clone(), mark.into(), named.namesrv.clone(), description]);
    }
    context.out.table(&rows, "no contexts; make one with \"rocketmq context add NAME --namesrv HOST:PORT\"")?;
    Ok(())
}

fn shown(name: &str, named: &Named, current: bool) -> serde_json::Value {
    // Secrets are for the cluster, not for screens.
    let access_key = named.credentials.as_ref().map(|known| &known.access_key);
    json!({
        "context": name,
        "current": current,
        "namesrv": named.namesrv,
        "description": named.description,
        "accessKey": access_key,
    })
}

fn add(context: &mut Context, arguments: Add) -> Result<()> {
    let Some(namesrv) = context.common.namesrv.clone().filter(|namesrv| !namesrv.trim().is_empty()) else {
        let text = format!("say where it is: rocketmq context add {} --namesrv HOST:PORT", arguments.name);
        return Err(Failure::Usage(text).into());
    };
    let mut all = Contexts::load()?;
    if arguments.current {
        all.current = Some(arguments.name.clone());
    }
    let credentials = secret::given(&context.common)?;
    let credentials = credentials.map(|Credentials { access_key, secret_key }| Known { access_key, secret_key });
    let named = Named { namesrv: namesrv.clone(), description: arguments.description, credentials };
    let done = match all.contexts.insert(arguments.name.clone(), named) {
        Some(_) => "changed",
        None => "added",
    };
    all.save()?;
    say(context, &arguments.name, done, &format!("{done} context {:?} for {namesrv}", arguments.name))
}

fn choose(context: &mut Context, name: &str) -> Result<()> {
    let mut all = Contexts::load()?;
    let namesrv = all.get(name)?.namesrv.clone();
    all.current = Some(name.to_owned());
    all.save()?;
    say(context, name, "used", &format!("commands talk to {namesrv} from now on, context {name:?}"))
}

fn show(context: &mut Context, name: Option<&str>) -> Result<()> {
    let all = Contexts::load()?;
    if let Some(name) = name {
        let named = all.get(name)?;
        let current = all.current.as_deref() == Some(name);
        if context.common.json {
            context.out.json(&shown(name, named, current))?;
            return Ok(());
        }
        context.out.line(format!("Context {name}{}", if current { ", the current one" } else { "" }))?;
        context.out.line(format!("Name servers {}", named.namesrv))?;
        if let Some(Known { access_key, .. }) = &named.credentials {
            context.out.line(format!("Access key   {access_key}, with a secret"))?;
        }
        if let Some(description) = &named.description {
            context.out.line(description)?;
        }
        return Ok(());
    }
    let target = Target::resolve(context.common.namesrv.as_deref(), context.common.context.as_deref())?;
    let file = Contexts::path()?;
    if context.common.json {
        let by = target.chosen.to_string();
        context.out.json(&json!({"namesrv": target.namesrv, "chosenBy": by, "file": file}))?;
        return Ok(());
    }
    context.out.line(format!("Name servers {}", target.namesrv))?;
    context.out.line(format!("Chosen by    {}", target.chosen))?;
    context.out.line(format!("Contexts in  {}", file.display()))?;
    context.out.line("")?;
    context.out.line(
        "The order is: --namesrv, --context, ROCKETMQ_NAMESRV_ADDR, ROCKETMQ_CONTEXT, NAMESRV_ADDR, the current context, \
         127.0.0.1:9876.",
    )?;
    Ok(())
}

fn remove(context: &mut Context, name: &str) -> Result<()> {
    let mut all = Contexts::load()?;
    all.get(name)?;
    all.contexts.remove(name);
    if all.current.as_deref() == Some(name) {
        all.current = None;
    }
    all.save()?;
    say(context, name, "removed", &format!("removed context {name:?}"))
}

fn say(context: &mut Context, name: &str, done: &str, text: &str) -> Result<()> {
    if context.common.json {
        context.out.json(&json!({"context": name, "result": done}))?;
    } else {
        context.out.line(text)?;
    }
    Ok(())
}
