//! Reads a topic from front to back, as it grows.

use testkit::{Client, Stored};

use super::plain::QUEUES;

/// Where a reader of all queues of a topic stands.
#[derive(Debug)]
pub(super) struct Reader {
    topic: &'static str,
    next: [i64; QUEUES as usize],
}

impl Reader {
    /// At the front.
    pub(super) fn of(topic: &'static str) -> Reader {
        Reader { topic, next: [0; QUEUES as usize] }
    }

    /// What is new. Nothing that was there before may be gone.
    pub(super) async fn read(&mut self, client: &Client, when: &str) -> Vec<Stored> {
        let mut all = Vec::new();
        for (queue, next) in (0..).zip(&mut self.next) {
            let (_, max) = client.range(self.topic, queue).await;
            assert!(max >= *next, "{when}: queue {queue} of {} shrank from {next} to {max}", self.topic);
            let found = client.read(self.topic, queue, *next).await;
            *next += found.len() as i64;
            all.extend(found);
        }
        all
    }
}
