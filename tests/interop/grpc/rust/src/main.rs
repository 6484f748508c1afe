//! Runs the scenarios named on the command line with the Rust gRPC client and prints one line of JSON for each.

mod crossing;
mod env;
mod receiving;
mod restarting;
mod sending;
mod special;

use std::collections::VecDeque;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use env::{Addresses, Env};
use serde_json::json;
use tokio::sync::Mutex;

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Scenario {
    name: &'static str,
    kind: &'static str,
    seconds: u64,
    run: Box<dyn Fn(Arc<Env>) -> Body + Send + Sync>,
}

/// A scenario that runs together with others.
pub fn together<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    run: impl Fn(Arc<Env>) -> F + Send + Sync + 'static,
) -> Scenario {
    Scenario { name, kind: "together", seconds: 120, run: Box::new(move |env| Box::pin(run(env))) }
}

/// A scenario during which the server is restarted.
pub fn restart<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    run: impl Fn(Arc<Env>) -> F + Send + Sync + 'static,
) -> Scenario {
    Scenario { kind: "restart", seconds: 450, ..together(name, run) }
}

fn main() {
    let mut scenarios: Vec<Scenario> = Vec::new();
    scenarios.extend(sending::scenarios());
    scenarios.extend(receiving::scenarios());
    scenarios.extend(special::scenarios());
    scenarios.extend(crossing::scenarios());
    scenarios.extend(restarting::scenarios());

    let mut addresses = Addresses::default();
    let (mut parallel, mut wanted) = (1, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => {
                for s in &scenarios {
                    println!("{}\t{}\t{}", s.name, s.kind, s.seconds);
                }
                return;
            }
            "--namesrv" => drop(arguments.next()),
            "--grpc" => addresses.grpc = arguments.next().unwrap_or_default(),
            "--helper" => addresses.helper = arguments.next().unwrap_or_default(),
            "--parallel" => parallel = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1),
            _ => wanted.push(argument),
        }
    }
    scenarios.retain(|s| wanted.is_empty() || wanted.iter().any(|w| w == s.name));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let left = Arc::new(Mutex::new(VecDeque::from(scenarios)));
        let workers = (0..parallel).map(|_| {
            let (left, addresses) = (left.clone(), addresses.clone());
            tokio::spawn(async move {
                loop {
                    let Some(scenario) = left.lock().await.pop_front() else { return };
                    report(scenario, addresses.clone()).await;
                }
            })
        });
        futures::future::join_all(workers).await;
    });
    // Clients keep tasks of their own; nothing of theirs is worth waiting for.
    std::process::exit(0);
}

async fn report(scenario: Scenario, addresses: Addresses) {
    let began = Instant::now();
    let task = tokio::spawn((scenario.run)(Arc::new(Env::new(addresses))));
    let abort = task.abort_handle();
    let reason = match tokio::time::timeout(Duration::from_secs(scenario.seconds), task).await {
        Ok(Ok(())) => String::new(),
        Ok(Err(e)) => reason_of(e),
        Err(_) => {
            abort.abort();
            format!("still running after {} s", scenario.seconds)
        }
    };
    let result = if reason.is_empty() { "PASS" } else { "FAIL" };
    let seconds = began.elapsed().as_secs_f64();
    say(json!({"scenario": scenario.name, "result": result, "seconds": seconds, "reason": reason}));
}

/// Scenarios fail by panicking.
fn reason_of(e: tokio::task::JoinError) -> String {
    let panic = match e.try_into_panic() {
        Ok(panic) => panic,
        Err(e) => return e.to_string(),
    };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| t.to_string())).unwrap_or_else(|| "a panic".into());
    // The library's errors end with a backtrace.
    let text = text.split("Stack backtrace").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

pub fn say(line: serde_json::Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("standard output");
}

/// Has the runner restart the server; returns when it serves again.
pub async fn restart_server(how: &str) {
    say(json!({"restart": how}));
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
        .await
        .expect("a thread")
        .expect("input");
}
