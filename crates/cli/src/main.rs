//! `rocketmq`: server and tool in one binary.

mod role;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// RocketMQ in one binary: server and tool
#[derive(Debug, Parser)]
#[command(name = "rocketmq", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Server(role::ServerArgs),
    Broker(role::BrokerArgs),
    Namesrv(role::NamesrvArgs),
    Bench(bench::BenchArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let result = match Arguments::parse().command {
        Command::Server(args) => args.run().await,
        Command::Broker(args) => args.run().await,
        Command::Namesrv(args) => args.run().await,
        Command::Bench(args) => tokio::task::block_in_place(|| args.run().map_err(Into::into)),
    };
    if let Err(error) = result {
        eprintln!("rocketmq: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
