//! The broker of this process behind the calls.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::{
    Ack, Asked, Boundary, Broker, ChangeInvisible, EndTransaction, Heartbeat, LiteAction, LiteSubscription, LogOffset,
    NewMessage, PullRequest, PullStatus, QueryOffset, Question, SendBack, TransactionCheck, Unsubscribed,
};
use bytes::Bytes;
use protocol::body::{ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData};
use protocol::name;
use protocol::receipt::Receipt;
use protocol::record::records;
use protocol::tag::{TagFilter, java_hash};
use tracing::debug;

use crate::caller::{Caller, Ends};
use crate::client::{filter, kind};
use crate::clients::Client;
use crate::lite;
use crate::offset::{Found, PullFrom, QueueAt, Wanted};
use crate::send::{Checked, Stored, consistent_hash};
use crate::settle::{self, Place};
use crate::status::Refusal;
use crate::transaction;
use crate::v2::settings::PubSub;
use crate::v2::{ClientType, Code};

pub(crate) struct Local {
    pub(crate) broker: Arc<Broker>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Where clients of remoting find it, if the settings say so.
    ip: Option<IpAddr>,
    remoting_port: u16,
}

impl Local {
    pub(crate) fn new(broker: Arc<Broker>, ip: Option<IpAddr>, remoting_port: u16) -> Local {
        let name = broker.config().broker_name.as_str().into();
        Local { broker, name, ip, remoting_port }
    }

    /// Where this broker is for clients of remoting: written into messages, so that tools can ask for one later.
    fn store_host(&self, ends: &Ends) -> SocketAddr {
        let ip = self.ip.unwrap_or_else(|| ends.local.ip().to_canonical());
        SocketAddr::new(ip, self.remoting_port)
    }

    /// Waits until a message is as safe as configured.
    async fn safe(&self, end: LogOffset) -> Result<(), Refusal> {
        let wait = self.broker.store().acknowledged().wait(end);
        match tokio::time::timeout(self.broker.config().flush_timeout, wait).await {
            Ok(done) => Ok(done?),
            // The record is in the log; only its flush is unconfirmed.
            Err(_) => Err(Refusal::new(Code::MasterPersistenceTimeout, "the flush took too long")),
        }
    }

    pub(crate) async fn send(
        &self,
        ends: &Ends,
        topic: &broker::Topic,
        messages: &[Checked],
    ) -> Vec<Result<Stored, Refusal>> {
        // All are appended before the first is waited for, so that they share a flush.
        // They stay together and in order, as a batch does.
        let mut queue = None;
        let mut appended = Vec::with_capacity(messages.len());
        for message in messages {
            let receipt = self.append(ends, topic, queue, message);
            queue = queue.or(receipt.as_ref().ok().map(|receipt| receipt.queue_id));
            appended.push(receipt);
        }
        let mut stored = Vec::with_capacity(appended.len());
        for receipt in appended {
            stored.push(match receipt {
                Ok(receipt) => self.stored(receipt).await,
                Err(error) => Err(error.into()),
            });
        }
        stored
    }

    fn append(
        &self,
        ends: &Ends,
        topic: &broker::Topic,
        queue: Option<i32>,
        message: &Checked,
    ) -> Result<broker::Receipt, broker::Error> {
        let queues = topic.config().write_queue_nums;
        let queue_id = match &message.ordered_by {
            Some(key) => consistent_hash(i64::from(java_hash(key)), queues),
            None => queue.unwrap_or(-1),
        };
        self.broker.send(&NewMessage {
            topic: topic.name(),
            template: name::AUTO_CREATE_TOPIC,
            template_queues: 4,
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: message.born_ms,
            born_host: SocketAddr::new(ends.remote.ip().to_canonical(), ends.remote.port()),
            store_host: self.store_host(ends),
            reconsume_times: 0,
            max_reconsume_times: None,
            unit: false,
            properties: &message.properties,
            batch: false,
            body: &message.body,
        })
    }

    async fn stored(&self, receipt: broker::Receipt) -> Result<Stored, Refusal> {
        let unconfirmed = match self.safe(receipt.appended.end).await {
            Ok(()) => None,
            // The message is stored and may be delivered; Java hands out its receipt as well.
            Err(refusal) if refusal.code == Code::MasterPersistenceTimeout => Some(refusal),
            Err(refusal) => return Err(refusal),
        };
        Ok(Stored {
            unconfirmed,
            broker: self.name.clone(),
            unique_key: receipt.unique_key.unwrap_or_default(),
            queue_offset: receipt.appended.queue_offset.0 as i64,
            log_offset: receipt.appended.log_offsets.first().map_or(0, |offset| offset.0 as i64),
            recall_handle: receipt.recall_handle.unwrap_or_default(),
        })
    }

    pub(crate) async fn recall(&self, ends: &Ends, topic: &str, handle: &str) -> Result<String, Refusal> {
        let recalled = self.broker.recall(topic, handle, ends.remote, self.store_host(ends))?;
        if let Some(appended) = recalled.appended {
            self.safe(appended.end).await?;
        }
        Ok(recalled.unique_key)
    }

    pub(crate) fn ack(&self, place: Place<'_>, receipt: &Receipt) -> Result<(), Refusal> {
        let Receipt { queue_id, queue_offset, .. } = *receipt;
        let ack = Ack { topic: place.topic, group: place.group, queue_id, queue_offset, receipt };
        let acked = match place.lite_topic {
            Some(lite_topic) => self.broker.ack_lite(&ack, lite_topic),
            None => self.broker.ack(&ack),
        };
        Ok(acked?)
    }

    pub(crate) fn change_invisible(
        &self,
        place: Place<'_>,
        receipt: &Receipt,
        invisible: Duration,
        suspend: bool,
    ) -> Result<Receipt, Refusal> {
        let Receipt { queue_id, queue_offset, .. } = *receipt;
        let (topic, group) = (place.topic, place.group);
        let change = ChangeInvisible { topic, group, queue_id, queue_offset, receipt, invisible, suspend };
        let to = match place.lite_topic {
            Some(lite_topic) => self.broker.change_invisible_lite(&change, lite_topic)?,
            None => self.broker.change_invisible(&change)?,
        };
        Ok(settle::changed(receipt, to))
    }

    pub(crate) fn give_back(&self, place: Place<'_>, receipt: &Receipt, pause: Duration) {
        if let Err(refusal) = self.change_invisible(place, receipt, pause, false) {
            debug!(group = place.group, topic = place.topic, error = refusal.message, "message not given back");
        }
    }

    pub(crate) async fn bury(&self, group: &str, log_offset: u64) -> Result<(), Refusal> {
        let ip = self.ip.unwrap_or_else(|| [127, 0, 0, 1].into());
        let back = SendBack {
            group: group.to_owned(),
            offset: i64::try_from(log_offset).unwrap_or(i64::MAX),
            delay_level: -1,
            max_reconsume_times: Some(0),
            unit: false,
            store_host: SocketAddr::new(ip, self.remoting_port),
        };
        if let Some(appended) = self.broker.send_back(&back).await? {
            // What is acked then is gone: its copy must be there.
            self.safe(appended.end).await?;
        }
        Ok(())
    }

    pub(crate) async fn end_transaction(&self, end: &EndTransaction<'_>) -> Result<(), Refusal> {
        let ended = match self.broker.end_transaction(end).await {
            Err(broker::Error::NotFound(reason)) => return Err(transaction::not_found(&reason)),
            ended => ended?,
        };
        self.safe(ended.end).await
    }

    pub(crate) async fn commit_offset(&self, at: QueueAt<'_>, group: &str, offset: i64) -> Result<(), Refusal> {
        self.broker.groups().require(group)?;
        self.broker.offsets().commit(at.topic, group, at.id, offset);
        Ok(())
    }

    pub(crate) async fn committed(&self, at: QueueAt<'_>, group: &str) -> Result<Option<i64>, Refusal> {
        Ok(match self.broker.query_offset(at.topic, group, at.id).await? {
            QueryOffset::At(offset) | QueryOffset::StartAt(offset) => Some(offset),
            QueryOffset::Unknown => None,
        })
    }

    pub(crate) async fn offset_of(&self, at: QueueAt<'_>, wanted: Wanted) -> Result<i64, Refusal> {
        let (min, max) = self.broker.queue_range(at.topic, at.id);
        Ok(match wanted {
            Wanted::Beginning => min,
            Wanted::End => max,
            Wanted::AtTime(ms) => self.broker.offset_by_time(at.topic, at.id, ms, Boundary::Lower).await?,
        })
    }

    pub(crate) async fn pull(&self, at: QueueAt<'_>, from: &PullFrom<'_>) -> Result<Found, Refusal> {
        let pull = self.broker.begin_pull(&PullRequest {
            group: from.group,
            topic: at.topic,
            queue_id: at.id,
            offset: from.offset,
            max_messages: from.max_messages,
            commit: None,
            suspend: (!from.wait.is_zero()).then_some(from.wait),
            filter: Some(from.filter),
            sub_version: 0,
            lite_topic: None,
        })?;
        let pulled = pull.run().await?;
        Ok(match pulled.status {
            PullStatus::Found => Found::At { records: single_records(&pulled.records), next: pulled.next },
            PullStatus::OffsetTooSmall | PullStatus::OffsetOverflowBadly => {
                Found::Outside { min: pulled.min, max: pulled.max }
            }
            _ => Found::At { records: VecDeque::new(), next: pulled.next },
        })
    }

    pub(crate) fn lite_subscribe(&self, change: &LiteSubscription<'_>) -> Result<(), Refusal> {
        for gone in &self.broker.lite_subscribe(change)? {
            if let Some(client) = gone.connection.and_then(|connection| self.broker.reach().get(connection)) {
                client.lite_topic_lost(gone);
            }
        }
        Ok(())
    }

    pub(crate) fn lite_leave(&self, client: &Client) {
        let change = LiteSubscription {
            action: LiteAction::CompleteRemove,
            client_id: &client.id,
            group: "",
            topic: "",
            lite_topics: &[],
            start: None,
            connection: None,
        };
        // It fails when the broker stops, and all subscriptions are forgotten then.
        let _ = self.broker.lite_subscribe(&change);
    }

    /// Makes a client a member of its groups, as often as it says that it is alive.
    pub(crate) fn register(&self, client: &Arc<Client>) {
        let Caller { client_id, language, version, ends, .. } = client.caller();
        let data = heartbeat_of(client, client_id);
        let reached = || Reached { client: client.clone(), broker: self.name.clone() };
        self.broker.reach().add(client.connection, || Arc::new(reached()));
        let address = ends.remote.to_string();
        let beat = Heartbeat { connection: client.connection, address, language, version, data };
        let changed = self.broker.heartbeat(&beat);
        self.broker.tell(&changed);
    }

    pub(crate) fn unregister(&self, client: &Client) {
        self.broker.reach().remove(client.connection);
        let changed = self.broker.sessions().disconnected(client.connection);
        self.broker.tell(&changed);
    }
}

/// What the settings of a client say, as a heartbeat of remoting would.
fn heartbeat_of(client: &Client, client_id: String) -> HeartbeatData {
    let (said, said_ms) = client.said();
    let mut data = HeartbeatData { client_id, ..HeartbeatData::default() };
    match &said.pub_sub {
        Some(PubSub::Publishing(publishing)) => {
            let producer = |topic: &crate::v2::Resource| ProducerData { group_name: topic.name.clone() };
            data.producer_data_set = publishing.topics.iter().map(producer).collect();
        }
        Some(PubSub::Subscription(subscription)) => {
            let entries = subscription.subscriptions.iter();
            data.consumer_data_set = vec![ConsumerData {
                consume_from_where: Some("CONSUME_FROM_LAST_OFFSET".into()),
                consume_type: Some(
                    match kind(&said) {
                        ClientType::PushConsumer | ClientType::LitePushConsumer => "CONSUME_PASSIVELY",
                        _ => "CONSUME_ACTIVELY",
                    }
                    .into(),
                ),
                group_name: subscription.group.as_ref().map(|group| group.name.clone()).unwrap_or_default(),
                message_model: match lite::is_lite(kind(&said)) {
                    true => MessageModel::LiteSelective,
                    false => MessageModel::Clustering,
                },
                subscription_data_set: entries
                    .map(|entry| {
                        let topic = entry.topic.as_ref().map(|topic| topic.name.clone()).unwrap_or_default();
                        subscription_data(topic, filter(entry.expression.as_ref()), said_ms)
                    })
                    .collect(),
                ..ConsumerData::default()
            }];
        }
        None => {}
    }
    data
}

fn subscription_data(topic: String, filter: broker::FilterText<'_>, version: i64) -> SubscriptionData {
    let tags = match (filter.kind, TagFilter::parse(filter.expression)) {
        (Some("TAG"), TagFilter::AnyOf(tags)) => tags,
        _ => Vec::new(),
    };
    SubscriptionData {
        code_set: tags.iter().map(|tag| java_hash(tag)).collect(),
        expression_type: filter.kind.map(str::to_owned),
        sub_string: if filter.expression.is_empty() { "*".into() } else { filter.expression.to_owned() },
        sub_version: version,
        tags_set: tags,
        topic,
        ..SubscriptionData::default()
    }
}

/// Slices of the log as single records, which share their bytes.
pub(crate) fn single_records(slices: &[Bytes]) -> VecDeque<Bytes> {
    let single = |slice: &'_ Bytes| {
        records(slice).map_while(Result::ok).map(|view| slice.slice_ref(view.bytes())).collect::<Vec<_>>()
    };
    slices.iter().flat_map(single).collect()
}

/// A client as the broker reaches it.
struct Reached {
    client: Arc<Client>,
    /// Name of the broker.
    broker: Arc<str>,
}

impl broker::Client for Reached {
    /// Queues are not shared out among gRPC clients: each receives from all.
    fn group_changed(&self, _group: &str) {}

    fn check_transaction(&self, check: &TransactionCheck) {
        let (queue_offset, log_offset) = (check.queue_offset as i64, check.log_offset as i64);
        let place = transaction::Place { broker: &self.broker, queue_offset, log_offset };
        self.client.recover(place, &check.unique_key, &check.record);
    }

    fn lite_topic_lost(&self, gone: &Unsubscribed) {
        self.client.lose_lite_topic(&gone.group, &gone.lite_topic);
    }

    fn ask(self: Arc<Self>, question: Question) -> Option<Asked> {
        Some(Box::pin(self.client.clone().put(question)))
    }
}
