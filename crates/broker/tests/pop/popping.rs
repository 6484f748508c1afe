//! A consumer that pops.

use std::sync::Arc;
use std::time::Duration;

use broker::{Ack, Broker, ChangeInvisible, Error, Invisible, PopFrom, PopRequest, PopStatus, Popped, PoppedMessage};
use protocol::body::TopicConfig;
use protocol::receipt::Receipt;
use protocol::record::RecordView;

use crate::help::*;

pub(crate) const INVISIBLE_MS: u64 = 10_000;

pub(crate) fn request<'a>(topic: &'a str, group: &'a str) -> PopRequest<'a> {
    PopRequest {
        group,
        topic,
        queue_id: -1,
        max_messages: 32,
        invisible: Duration::from_millis(INVISIBLE_MS),
        wait: Duration::ZERO,
        from: PopFrom::Min,
        filter: None,
        order: false,
        attempt_id: None,
    }
}

pub(crate) async fn pop(broker: &Arc<Broker>, request: &PopRequest<'_>) -> Popped {
    broker.begin_pop(request).unwrap().run().await.unwrap()
}

/// A pop that has to find something.
pub(crate) async fn take(broker: &Arc<Broker>, topic: &str, group: &str) -> Vec<PoppedMessage> {
    let popped = pop(broker, &request(topic, group)).await;
    assert_eq!(popped.status, PopStatus::Found);
    popped.messages
}

pub(crate) async fn is_empty(broker: &Arc<Broker>, topic: &str, group: &str) -> bool {
    let popped = pop(broker, &request(topic, group)).await;
    assert_eq!(popped.messages.is_empty(), popped.status == PopStatus::PollingTimeout);
    popped.messages.is_empty()
}

pub(crate) fn body(message: &PoppedMessage) -> String {
    String::from_utf8(view(message).body().to_vec()).unwrap()
}

pub(crate) fn view(message: &PoppedMessage) -> RecordView<'_> {
    RecordView::parse(&message.record).unwrap()
}

pub(crate) fn texts(messages: &[PoppedMessage]) -> Vec<String> {
    let mut all: Vec<String> = messages.iter().map(body).collect();
    all.sort_unstable();
    all
}

pub(crate) fn ack(broker: &Broker, topic: &str, group: &str, receipt: &Receipt) -> Result<(), Error> {
    let (queue_id, queue_offset) = (receipt.queue_id, receipt.queue_offset);
    broker.ack(&Ack { topic, group, queue_id, queue_offset, receipt })
}

pub(crate) fn change(
    broker: &Broker,
    topic: &str,
    group: &str,
    receipt: &Receipt,
    invisible_ms: u64,
    suspend: bool,
) -> Result<Receipt, Error> {
    let Invisible { pop_ms, invisible_ms, revive_queue } = broker.change_invisible(&ChangeInvisible {
        topic,
        group,
        queue_id: receipt.queue_id,
        queue_offset: receipt.queue_offset,
        receipt,
        invisible: Duration::from_millis(invisible_ms),
        suspend,
    })?;
    let start_offset = receipt.queue_offset;
    Ok(Receipt { start_offset, pop_ms, invisible_ms, revive_queue, ..receipt.clone() })
}

/// Makes a topic.
pub(crate) fn topic(broker: &Broker, name: &str, queues: i32) {
    broker.topics().put(TopicConfig::new(name, queues)).unwrap();
}

/// The topics of a random history, for each of its lives: a crash may come before they are on the disk, as nobody waits
/// for that.
pub(crate) fn topics(broker: &Broker) {
    for name in ["T", "O"] {
        topic(broker, name, 2);
    }
}

/// Sends to queue 0.
pub(crate) async fn send_all(broker: &Broker, topic: &str, bodies: &[&str]) {
    for body in bodies {
        send(broker, topic, &[], body).await.unwrap();
    }
}
