//! Showing something again and again.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::failure;
use crate::parse;

/// Flag of commands that show how things are.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Watch {
    /// Show it again and again until stopped, every two seconds unless said otherwise.
    #[arg(long, value_name = "SECONDS", value_parser = parse::period)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    watch: Option<Duration>,
}

impl Watch {
    /// Shows it once, or for ever. A round that fails is told, and the next one is tried: brokers restart. Only the first
    /// may end it, because then the line that was typed is wrong.
    pub(crate) async fn show(
        self,
        context: &mut Context,
        mut show: impl AsyncFnMut(&mut Context) -> Result<()>,
    ) -> Result<()> {
        let Some(period) = self.watch else { return show(context).await };
        let mut first = true;
        loop {
            context.out.begin_round(first)?;
            if let Err(error) = show(context).await {
                let text = failure::explain(&error);
                if failure::is_closed_pipe(&error) || (first && !text.is_empty()) {
                    return Err(error);
                }
                context.out.line(text)?;
            }
            context.out.flush()?;
            first = false;
            tokio::time::sleep(period).await;
        }
    }
}
