//! `rocketmq broker status`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Examined, Which, chosen, examine, shown};
use crate::context::Context;
use crate::failure::{FAILED, Failure, without_numbers};
use crate::figures::Figures;
use crate::output;
use crate::watch::Watch;

/// Which broker.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// Fails when a broker does not answer.
pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let brokers = chosen(&admin, arguments.which.broker.as_deref()).await?;
    let brokers = examine(&admin, brokers).await;
    for (at, examined) in brokers.iter().enumerate() {
        if context.common.json {
            let mut status = shown(examined);
            status["figures"] = json!(examined.1.as_ref().ok().map(|figures| &figures.0));
            context.out.json(&status)?;
        } else {
            if at > 0 {
                context.out.line("")?;
            }
            show(context, examined)?;
        }
    }
    if brokers.iter().all(|(_, figures)| figures.is_ok()) { Ok(()) } else { Err(Failure::Reported(FAILED).into()) }
}

fn show(context: &mut Context, (broker, figures): &Examined) -> Result<()> {
    let role = if broker.is_master() { "master".to_owned() } else { format!("replica {}", broker.id) };
    context.out.line(format!("Broker {} at {}, {role} in {}", broker.name, broker.address, broker.cluster))?;
    match figures {
        Ok(figures) => {
            for (name, value) in lines(figures) {
                context.out.line(format!("  {name:<10} {value}"))?;
            }
        }
        Err(error) => context.out.line(format!("  unreachable: {}", without_numbers(&error.to_string())))?,
    }
    Ok(())
}

/// What people want to know, where the broker says it.
fn lines(figures: &Figures) -> Vec<(&'static str, String)> {
    let rate = |rate: Option<f64>| rate.map(|rate| format!("{} messages/s", output::rate(rate)));
    let stored = figures.stored().map(|stored| format!(", {} since the start", output::count(stored)));
    let disk = figures.disk_used().map(|used| {
        let size = figures.disk_text().map(|text| format!(" ({text})"));
        format!("{} used{}", output::percent(used), size.unwrap_or_default())
    });
    let log = figures.log_bytes().map(|bytes| {
        let since = figures.oldest_ms().map(|ms| format!(", the oldest message is of {}", output::time(ms)));
        output::bytes(bytes) + &since.unwrap_or_default()
    });
    let all = [
        ("version", Some(figures.version().to_owned())),
        ("started", figures.started_ms().map(output::time)),
        ("in", rate(figures.in_per_second()).map(|text| text + &stored.unwrap_or_default())),
        ("out", rate(figures.out_per_second())),
        ("send p99", figures.send_p99_ms().map(|ms| format!("{ms} ms"))),
        ("log", log),
        ("timers", figures.timers().map(output::count)),
        ("disk", disk),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
