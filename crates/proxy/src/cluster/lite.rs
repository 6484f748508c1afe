//! Subscriptions to lite topics, which all brokers of the parent topic must know.
//!
//! Source: `LiteSubscriptionService`.

use std::sync::Arc;

use broker::{LiteAction, LiteStart, LiteSubscription};
use futures_util::future::join_all;
use protocol::body::{LiteOffsetOption, LiteSubscriptionEntry, LiteSubscriptions};
use protocol::json;
use protocol::request::LiteSubscriptionCtl;
use tracing::debug;

use super::{Cluster, Error};
use crate::clients::Client;
use crate::status::Refusal;
use crate::v2::settings::PubSub;

impl Cluster {
    pub(crate) async fn lite_subscribe(&self, change: &LiteSubscription<'_>) -> Result<(), Refusal> {
        Ok(self.try_subscribe(change).await?)
    }

    async fn try_subscribe(&self, change: &LiteSubscription<'_>) -> Result<(), Error> {
        let topic = self.find_topic(change.topic).await?;
        let body = bytes::Bytes::from(json::to_vec(&LiteSubscriptions { subscription_set: vec![entry(change)] }));
        let orders = topic.masters().map(|broker| self.order_body::<LiteSubscriptionCtl>(broker, body.clone()));
        // A broker that is down learns of it from the next of the complete lists that clients repeat.
        let mut silent = None;
        let mut told = false;
        for outcome in join_all(orders).await {
            match outcome {
                Ok(_) => told = true,
                Err(error) if error.is_silence() => silent = Some(error),
                Err(error) => return Err(error),
            }
        }
        silent.filter(|_| !told).map_or(Ok(()), Err)
    }

    /// Nobody waits for it: brokers forget a client that says nothing, only later.
    pub(crate) fn lite_leave(self: &Arc<Self>, client: &Client) {
        let (said, _) = client.said();
        let Some(PubSub::Subscription(subscription)) = &said.pub_sub else { return };
        let group = subscription.group.as_ref().map(|group| group.name.clone()).unwrap_or_default();
        let first = subscription.subscriptions.first().and_then(|entry| entry.topic.as_ref());
        let topic = first.map(|topic| topic.name.clone()).unwrap_or_default();
        let (cluster, client_id) = (self.clone(), client.id.clone());
        self.tasks.spawn(async move {
            let change = LiteSubscription {
                action: LiteAction::CompleteRemove,
                client_id: &client_id,
                group: &group,
                topic: &topic,
                lite_topics: &[],
                start: None,
                connection: None,
            };
            if let Err(error) = cluster.try_subscribe(&change).await {
                debug!(client = client_id, group, %error, "brokers not told that a client of lite topics left");
            }
        });
    }
}

fn entry(change: &LiteSubscription<'_>) -> LiteSubscriptionEntry {
    let action = match change.action {
        LiteAction::PartialAdd => "PARTIAL_ADD",
        LiteAction::PartialRemove => "PARTIAL_REMOVE",
        LiteAction::CompleteAdd => "COMPLETE_ADD",
        LiteAction::CompleteRemove => "COMPLETE_REMOVE",
    };
    LiteSubscriptionEntry {
        action: action.to_owned(),
        client_id: Some(change.client_id.to_owned()),
        group: Some(change.group.to_owned()),
        lite_topic_set: Some(change.lite_topics.iter().map(|topic| (*topic).to_owned()).collect()),
        offset_option: change.start.map(|start| {
            let (kind, value) = match start {
                LiteStart::Keep => ("POLICY", 0),
                LiteStart::Min => ("POLICY", 1),
                LiteStart::Max => ("POLICY", 2),
                LiteStart::Offset(offset) => ("OFFSET", offset),
                LiteStart::Tail(count) => ("TAIL_N", count),
            };
            LiteOffsetOption { kind: kind.to_owned(), value }
        }),
        topic: Some(change.topic.to_owned()),
        version: 0,
    }
}
