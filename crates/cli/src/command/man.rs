//! `rocketmq man`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  rocketmq man | man -l -
  rocketmq man --dir /usr/local/share/man/man1";

/// Where to.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Write the pages of all commands into this directory: rocketmq.1, rocketmq-topic.1 and so on.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut command = crate::args::Arguments::command();
    command.build();
    let Some(dir) = &arguments.dir else {
        context.out.line(page(&command)?.trim_ascii_end())?;
        return Ok(());
    };
    fs::create_dir_all(dir).with_context(|| format!("make the directory {}", dir.display()))?;
    let written = pages(dir, &command)?;
    context.out.line(format!("wrote {written} pages to {}", dir.display()))?;
    Ok(())
}

/// Writes the page of a command and those of the commands below it.
fn pages(dir: &Path, command: &clap::Command) -> Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let file = dir.join(format!("{name}.1"));
    fs::write(&file, page(command)?).with_context(|| format!("write {}", file.display()))?;
    let mut written = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        written += pages(dir, below)?;
    }
    Ok(written)
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).manual("RocketMQ in Rust").render(&mut page)?;
    Ok(page)
}
