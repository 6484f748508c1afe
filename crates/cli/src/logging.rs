//! Log lines go to standard error, so that they never mix with answers.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{Common, LogFormat};

/// Starts logging as the flags say. A filter that cannot be read logs warnings and says so.
pub(crate) fn start(common: &Common) {
    let filter = EnvFilter::try_new(&common.log);
    let mistake = filter.as_ref().err().map(ToString::to_string);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match common.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = mistake {
        tracing::warn!(filter = common.log, error, "log filter not understood");
    }
}
