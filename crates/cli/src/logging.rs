//! Log lines go to standard error, so that they never mix with answers. A thread writes them: where they go may be a file on
//! a disk that stalls, or a pipe that nobody empties, and that must stall nobody who logs.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, LogFormat};

/// Lines that may wait to be written. Further ones are lost, and counted.
const LINES_MAX: usize = 10_000;

/// Where the lines go. Tells of those that were lost.
struct Output<W> {
    to: W,
    lost: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    /// Comes when no line waits any more, so there is room for one.
    fn flush(&mut self) -> io::Result<()> {
        let lost = self.lost.get().map_or(0, ErrorCounter::dropped_lines);
        if lost > self.told {
            tracing::warn!(lines = lost - self.told, "log lines were lost, as nobody took them");
            self.told = lost;
        }
        self.to.flush()
    }
}

/// Starts logging as the flags say. A filter that cannot be read counts as none, and is told. What waits is written when the
/// guard is dropped.
pub(crate) fn start(arguments: &Arguments) -> WorkerGuard {
    let default = if arguments.command.is_role() { "info" } else { "warn" };
    let common = &arguments.common;
    let log = common.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(log);
    let mistake = filter.as_ref().err().map(ToString::to_string);
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).thread_name("log");
    let lost = Arc::default();
    let (lines, guard) = builder.finish(Output { to: io::stderr(), lost: Arc::clone(&lost), told: 0 });
    // Nobody else sets it.
    let _ = lost.set(lines.error_counter());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(lines)
        .with_ansi(io::stderr().is_terminal());
    match common.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = mistake {
        tracing::warn!(filter = log, error, "log filter not understood");
    }
    guard
}
