//! `bench end-to-end`: from the producer to the consumer.

use clap::Args;

use super::consume;
use super::send::{Sending, rate};
use crate::Error;
use crate::args::{Content, Load, Shape, Watch, Where, Window};
use crate::clock::{Clock, STAMP_BYTES};
use crate::control::make_topics;
use crate::run::{run, sum};

/// Sends at a rate and receives what was sent
///
/// Makes the topics first. A message's way counts from the time at which it was meant to leave.
#[derive(Debug, Args)]
pub(crate) struct EndToEndArgs {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    window: Window,
    /// Messages per second
    #[arg(long, short = 'r', value_name = "MSG/S", default_value_t = 10_000.0, value_parser = rate)]
    rate: f64,
    /// Connections of consumers to each broker
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    consumers: u32,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    watch: Watch,
}

impl EndToEndArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        if (self.content.size as usize) < STAMP_BYTES {
            return Err(Error::Impossible(format!("a body of at least {STAMP_BYTES} bytes is needed for its time")));
        }
        let brokers = make_topics(&self.place, &self.shape)?;
        let sending = Sending {
            clock: Clock::start(),
            topics: self.shape.topics(),
            messages: self.content.messages(self.shape.encoding())?,
            distinct_keys: self.content.keys.unwrap_or(1),
            window: self.window.of(Some(self.rate)),
            rate: Some(self.rate),
        };
        let mut members = sending.members(&brokers, &self.load)?;
        let senders = members.len();
        members.extend(consume::members(sending.clock, &self.shape, &brokers, self.consumers, 32)?);
        let outcome = run(sending.clock, &self.load, &self.watch, members)?;
        let (sent, received) = outcome.recorders.split_at(senders);
        let (mut all, received) = (sum(sent), sum(received));
        all.delivery = received.delivery;
        all.errors.extend(received.errors);
        all.trouble.extend(received.trouble);
        if let missing @ 1.. = (all.latency.len() * sending.messages.batch as u64).saturating_sub(all.delivery.len()) {
            *all.trouble.entry("sent and not received").or_default() += missing;
        }
        super::print(&self.watch, &outcome.report("end-to-end", sending.words(&brokers, &self.load), &all));
        Ok(())
    }
}
