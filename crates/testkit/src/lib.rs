//! For tests only: servers to start and kill, clients that say exactly what they are told to, and a checker of what
//! became of the messages.
//!
//! A [`Server`] is a real process of the binary, on ports of the system's choice and with a directory of its own; a
//! [`Node`] is the same in this process, for tests that need neither signals nor a fresh process. A [`Client`] asks
//! and waits for answers, a [`Wire`] is a bare socket for everything that no client sends, and a [`History`] compares
//! what was acknowledged with what can be read.

mod client;
mod history;
mod node;
mod pop;
mod seed;
mod server;
mod wait;
mod wire;

pub use client::{Batch, Client, Message, Pull, Pulled, Refused, Sent, Stored, heartbeat_frame};
pub use history::{History, Id, Place, Verdict};
pub use node::{Node, name_server};
pub use pop::Pop;
pub use seed::Seed;
pub use server::{DataDir, Exit, Server, ServerCommand, raise_open_files};
pub use wait::{DEADLINE, eventually, eventually_blocking};
pub use wire::{Wire, send_frame};
