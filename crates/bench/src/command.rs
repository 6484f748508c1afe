//! The measurements, a file for each.

mod consume;
mod disk;
mod end_to_end;
mod pop;
mod pull;
mod send;
mod topics;

use clap::{Args, Subcommand};

use crate::Error;
use crate::args::Watch;
use crate::report::Report;

/// Loads a RocketMQ server and tells how fast it is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rocketmq bench send                              two connections at full speed for ten seconds
  rocketmq bench send --rate 20000                 open loop: latency counts from the intended time of each send
  rocketmq bench send -c 4 -w 1                    four producers that wait for each answer
  rocketmq bench pull                              read the newest messages of what was sent, over and over
  rocketmq bench pop -c 4                          take messages and ack each of them
  rocketmq bench end-to-end --rate 5000            from the producer to the consumer
  rocketmq bench disk                              what the disk itself can do
  rocketmq bench send --server-pid $(pgrep -f 'rocketmq server')   CPU and memory of the server as well")]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Send(send::SendArgs),
    Pull(pull::PullArgs),
    Pop(pop::PopArgs),
    Consume(consume::ConsumeArgs),
    EndToEnd(end_to_end::EndToEndArgs),
    Topics(topics::TopicsArgs),
    Disk(disk::DiskArgs),
}

impl BenchArgs {
    /// Asks this name server unless the line names another one.
    #[must_use]
    pub fn by_default_at(mut self, name_server: &str) -> BenchArgs {
        let place = match &mut self.command {
            Command::Send(args) => &mut args.place,
            Command::Pull(args) => &mut args.place,
            Command::Pop(args) => &mut args.place,
            Command::Consume(args) => &mut args.place,
            Command::EndToEnd(args) => &mut args.place,
            Command::Topics(args) => &mut args.place,
            // Talks to no server.
            Command::Disk(_) => return self,
        };
        place.namesrv.get_or_insert_with(|| name_server.to_owned());
        self
    }

    /// Runs the measurement and prints its result. Blocks until it is over.
    pub fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Send(args) => args.run(),
            Command::Pull(args) => args.run(),
            Command::Pop(args) => args.run(),
            Command::Consume(args) => args.run(),
            Command::EndToEnd(args) => args.run(),
            Command::Topics(args) => args.run(),
            Command::Disk(args) => args.run(),
        }
    }
}

fn print(watch: &Watch, report: &Report) {
    match watch.json {
        true => println!("{}", serde_json::to_string_pretty(report).unwrap_or_default()),
        false => print!("{}", report.text()),
    }
}
