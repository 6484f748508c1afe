//! `rocketmq group list`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::output::{Rows, count};
use crate::survey::{self, Group};
use crate::watch::Watch;

/// Which groups.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only groups whose name contains this.
    text: Option<String>,
    /// Also groups of the system.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let admin = context.admin().await?;
    let masters = admin.masters(None).await?;
    let mut groups = survey::groups(&admin, &masters, arguments.all).await?;
    groups.retain(|group| arguments.text.as_ref().is_none_or(|text| group.name.contains(text)));
    if context.common.json {
        let shown = |group: &Group| json!({"group": group.name, "members": group.members.len(), "lag": group.lag(), "topics": group.topics()});
        context.out.json(&groups.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(());
    }
    let mut rows = Rows::new(["group", "#members", "#lag", "topics"]);
    for group in &groups {
        let topics: Vec<&str> = group.topics().into_iter().collect();
        rows.push([group.name.clone(), group.members.len().to_string(), count(group.lag()), topics.join(" ")]);
    }
    context.out.table(&rows, "no groups; a group appears when its first consumer starts")?;
    Ok(())
}
