//! Log lines go to standard error, so that they never mix with answers.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, LogFormat};

/// Starts logging as the flags say. A filter that cannot be read counts as none, and is told.
pub(crate) fn start(arguments: &Arguments) {
    let default = if arguments.command.is_role() { "info" } else { "warn" };
    let common = &arguments.common;
    let log = common.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(log);
    let mistake = filter.as_ref().err().map(ToString::to_string);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match common.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = mistake {
        tracing::warn!(filter = log, error, "log filter not understood");
    }
}
