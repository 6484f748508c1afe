//! Reads one queue and delivers what it finds.

use std::sync::Arc;

use protocol::Frame;
use protocol::code::{self, Code};
use protocol::name::{RETRY_PREFIX, TOOLS_GROUP};
use protocol::request::{PullMessage, PullMessageHeader, PullMessageReply, Request};
use protocol::sysflag::{PULL_COMMIT_OFFSET, PULL_SUBSCRIPTION, PULL_SUSPEND};
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

use super::batch::Return;
use super::progress::Progress;
use super::{Batch, Filter, Start};
use crate::client::{refused, reply, unreadable};
use crate::route::MASTER;
use crate::{Client, Error, Received, clock, limits};

pub(super) struct Puller {
    pub(super) client: Client,
    pub(super) group: Option<String>,
    pub(super) filter: Filter,
    pub(super) start: Start,
    pub(super) until_end: bool,
    pub(super) progress: Arc<Progress>,
    pub(super) failures: Arc<Notify>,
    pub(super) deliver: mpsc::Sender<Batch>,
}

/// What one pull brought.
struct Pulled {
    code: Code,
    next: i64,
    /// Broker id to ask next.
    broker_id: i64,
    messages: Vec<Received>,
}

impl Puller {
    /// Runs until it is dropped, or to the present end of the queue if that is asked for.
    pub(super) async fn run(self) {
        let mut failures = 0;
        let (mut offset, known, end) = loop {
            match self.bounds().await {
                Ok(bounds) => break bounds,
                Err(error) => self.wait_out(&mut failures, &error).await,
            }
        };
        self.progress.move_to(offset, known);
        let mut broker_id = MASTER;
        while end.is_none_or(|end| offset < end) {
            self.progress.wait_for_room().await;
            let pulled = match self.pull(offset, broker_id).await {
                Ok(pulled) => {
                    if failures > 0 {
                        let queue = &self.progress.queue;
                        info!(topic = queue.topic, queue = queue.queue_id, failures, "queue is read again");
                        failures = 0;
                    }
                    pulled
                }
                Err(error) => {
                    self.wait_out(&mut failures, &error).await;
                    continue;
                }
            };
            broker_id = pulled.broker_id;
            let moved = pulled.next != offset;
            match pulled.code {
                code::SUCCESS => self.hand_on(offset, pulled.next, pulled.messages).await,
                code::PULL_OFFSET_MOVED => {
                    let queue = &self.progress.queue;
                    warn!(topic = queue.topic, queue = queue.queue_id, offset, next = pulled.next, "offset moved");
                    self.progress.move_to(pulled.next, false);
                }
                _ => self.progress.pass(pulled.next),
            }
            offset = pulled.next;
            if !moved {
                // The broker held the pull and found nothing, or it holds no pulls at all: do not ask in circles.
                tokio::time::sleep(limits::PULL_IDLE_PAUSE).await;
            }
        }
    }

    /// What stands in the way is passing or mended by an operator: it is reported once, then waited for.
    async fn wait_out(&self, failures: &mut u32, error: &Error) {
        let queue = &self.progress.queue;
        if *failures == 0 {
            warn!(topic = queue.topic, broker = queue.broker_name, queue = queue.queue_id, %error, "queue not read");
        }
        *failures += 1;
        tokio::time::sleep(limits::PULL_PAUSE).await;
        // When there is no newer route, the old one serves as well.
        let _ = self.client.shared.refresh(&queue.topic).await;
    }

    /// The first offset, whether the group has it from the broker, and the offset to stop before.
    async fn bounds(&self) -> Result<(i64, bool, Option<i64>), Error> {
        let (admin, queue) = (self.client.admin(), &self.progress.queue);
        let end = if self.until_end { Some(admin.max_offset(queue).await?) } else { None };
        if let Some(group) = &self.group
            && let Some(offset) = admin.consumer_offset(group, queue).await?
        {
            return Ok((offset, true, end));
        }
        // Retries that wait when a group begins are its own: it had an earlier life.
        let start = if queue.topic.starts_with(RETRY_PREFIX) { Start::First } else { self.start };
        let first = match start {
            Start::First => admin.min_offset(queue).await?,
            Start::Last => admin.max_offset(queue).await?,
            Start::AtMs(ms) => admin.search_offset(queue, ms).await?,
        };
        Ok((first, false, end))
    }

    async fn pull(&self, offset: i64, broker_id: i64) -> Result<Pulled, Error> {
        let queue = &self.progress.queue;
        let route = self.client.route(&queue.topic).await?;
        let address = route.address(&queue.broker_name, broker_id);
        let address = address.ok_or_else(|| Error::UnknownBroker(queue.broker_name.clone()))?;
        // An offset that changed travels with the pull, which makes it known sooner than the next commit. So does the
        // subscription, so the broker need not have it from a heartbeat first.
        let commit = self.group.as_ref().and_then(|_| self.progress.to_commit());
        let commit_flag = if commit.is_some() { PULL_COMMIT_OFFSET } else { 0 };
        let header = PullMessageHeader {
            consumer_group: self.group.as_deref().unwrap_or(TOOLS_GROUP),
            topic: &queue.topic,
            queue_id: queue.queue_id,
            queue_offset: offset,
            max_msg_nums: limits::PULL_MESSAGES,
            sys_flag: commit_flag | PULL_SUSPEND | PULL_SUBSCRIPTION,
            commit_offset: Some(commit.unwrap_or(0)),
            suspend_timeout_millis: Some(limits::PULL_SUSPEND.as_millis() as i64),
            subscription: Some(self.filter.expression()),
            sub_version: Some(clock::now_ms()),
            expression_type: Some(self.filter.kind()),
            lite_topic: None,
        };
        let frame = Frame::request(PullMessage::CODE, &header);
        let answer = self.client.shared.exchange(address, frame, limits::PULL_TIMEOUT).await?;
        let code = Code(answer.code);
        use code::{PULL_NOT_FOUND, PULL_OFFSET_MOVED, PULL_RETRY_IMMEDIATELY, SUCCESS};
        if ![SUCCESS, PULL_NOT_FOUND, PULL_RETRY_IMMEDIATELY, PULL_OFFSET_MOVED].contains(&code) {
            return Err(refused(address, PullMessage::NAME, &answer));
        }
        let header: PullMessageReply = reply::<PullMessage>(address, &answer)?;
        if let Some(commit) = commit {
            self.progress.committed(commit);
        }
        let messages = Received::decode_all(&queue.broker_name, &answer.body)
            .map_err(|error| unreadable::<PullMessage>(address, error))?;
        Ok(Pulled { code, next: header.next_begin_offset, broker_id: header.suggest_which_broker_id, messages })
    }

    async fn hand_on(&self, offset: i64, next: i64, mut messages: Vec<Received>) {
        messages.retain(|message| self.filter.wants(message));
        if messages.is_empty() {
            return self.progress.pass(next);
        }
        let receipt = self.group.as_ref().map(|_| Return {
            ticket: self.progress.open(offset, next, messages.len()),
            progress: self.progress.clone(),
            failures: self.failures.clone(),
        });
        // Nobody receives any more: the consumer is being closed, and this task with it.
        let _ = self.deliver.send(Batch::new(self.progress.queue.clone(), messages, receipt)).await;
    }
}
