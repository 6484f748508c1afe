//! `rocketmq group delete`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::command::confirm;
use crate::complete;
use crate::context::Context;
use crate::failure::Failure;
use crate::survey;

/// Which group.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Consumer group.
    #[arg(add = complete::groups())]
    group: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let name = arguments.group.as_str();
    let admin = context.admin().await?;
    let masters = admin.masters(None).await?;
    let mut known = false;
    for broker in &masters {
        known |= admin.group_configs(&broker.address).await?.contains_key(name);
    }
    if !known {
        return Err(Failure::NotFound(format!("no broker knows the group {name:?}")).into());
    }
    let group = survey::group(&admin, &masters, name, None).await?;
    let members = match group.members.len() {
        0 => String::new(),
        members => format!(" {members} members are online and would bring it back."),
    };
    confirm(arguments.yes, &format!("Delete group {name:?} and its offsets?{members}"))?;
    admin.delete_group(name).await?;
    if context.common.json {
        context.out.json(&json!({"group": name, "result": "deleted"}))?;
    } else {
        context.out.line(format!("deleted group {name:?}"))?;
    }
    Ok(())
}
