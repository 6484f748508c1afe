//! Ending transactions, and being asked about those that have no end.
//!
//! Brokers ask a producer of the group over the connection of its heartbeat: so the proxy says with heartbeats that it
//! is a producer of all groups of its clients. A gRPC producer has no group but its topics.
//! Source: `ClusterTransactionService`, `ProxyClientRemotingProcessor`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker::EndTransaction;
use futures_util::future::join_all;
use parking_lot::Mutex;
use protocol::body::{HeartbeatData, ProducerData};
use protocol::request::{EndTransactionHeader, HeartBeat};
use protocol::{code, json, sysflag};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{Cluster, Error};
use crate::clients::Client;
use crate::limits::{HEARTBEAT_GROUPS, REMEMBERED_MAX};
use crate::status::Refusal;
use crate::transaction;
use crate::v2::settings::PubSub;

/// Producers among the clients, by their topics.
#[derive(Default)]
pub(super) struct Producers {
    by_topic: Mutex<HashMap<String, Vec<Arc<Client>>>>,
    turn: AtomicUsize,
    changed: Notify,
}

/// Topics that a client produces to.
fn topics(client: &Client) -> Vec<String> {
    match &client.said().0.pub_sub {
        Some(PubSub::Publishing(publishing)) => publishing.topics.iter().map(|topic| topic.name.clone()).collect(),
        _ => Vec::new(),
    }
}

impl Producers {
    /// Waits until there is a producer of a new topic.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the clients of now.
    pub(super) fn take(&self, clients: &[Arc<Client>]) {
        let mut by_topic: HashMap<String, Vec<Arc<Client>>> = HashMap::new();
        for client in clients {
            for topic in topics(client) {
                if by_topic.len() < REMEMBERED_MAX || by_topic.contains_key(&topic) {
                    by_topic.entry(topic).or_default().push(client.clone());
                }
            }
        }
        *self.by_topic.lock() = by_topic;
    }

    /// A producer of a topic that listens; they take turns.
    pub(super) fn one_of(&self, topic: &str) -> Option<Arc<Client>> {
        let by_topic = self.by_topic.lock();
        let clients = by_topic.get(topic)?;
        let (before, behind) = clients.split_at(self.turn.fetch_add(1, Ordering::Relaxed) % clients.len());
        behind.iter().chain(before).find(|client| client.is_listening()).cloned()
    }

    fn topics(&self) -> Vec<String> {
        self.by_topic.lock().keys().cloned().collect()
    }

    fn know(&self, client: &Arc<Client>) -> bool {
        let by_topic = self.by_topic.lock();
        let known = |topic: &String| {
            by_topic.get(topic).is_some_and(|clients| clients.iter().any(|known| Arc::ptr_eq(known, client)))
        };
        topics(client).iter().all(known)
    }
}

impl Cluster {
    pub(crate) fn register(&self, client: &Arc<Client>) {
        if !self.producers.know(client) {
            self.producers.changed.notify_one();
        }
    }

    /// Tells brokers of whose transactions we may be asked.
    pub(super) async fn heartbeat(&self) {
        let mut groups: BTreeMap<Arc<str>, Vec<ProducerData>> = BTreeMap::new();
        for topic in self.producers.topics() {
            match self.find_topic(&topic).await {
                Ok(route) => route.masters().for_each(|broker| {
                    groups.entry(broker.clone()).or_default().push(ProducerData { group_name: topic.clone() });
                }),
                Err(error) => debug!(topic, %error, "its brokers do not know of its producers"),
            }
        }
        join_all(groups.iter().map(|(broker, groups)| async move {
            for groups in groups.chunks(HEARTBEAT_GROUPS) {
                if let Err(error) = self.say(broker, groups).await {
                    warn!(%broker, %error, "heartbeat failed");
                    break;
                }
            }
        }))
        .await;
    }

    async fn say(&self, broker: &str, groups: &[ProducerData]) -> Result<(), Error> {
        let beat = HeartbeatData {
            // Source: `ClusterTransactionService.TRANS_HEARTBEAT_CLIENT_ID`.
            client_id: "rmq-proxy-producer-client".into(),
            producer_data_set: groups.to_vec(),
            ..HeartbeatData::default()
        };
        self.order_body::<HeartBeat>(broker, json::to_vec(&beat)).await?;
        Ok(())
    }

    pub(crate) async fn end_transaction(
        &self,
        broker: &str,
        unique_key: &str,
        end: &EndTransaction<'_>,
    ) -> Result<(), Refusal> {
        let header = EndTransactionHeader {
            topic: Some(end.producer_group),
            producer_group: end.producer_group,
            tran_state_table_offset: end.queue_offset,
            commit_log_offset: end.log_offset,
            commit_or_rollback: match end.commit {
                true => sysflag::TRANSACTION_COMMIT,
                false => sysflag::TRANSACTION_ROLLBACK,
            },
            from_transaction_check: end.from_check,
            msg_id: unique_key,
            transaction_id: Some(unique_key),
        };
        // Clients of remoting do not wait for the answer; here it says whether the decision counts.
        match self.order::<protocol::request::EndTransaction>(broker, &header).await {
            Err(Error::Refused { code: code::SYSTEM_ERROR, remark }) => Err(transaction::not_found(&remark)),
            ended => Ok(ended.map(drop)?),
        }
    }
}
