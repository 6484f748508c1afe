//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command::{
    cluster, completions, config, consume, context, dlq, doctor, group, man, message, produce, timer, top, topic,
    transaction,
};
use crate::{complete, parse, role};

const EXAMPLES: &str = "\
Examples:
  rocketmq server                              Start a node: name server, broker and gRPC
  rocketmq topic create orders --queues 8      Make a topic
  rocketmq produce orders 'hello, world'       Send one message
  seq 1000 | rocketmq produce orders           Send one message a line
  rocketmq consume orders --from beginning     Show what is there and follow
  rocketmq doctor                              Find out what is wrong

Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found.";

/// RocketMQ in one binary: the server, and a tool for every RocketMQ cluster, Java ones included.
#[derive(Debug, Parser)]
#[command(name = "rocketmq", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Name servers, several separated by semicolons.
    ///
    /// Without it the cluster is that of --context, ROCKETMQ_NAMESRV_ADDR, ROCKETMQ_CONTEXT, NAMESRV_ADDR, the current
    /// context, or 127.0.0.1:9876, in this order.
    #[arg(long, short = 'n', global = true, value_name = "HOST:PORT")]
    pub(crate) namesrv: Option<String>,
    /// The cluster that this context names; see "rocketmq context".
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "namesrv", add = complete::contexts())]
    pub(crate) context: Option<String>,
    /// User of a cluster that checks credentials [env: ROCKETMQ_ACCESS_KEY]
    ///
    /// Without it, that of the context. Its secret is taken from --secret-key, --secret-key-file, ROCKETMQ_SECRET_KEY, or
    /// asked for on the terminal. RocketMQ in Rust does not check credentials itself, Java clusters may.
    #[arg(long, global = true, value_name = "USER")]
    pub(crate) access_key: Option<String>,
    /// Secret of that user; others see it in the list of processes, so better use one of the other ways.
    #[arg(long, global = true, value_name = "SECRET", conflicts_with = "secret_key_file")]
    pub(crate) secret_key: Option<String>,
    /// File whose first line is the secret, - for standard input.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) secret_key_file: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Longest wait for one answer, such as 500ms or 10s.
    #[arg(long, global = true, value_name = "TIME", default_value = "3s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,
    /// What is logged to standard error: off, error, warn, info, debug, or a filter such as client=debug.
    ///
    /// The default is info for servers and warn for tools.
    #[arg(long, global = true, value_name = "FILTER", env = "ROCKETMQ_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// How it is logged.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look: for people, or one object a line. (Docs of the variants would stretch every help page.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The commands. Server roles come first in the help, tools after them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Server(role::ServerArgs),
    Broker(role::BrokerArgs),
    Namesrv(role::NamesrvArgs),
    Proxy(role::ProxyArgs),
    Bench(bench::BenchArgs),
    /// Send messages.
    Produce(produce::Arguments),
    /// Receive messages: follow a topic, or take part in a group.
    Consume(consume::Arguments),
    /// List, make, change, show and delete topics.
    #[command(subcommand)]
    Topic(topic::Command),
    /// List, make, change, show, move and delete consumer groups.
    #[command(subcommand)]
    Group(group::Command),
    /// Look at clusters.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Look messages up.
    #[command(subcommand)]
    Message(message::Command),
    /// List and show dead letters, and send them again.
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// List and cancel messages that wait for a time of their own.
    #[command(subcommand)]
    Timer(timer::Command),
    /// List transactions that wait for their producer, and decide them.
    #[command(subcommand)]
    Transaction(transaction::Command),
    /// Watch brokers, topics and groups: rates, lag, disk.
    Top(top::Arguments),
    /// Check name servers, brokers, topics and groups, and say what to do.
    Doctor(doctor::Arguments),
    /// Check files of settings, and explain what can be set.
    #[command(subcommand)]
    Config(config::Command),
    /// Name clusters, and choose the one that commands talk to.
    #[command(subcommand)]
    Context(context::Command),
    /// Print the completions of a shell.
    Completions(completions::Arguments),
    /// Print or write manual pages.
    Man(man::Arguments),
}

impl Command {
    /// Whether this is a server, which runs until it is stopped.
    pub(crate) fn is_role(&self) -> bool {
        match self {
            Command::Server(_) | Command::Namesrv(_) | Command::Proxy(_) => true,
            Command::Broker(arguments) => arguments.command.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn check(line: &str, accepted: bool) {
        let parsed = Arguments::try_parse_from(std::iter::once("rocketmq").chain(line.split(' ')));
        assert_eq!(parsed.is_ok(), accepted, "{line}: {:?}", parsed.err().map(|error| error.to_string()));
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn lines_are_accepted_or_refused() {
        check("produce T", true);
        check("produce T a b c --tag x --key 1 --key 2 --property a=b", true);
        check("produce T --count 10 --size 100", true);
        check("produce T a --file f", false);
        check("produce T a --size 10", false);
        check("produce T --size 10", false);
        check("produce T --property a", false);
        check("produce T --queue 1 --ordered-by k", false);
        check("produce T --delay-level 0", false);
        check("produce", false);
        check("consume T --group G --tag a||b --from -10m", true);
        check("consume T --from beginning --no-follow --count 3 --json", true);
        check("consume T --from 2026-01-02T03:04:05Z", true);
        check("consume T --from yesterdayish", false);
        check("consume T --tag a --sql b", false);
        check("topic create T --queues 4 --perm rw --attribute message.type=FIFO", true);
        check("topic create T --queues 0", false);
        check("topic create T --perm z", false);
        check("topic create bad*name", false);
        check("topic list --all", true);
        check("group describe G --namesrv a:1;b:2 --timeout 1s", true);
        check("group describe G --timeout soon", false);
        check("group reset G --topic T --to -10m --dry-run", true);
        check("group reset G --topic T --to beginning --yes", true);
        check("group reset G --topic T --offset 5 --queue 1 --broker b", true);
        check("group reset G --topic T --offset 5", false);
        check("group reset G --topic T", false);
        check("group reset G --to end", false);
        check("dlq list", true);
        check("dlq show G --count 5 --from -1d", false);
        check("dlq show G --count 5 --from -24h", true);
        check("dlq replay G --rate 10 --dry-run", true);
        check("dlq replay G --rate 0", false);
        check("timer cancel ID --topic T", true);
        check("transaction resolve ID --commit --yes", true);
        check("transaction resolve ID", false);
        check("transaction resolve ID --commit --rollback", false);
        check("doctor --json --watch", true);
        check("topic list --watch=5 --json", true);
        check("topic list --watch=0", false);
        check("topic update T --queues 4 --perm r", true);
        check("topic update T", false);
        check("group create G --fifo on --retries 3", true);
        check("group create G --fifo maybe", false);
        check("broker list", true);
        check("broker status b --watch", true);
        check("broker config get", true);
        check("broker config set a=b --broker b", true);
        check("broker config set", false);
        check("broker config set a", false);
        check("broker --data d list", false);
        check("cluster status --context prod", true);
        check("cluster status --context prod --namesrv a:1", false);
        check("config check broker.conf rmq-proxy.json", true);
        check("config check", false);
        check("context add prod --namesrv a:1 --use", true);
        check("top --interval 0.5 orders", true);
        check("completions bash", true);
        check("server --data d --listen-port 0 --namesrv-port 0 --set flushDiskType=ASYNC_FLUSH", true);
        check("broker -c broker.conf --namesrv a:1", true);
        check("namesrv --listen-port x", false);
        check("proxy -n a:1 --grpc-port 0 -c rmq-proxy.json", true);
        check("proxy --data d", false);
        check("bench send -c 4 -w 1", true);
    }
}
