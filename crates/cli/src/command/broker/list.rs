//! `rocketmq broker list`.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::{Examined, examine};
use crate::context::Context;
use crate::output::{self, Rows};
use crate::watch::Watch;

/// How to list.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) watch: Watch,
}

pub(crate) async fn run(context: &mut Context) -> Result<()> {
    let admin = context.admin().await?;
    let brokers = examine(&admin, admin.brokers().await?).await;
    if context.common.json {
        context.out.json(&brokers.iter().map(shown).collect::<Vec<_>>())?;
    } else {
        context.out.table(&rows(&brokers), "no broker is registered at the name server")?;
    }
    Ok(())
}

/// Brokers as a table.
pub(crate) fn rows(brokers: &[Examined]) -> Rows {
    let mut rows = Rows::new(["broker", "#id", "cluster", "address", "version", "#in/s", "#out/s", "#disk"]);
    for (broker, figures) in brokers {
        let figures = figures.as_ref().ok();
        let rate = |rate: Option<f64>| rate.map_or("-".into(), output::rate);
        rows.push([
            broker.name.clone(),
            broker.id.to_string(),
            broker.cluster.clone(),
            broker.address.clone(),
            figures.map_or("unreachable", |figures| figures.version()).to_owned(),
            rate(figures.and_then(|figures| figures.in_per_second())),
            rate(figures.and_then(|figures| figures.out_per_second())),
            figures.and_then(|figures| figures.disk_used()).map_or("-".into(), output::percent),
        ]);
    }
    rows
}

/// One broker for programs.
pub(crate) fn shown((broker, figures): &Examined) -> Value {
    let figures = figures.as_ref();
    json!({
        "broker": broker.name,
        "id": broker.id,
        "cluster": broker.cluster,
        "address": broker.address,
        "error": figures.err().map(ToString::to_string),
        "version": figures.ok().map(|figures| figures.version()),
        "inPerSecond": figures.ok().and_then(|figures| figures.in_per_second()),
        "outPerSecond": figures.ok().and_then(|figures| figures.out_per_second()),
        "diskUsed": figures.ok().and_then(|figures| figures.disk_used()),
    })
}
