//! Which queues this consumer reads, and what it tells the brokers about them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use protocol::body::{ConsumerIdList, MessageQueue};
use protocol::request::{ConsumerGroupHeader, ConsumerSendBack, ConsumerSendBackHeader, GetConsumerList};
use tokio::sync::{Notify, mpsc};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::progress::{Failed, Progress};
use super::puller::Puller;
use super::{Batch, ConsumerConfig, Filter};
use crate::client::body;
use crate::route::{MASTER, Route};
use crate::{Client, Error, assign, limits};

/// The task behind a [`super::Consumer`].
pub(super) struct Balancer {
    client: Client,
    config: ConsumerConfig,
    deliver: mpsc::Sender<Batch>,
    stop: CancellationToken,
    /// Members of the group came or went.
    changed: Arc<Notify>,
    /// A batch came back with failures.
    failures: Arc<Notify>,
    queues: HashMap<MessageQueue, Assigned>,
    pullers: TaskTracker,
}

/// A queue of ours.
struct Assigned {
    progress: Arc<Progress>,
    stop: CancellationToken,
}

impl Balancer {
    pub(super) fn new(
        client: Client,
        config: ConsumerConfig,
        changed: Arc<Notify>,
        deliver: mpsc::Sender<Batch>,
        stop: CancellationToken,
    ) -> Balancer {
        let (failures, queues, pullers) = (Arc::new(Notify::new()), HashMap::new(), TaskTracker::new());
        Balancer { client, config, deliver, stop, changed, failures, queues, pullers }
    }

    pub(super) async fn run(mut self) {
        if self.config.until_end {
            self.read_to_the_end().await;
        } else {
            self.follow().await;
        }
        self.give_failures_back().await;
        self.release(self.queues.values()).await;
        self.pullers.close();
        self.pullers.wait().await;
        if let Some(group) = &self.config.group {
            self.client.shared.listener.forget(group);
            self.client.shared.leave(group).await;
        }
    }

    async fn follow(&mut self) {
        let mut rebalance = interval(limits::REBALANCE_PERIOD);
        let mut commit = interval(limits::COMMIT_PERIOD);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.failures.notified() => self.give_failures_back().await,
                () = self.changed.notified() => self.rebalance().await,
                _ = rebalance.tick() => self.rebalance().await,
                _ = commit.tick() => {
                    self.give_failures_back().await;
                    self.commit(self.queues.values()).await;
                }
            }
        }
    }

    async fn read_to_the_end(&mut self) {
        self.rebalance().await;
        self.pullers.close();
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.pullers.wait() => {}
        }
    }

    async fn rebalance(&mut self) {
        for (topic, filter) in self.config.subscriptions.clone() {
            let wanted = match self.wanted(&topic).await {
                Ok(wanted) => wanted,
                // The retry topic of a new group appears after its first heartbeat.
                Err(Error::UnknownTopic(topic)) => {
                    debug!(topic, "no such topic yet");
                    continue;
                }
                Err(error) => {
                    warn!(topic, %error, "queues not shared out anew");
                    continue;
                }
            };
            self.assign(&topic, &filter, wanted).await;
        }
    }

    /// The queues of a topic that this consumer should read.
    async fn wanted(&self, topic: &str) -> Result<Vec<MessageQueue>, Error> {
        let route = self.client.route(topic).await?;
        let Some(group) = &self.config.group else { return Ok(route.readable.clone()) };
        let mut members = self.members(group, &route).await;
        if !members.as_ref().is_ok_and(|members| members.iter().any(|member| member == self.client.id())) {
            // The broker has not heard of us, or forgot.
            self.client.shared.heartbeat().await;
            members = self.members(group, &route).await;
        }
        let mut members = members?;
        members.sort_unstable();
        members.dedup();
        Ok(assign::averagely(&route.readable, &members, self.client.id()))
    }

    async fn members(&self, group: &str, route: &Route) -> Result<Vec<String>, Error> {
        let broker = route.brokers.first().and_then(|broker| route.address(&broker.broker_name, MASTER));
        let address = broker.ok_or_else(|| Error::UnknownBroker("any".into()))?;
        let header = ConsumerGroupHeader { consumer_group: group };
        let answer = self.client.call::<GetConsumerList>(address, &header, Vec::new()).await?;
        Ok(body::<GetConsumerList, ConsumerIdList>(address, &answer)?.consumer_id_list)
    }

    async fn assign(&mut self, topic: &str, filter: &Filter, wanted: Vec<MessageQueue>) {
        let lost = self.queues.keys().filter(|queue| queue.topic == topic && !wanted.contains(queue));
        let lost: Vec<MessageQueue> = lost.cloned().collect();
        let lost: Vec<Assigned> = lost.iter().filter_map(|queue| self.queues.remove(queue)).collect();
        self.release(lost.iter()).await;
        let kept = self.queues.keys().filter(|queue| queue.topic == topic).count();
        if !lost.is_empty() || wanted.len() != kept {
            info!(topic, queues = wanted.len(), lost = lost.len(), new = wanted.len() - kept, "queues shared out");
        }
        for queue in wanted {
            if !self.queues.contains_key(&queue) {
                let assigned = self.start(queue.clone(), filter.clone());
                self.queues.insert(queue, assigned);
            }
        }
    }

    fn start(&self, queue: MessageQueue, filter: Filter) -> Assigned {
        let progress = Arc::new(Progress::new(queue));
        let puller = Puller {
            client: self.client.clone(),
            group: self.config.group.clone(),
            filter,
            start: self.config.start,
            until_end: self.config.until_end,
            progress: progress.clone(),
            failures: self.failures.clone(),
            deliver: self.deliver.clone(),
        };
        let stop = self.stop.child_token();
        let stopped = stop.clone();
        self.pullers.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = puller.run() => {}
            }
        });
        Assigned { progress, stop }
    }

    /// Stops reading queues and commits how far they were consumed.
    async fn release(&self, queues: impl Iterator<Item = &Assigned> + Clone) {
        queues.clone().for_each(|assigned| assigned.stop.cancel());
        self.commit(queues.clone()).await;
        queues.for_each(|assigned| assigned.progress.revoke());
    }

    /// Tells the brokers how far queues were consumed. What fails is tried again at the next time.
    async fn commit(&self, queues: impl Iterator<Item = &Assigned>) {
        let committed = join_all(queues.map(|assigned| self.commit_one(&assigned.progress))).await;
        let mut failed = committed.iter().filter_map(|result| result.as_ref().err()).peekable();
        if let Some(error) = failed.peek().copied() {
            warn!(group = self.config.group, queues = failed.count(), %error, "offsets not committed");
        }
    }

    async fn commit_one(&self, progress: &Progress) -> Result<(), Error> {
        let (Some(group), Some(offset)) = (&self.config.group, progress.to_commit()) else { return Ok(()) };
        self.client.admin().update_consumer_offset(group, &progress.queue, offset).await?;
        progress.committed(offset);
        Ok(())
    }

    /// What cannot be given back now is tried again with the next commit; until then the offset stays behind it.
    async fn give_failures_back(&self) {
        for assigned in self.queues.values() {
            for (ticket, failed) in assigned.progress.failures() {
                let queue = &assigned.progress.queue;
                let given = join_all(failed.iter().map(|failed| self.give_back(queue, failed))).await;
                let left = failed.into_iter().zip(given).filter(|(_, given)| !given).map(|(failed, _)| failed);
                assigned.progress.finish(ticket, left.collect());
            }
        }
    }

    async fn give_back(&self, queue: &MessageQueue, failed: &Failed) -> bool {
        let Some(group) = &self.config.group else { return true };
        let header = ConsumerSendBackHeader {
            offset: failed.log_offset,
            group,
            // The broker chooses: later with every time.
            delay_level: 0,
            origin_msg_id: Some(&failed.id),
            origin_topic: Some(&failed.topic),
            unit_mode: false,
            max_reconsume_times: None,
        };
        let given = async {
            let address = self.master(queue).await?;
            self.client.call::<ConsumerSendBack>(&address, &header, Vec::new()).await
        };
        let given = given.await;
        if let Err(error) = &given {
            warn!(topic = failed.topic, offset = failed.log_offset, %error, "message not given back");
        }
        given.is_ok()
    }

    async fn master(&self, queue: &MessageQueue) -> Result<String, Error> {
        let route = self.client.route(&queue.topic).await?;
        let master = route.master(&queue.broker_name).map(str::to_owned);
        master.ok_or_else(|| Error::UnknownBroker(queue.broker_name.clone()))
    }
}
