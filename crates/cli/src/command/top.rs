//! `rocketmq top`: brokers, topics and groups by what they do now.

mod sample; // start here
mod screen;
mod terminal;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use client::Admin;
use tokio::sync::mpsc;

use crate::context::Context;
use crate::failure::{Failure, explain};
use crate::parse;
use sample::Sample;
use screen::{Sort, View};
use terminal::{Key, Terminal};

const EXAMPLES: &str = "\
Examples:
  rocketmq top
  rocketmq top orders --interval 5
  rocketmq top --once --json

Keys: s sorts by another column, q quits.
Rates are what offsets moved between two looks; those of brokers are their own of the last ten seconds.
Behind: how long ago the last message that a group has consumed was stored.";

/// What to show.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only topics and groups whose name contains this.
    text: Option<String>,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse::period)]
    interval: Duration,
    /// Look twice, print, and end; for scripts. With --json alone, a line for each look follows until stopped.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    if !arguments.once && !context.common.json && !context.out.is_terminal() {
        let text = "this needs a terminal; say --once for a table, or --json for a line each look";
        return Err(Failure::Usage(text.into()).into());
    }
    let admin = context.admin().await?;
    let filter = arguments.text.unwrap_or_default();
    // The line that was typed is wrong, or it is not: later failures are shown and tried again.
    let first = sample::take(&admin, &filter).await?;
    let (sender, mut looks) = mpsc::channel(1);
    let looking = tokio::spawn(look(admin, filter, arguments.interval, sender));
    let shown = if context.common.json || arguments.once {
        print(context, arguments.once, first, &mut looks).await
    } else {
        follow(context, first, &mut looks).await
    };
    looking.abort();
    // It was just told to go: that it did is no news.
    let _ = looking.await;
    shown
}

/// Takes samples until nobody wants them.
async fn look(admin: Admin, filter: String, interval: Duration, samples: mpsc::Sender<Result<Sample, client::Error>>) {
    loop {
        tokio::time::sleep(interval).await;
        if samples.send(sample::take(&admin, &filter).await).await.is_err() {
            return;
        }
    }
}

type Looks = mpsc::Receiver<Result<Sample, client::Error>>;

async fn print(context: &mut Context, once: bool, mut before: Sample, looks: &mut Looks) -> Result<()> {
    let stop = context.stop.clone();
    while let Some(Some(look)) = stop.run_until_cancelled(looks.recv()).await {
        let now = look?;
        let view = View::between(&before, &now, Sort::default());
        if context.common.json {
            context.out.json(&view.json())?;
        } else {
            context.out.line(view.lines(usize::MAX).join("\n"))?;
        }
        context.out.flush()?;
        if once {
            return Ok(());
        }
        before = now;
    }
    Ok(())
}

async fn follow(context: &mut Context, first: Sample, looks: &mut Looks) -> Result<()> {
    let mut terminal = Terminal::open()?;
    let (mut before, mut now) = (first.clone(), first);
    let (mut sort, mut trouble) = (Sort::default(), None);
    loop {
        let (columns, rows) = terminal.size();
        let mut lines = View::between(&before, &now, sort).lines(rows.saturating_sub(2));
        lines.push(trouble.clone().unwrap_or_else(|| format!("s sorts (by {sort}), q quits")));
        terminal.draw(&lines, columns)?;
        tokio::select! {
            () = context.stop.cancelled() => return Ok(()),
            key = terminal.key() => match key {
                Some(Key::Sort) => sort = sort.next(),
                Some(Key::Quit) | None => return Ok(()),
            },
            look = looks.recv() => match look {
                Some(Ok(sample)) => {
                    trouble = None;
                    before = std::mem::replace(&mut now, sample);
                }
                Some(Err(error)) => trouble = Some(explain(&error.into())),
                None => return Ok(()),
            },
        }
    }
}
