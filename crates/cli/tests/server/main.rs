//! The promises of `rocketmq server`, tested on real processes: bad input, faults, the end and the start.

mod disk;
mod frames;
mod idle;
mod kill;
mod restart;
mod start;
mod stop;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use testkit::{Message, Pull, Server, ServerCommand, eventually};

/// The binary, with small segments so that tests see several.
fn rocketmq() -> ServerCommand {
    ServerCommand::new(Path::new(env!("CARGO_BIN_EXE_rocketmq"))).set("mappedFileSizeCommitLog", 4 << 20)
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
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
