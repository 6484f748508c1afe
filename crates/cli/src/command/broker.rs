//! `rocketmq broker list`, `status` and `config`: brokers seen from outside.

mod config;
mod list;
mod status;

use anyhow::Result;
use clap::{Args, Subcommand};
use client::{Admin, Broker, Error};
use futures_util::stream::{self, StreamExt};

use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::figures::Figures;
use crate::survey::AT_ONCE;

pub(crate) use list::{rows, shown};

/// What can be asked of brokers that run elsewhere. Without any of these, `rocketmq broker` is one.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List brokers with their load.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Show how a broker is, or all of them.
    Status(status::Arguments),
    /// Show and change settings of running brokers.
    #[command(subcommand)]
    Config(config::Command),
}

/// Which brokers.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only the broker of this name or address.
    #[arg(add = complete::brokers())]
    broker: Option<String>,
}

pub(crate) async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => arguments.watch.show(context, list::run).await,
        Command::Status(arguments) => {
            arguments.watch.show(context, async |context| status::run(context, &arguments).await).await
        }
        Command::Config(command) => config::run(context, command).await,
    }
}

/// The brokers of a name, replicas included, or the one of an address; without either all.
pub(crate) async fn chosen(admin: &Admin, name: Option<&str>) -> Result<Vec<Broker>> {
    let mut brokers = admin.brokers().await?;
    brokers.retain(|broker| name.is_none_or(|name| name == broker.name || name == broker.address));
    if brokers.is_empty() {
        let text = match name {
            Some(name) => format!("no broker {name:?} is registered. See \"rocketmq broker list\"."),
            None => "no broker is registered at the name server".into(),
        };
        return Err(Failure::NotFound(text).into());
    }
    Ok(brokers)
}

/// A broker, and what it says about itself or why it says nothing.
pub(crate) type Examined = (Broker, Result<Figures, Error>);

/// Asks brokers about themselves.
pub(crate) async fn examine(admin: &Admin, brokers: Vec<Broker>) -> Vec<Examined> {
    let asked = stream::iter(brokers).map(|broker| async {
        let figures = admin.runtime_info(&broker.address).await.map(Figures);
        (broker, figures)
    });
    asked.buffered(AT_ONCE).collect().await
}
