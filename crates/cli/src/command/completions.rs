//! `rocketmq completions`.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  source <(rocketmq completions bash)
  rocketmq completions fish > ~/.config/fish/completions/rocketmq.fish";

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut crate::args::Arguments::command(), "rocketmq", &mut script);
    context.out.line(script.trim_ascii_end())?;
    Ok(())
}
