//! Queues of topics at all brokers, as name servers tell.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;
use protocol::body::{MessageQueue, QueueData};
use protocol::limits::QUEUES_MAX;
use protocol::perm;
use remoting::Cache;
use tracing::debug;

use crate::limits::{ROUTE_TIME, ROUTES_KEPT};
use crate::registrar::{Registry, RegistryError};

type Asked = Pin<Box<dyn Future<Output = Vec<Result<Vec<QueueData>, RegistryError>>> + Send>>;

/// Asks the name servers, and remembers for a moment what they said.
pub(crate) struct Routes {
    ask: Box<dyn Fn(String) -> Asked + Send + Sync>,
    known: Cache<Vec<MessageQueue>>,
}

impl Routes {
    pub(crate) fn new<R: Registry>(registries: Vec<Arc<R>>) -> Routes {
        let ask = move |topic: String| -> Asked { Box::pin(ask_all(registries.clone(), topic)) };
        Routes { ask: Box::new(ask), known: Cache::new(ROUTES_KEPT) }
    }

    /// Queues for readers that a topic has at all brokers, none when no name server knows it. What one name server
    /// knows counts, although another does not: each hears of a broker by itself.
    ///
    /// # Errors
    /// No name server answers, and nothing is remembered.
    pub(crate) async fn queues(&self, topic: &str) -> Result<Arc<Vec<MessageQueue>>, RegistryError> {
        self.known.get(topic, |_| true, async || self.ask(topic).await).await
    }

    async fn ask(&self, topic: &str) -> Result<Vec<MessageQueue>, RegistryError> {
        let mut queues = Vec::new();
        let mut answered = 0;
        let mut silent = None;
        for answer in (self.ask)(topic.to_owned()).await {
            match answer {
                Ok(shares) => {
                    answered += 1;
                    queues.extend(shares.iter().flat_map(|share| readable(topic, share)));
                }
                Err(error) => silent = Some(error),
            }
        }
        queues.sort_unstable();
        queues.dedup();
        silent.filter(|_| answered == 0).map_or(Ok(queues), |error| {
            debug!(topic, %error, "no name server says which brokers have the topic");
            Err(error)
        })
    }
}

async fn ask_all<R: Registry>(registries: Vec<Arc<R>>, topic: String) -> Vec<Result<Vec<QueueData>, RegistryError>> {
    let ask = async |registry: &R| match tokio::time::timeout(ROUTE_TIME, registry.queues(&topic)).await {
        Ok(answer) => answer,
        Err(_) => Err(RegistryError(format!("{} did not answer within {ROUTE_TIME:?}", registry.name()))),
    };
    join_all(registries.iter().map(|registry| ask(registry))).await
}

/// Source: `MQClientInstance.topicRouteData2TopicSubscribeInfo`.
fn readable(topic: &str, share: &QueueData) -> impl Iterator<Item = MessageQueue> {
    let count = if perm::is_readable(share.perm) { share.read_queue_nums.min(QUEUES_MAX) } else { 0 };
    (0..count).map(|queue_id| MessageQueue {
        broker_name: share.broker_name.clone(),
        queue_id,
        topic: topic.to_owned(),
    })
}
