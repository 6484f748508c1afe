//! A RocketMQ client for Rust programs: a producer, consumers, and what admin tools ask.
//!
//! A [`Client`] knows the name servers and shares one connection to each broker. From it come a [`Producer`], a
//! [`Consumer`] (a member of a group, or a reader of all queues without one) and an [`Admin`]. Everything speaks the
//! remoting protocol through [`Client::call`], so it works against Java brokers as well as ours.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use client::{Client, Config, ConsumerConfig, Message};
//!
//! let client = Client::connect(Config::new(["127.0.0.1:9876"])).await?;
//! let receipt = client.producer("P").send(&Message::new("orders", "one")).await?;
//! println!("{} at offset {}", receipt.id, receipt.offset);
//!
//! let mut consumer = client.consumer(ConsumerConfig::group("G").topic("orders")).await?;
//! if let Some(batch) = consumer.recv().await {
//!     for message in batch.messages() {
//!         println!("{:?}", message.body);
//!     }
//!     batch.ack();
//! }
//! consumer.close().await;
//! client.close().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod client; // start here
mod credentials;
mod listener;
mod route;

mod compression;
mod message;
mod producer;

mod assign;
mod consumer;

mod admin;
mod clock;
mod error;
mod limits;
#[cfg(test)]
mod scripted;

pub use admin::{Admin, Broker};
pub use client::{Client, Config};
pub use consumer::{Batch, Consumer, ConsumerConfig, Filter, Start};
pub use credentials::Credentials;
pub use error::Error;
pub use message::{Message, Received};
pub use producer::{Producer, Receipt, Select, Stored};
pub use protocol::body::MessageQueue;
pub use route::Route;
