//! `rocketmq completions`.

use anyhow::{Context as _, Result};
use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::complete;
use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  source <(rocketmq completions bash)
  rocketmq completions zsh > \"${fpath[1]}/_rocketmq\"
  rocketmq completions fish > ~/.config/fish/completions/rocketmq.fish

Names of topics, groups and brokers come from the running cluster, if it answers within 0.6 s. The script asks the
\"rocketmq\" on the PATH.";

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let shell = shells.completer(&arguments.shell.to_string()).context("this shell is not supported")?;
    shell.write_registration(complete::VARIABLE, "rocketmq", "rocketmq", "rocketmq", &mut script)?;
    context.out.line(script.trim_ascii_end())?;
    Ok(())
}
