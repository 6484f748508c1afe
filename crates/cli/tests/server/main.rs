//! The promises of `rocketmq server`, tested on real processes: bad input, faults, the end and the start.

#![allow(clippy::print_stdout, reason = "figures and seeds are for who reads the output of a test")]

mod disk;
mod frames;
mod idle;
mod kill;
mod restart;
mod stall;
mod start;
mod stop;

use testkit::{Message, Pull, Server, ServerCommand, eventually};
use tokio::sync::{Mutex, MutexGuard};

/// The binary, with small segments so that tests see several. `ROCKETMQ_BIN` names another one, such as a release build.
fn rocketmq() -> ServerCommand {
    let binary = std::env::var_os("ROCKETMQ_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_rocketmq").into());
    ServerCommand::new(binary).set("mappedFileSizeCommitLog", 4 << 20)
}

/// Sends a message, reads it back, and looks for panics.
#[track_caller]
fn is_well(server: &Server) -> impl Future<Output = ()> + '_ {
    let caller = std::panic::Location::caller();
    async move {
        let client = server.client().await;
        let sent = client.send("well", 0, &Message::new("ping")).await;
        let sent = sent.unwrap_or_else(|refused| panic!("{caller}: {refused:?}"));
        let what = "the message is visible";
        let pulled = eventually(what, async || {
            let pulled = client.pull(&Pull::from("well", 0, sent.offset)).await.expect("the queue can be read");
            (pulled.code == 0).then_some(pulled)
        });
        assert_eq!(pulled.await.messages[0].text(), "ping");
        assert_eq!(server.panics(), [""; 0], "{caller}");
    }
}

/// Tests that measure time or fill the machine run one at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}
