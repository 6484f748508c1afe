//! Reading a topic from some place to where it ends now, without leaving a trace.

use std::ops::ControlFlow;

use anyhow::Result;
use client::{Client, ConsumerConfig, Received, Start};

/// Shows each message until there are no more or enough were seen. Messages of one queue come in order.
pub(crate) async fn scan(
    client: &Client,
    topic: &str,
    start: Start,
    mut each: impl FnMut(&Received) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let config = ConsumerConfig::all_queues().topic(topic).start(start).until_end();
    let mut consumer = client.consumer(config).await?;
    let mut seen = Ok(ControlFlow::Continue(()));
    while let Some(batch) = consumer.recv().await {
        for message in batch.messages() {
            seen = each(message);
            if !matches!(seen, Ok(ControlFlow::Continue(()))) {
                break;
            }
        }
        batch.ack();
        if !matches!(seen, Ok(ControlFlow::Continue(()))) {
            break;
        }
    }
    consumer.close().await;
    seen.map(|_| ())
}
