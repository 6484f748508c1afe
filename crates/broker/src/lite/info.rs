//! What admin tools are shown of lite topics.
//!
//! Source: RocketMQ 5.5.0, `LiteManagerProcessor`.

use std::collections::BTreeMap;

use protocol::body::{
    BrokerLiteInfo, LiteClientInfo, LiteGroupInfo, LiteLag, LiteTopicInfo, OffsetWrapper, ParentTopicInfo, Subscriber,
    TopicOffset,
};
use protocol::name::parse_lite_queue;

use super::subscribe::bound_topic;
use crate::attribute::LITE_EXPIRATION;
use crate::{Broker, Error};

/// Lite topics of a group's answer that lag most, at most.
const TOP_MAX: usize = 1000;

impl Broker {
    /// Everything in figures.
    pub fn lite_info(&self) -> BrokerLiteInfo {
        let (subscriptions, clients) = self.lite.registry.counts();
        let mut topic_meta = BTreeMap::new();
        for topic in self.topics.all() {
            if self.require_lite_topic(topic.name()).is_ok() {
                topic_meta.insert(topic.name().to_owned(), self.lite_minutes(topic.name()));
            }
        }
        let mut group_meta: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in self.groups.names() {
            if let Some(parent) = self.groups.get(&name).and_then(|group| bound_topic(&group).map(str::to_owned)) {
                group_meta.entry(parent).or_default().push(name);
            }
        }
        BrokerLiteInfo {
            store_type: "Extents".into(),
            max_lmq_num: i32::MAX,
            current_lmq_num: self.lite.total() as i32,
            lite_subscription_count: subscriptions as i32,
            order_info_count: self.lite.lines.len() as i32,
            cq_table_size: self.lite.total() as i32,
            offset_table_size: self.offsets.len() as i32,
            event_map_size: clients as i32,
            topic_meta,
            group_meta,
        }
    }

    fn lite_minutes(&self, parent: &str) -> i32 {
        let topic = self.topics.get(parent);
        let minutes = topic.and_then(|topic| topic.config().attributes.get(LITE_EXPIRATION)?.parse().ok());
        minutes.unwrap_or(-1)
    }

    /// One parent topic.
    pub fn lite_parent_info(&self, parent: &str) -> Result<ParentTopicInfo, Error> {
        self.require_lite_topic(parent)?;
        let bound = |name: &String| self.groups.get(name).is_some_and(|group| bound_topic(&group) == Some(parent));
        let count = self.lite.count(parent) as i32;
        Ok(ParentTopicInfo {
            topic: parent.to_owned(),
            ttl: self.lite_minutes(parent),
            groups: self.groups.names().into_iter().filter(bound).collect(),
            lmq_num: count,
            lite_topic_count: count,
        })
    }

    /// One lite topic.
    pub async fn lite_topic_info(&self, parent: &str, lite_topic: &str) -> Result<LiteTopicInfo, Error> {
        self.require_lite_topic(parent)?;
        let name = self.lite_queue_name(parent, lite_topic);
        let (min, max) = self.queue_range(&name, 0);
        let last = if max > min { self.store_time(&name, 0, max - 1).await? } else { None };
        let subscribers = self.lite.registry.subscribers(parent, &name);
        Ok(LiteTopicInfo {
            parent_topic: parent.to_owned(),
            lite_topic: lite_topic.to_owned(),
            subscriber: subscribers.into_iter().map(|(client_id, group)| Subscriber { client_id, group }).collect(),
            topic_offset: TopicOffset { min_offset: min, max_offset: max, last_update_timestamp: last.unwrap_or(0) },
            sharding_to_broker: true,
        })
    }

    /// One client.
    pub fn lite_client_info(
        &self,
        parent: &str,
        group: &str,
        client: &str,
        max: usize,
    ) -> Result<LiteClientInfo, Error> {
        self.require_lite_topic(parent)?;
        self.require_bound(group, parent)?;
        let known = self.lite.registry.client(client).filter(|_| self.lite.registry.is_member(client, group, parent));
        let (heard_ms, count, names) = match known {
            Some((heard_ms, names)) => (heard_ms, names.len() as i32, names),
            None => (-1, -1, Vec::new()),
        };
        Ok(LiteClientInfo {
            parent_topic: parent.to_owned(),
            group: group.to_owned(),
            client_id: client.to_owned(),
            last_access_time: heard_ms,
            last_consume_time: 0,
            lite_topic_count: count,
            lite_topic_set: names.iter().take(max).map(|name| name.to_string()).collect(),
        })
    }

    /// One group, in one lite topic or in all.
    pub async fn lite_group_info(
        &self,
        group: &str,
        lite_topic: Option<&str>,
        top: usize,
    ) -> Result<LiteGroupInfo, Error> {
        let config = self.groups.get(group).ok_or_else(|| Error::UnknownGroup(group.to_owned()))?;
        let not_lite =
            || Error::Parameter(format!("the group {group} reads no lite topics: it has no lite.bind.topic"));
        let parent = bound_topic(&config).ok_or_else(not_lite)?;
        let mut info = LiteGroupInfo {
            group: group.to_owned(),
            parent_topic: parent.to_owned(),
            lite_topic: lite_topic.map(str::to_owned),
            earliest_unconsumed_timestamp: -1,
            total_lag_count: 0,
            ..LiteGroupInfo::default()
        };
        if let Some(lite_topic) = lite_topic {
            let name = self.lite_queue_name(parent, lite_topic);
            let (min, max) = self.queue_range(&name, 0);
            if max == 0 {
                info.total_lag_count = -1;
                return Ok(info);
            }
            let offset = self.offsets.get(&name, group, 0).unwrap_or(min).max(min);
            info.total_lag_count = max - offset;
            info.earliest_unconsumed_timestamp = self.store_time(&name, 0, offset).await?.unwrap_or(-1);
            let last = if offset > min { self.store_time(&name, 0, offset - 1).await? } else { None };
            info.lite_topic_offset_wrapper = Some(OffsetWrapper {
                broker_offset: max,
                consumer_offset: offset,
                pull_offset: offset,
                last_timestamp: last.unwrap_or(0),
            });
            return Ok(info);
        }
        let mut lags = Vec::new();
        for (name, _) in self.lite.of_parent(parent) {
            // A group that never read a lite topic does not lag in it.
            let Some(offset) = self.offsets.get(&name, group, 0) else { continue };
            let (min, max) = self.queue_range(&name, 0);
            let lag = max - offset.max(min);
            if lag > 0 {
                lags.push((lag, offset.max(min), name));
            }
        }
        info.total_lag_count = lags.iter().map(|(lag, ..)| lag).sum();
        lags.sort_unstable_by_key(|(lag, ..)| std::cmp::Reverse(*lag));
        for (lag, offset, name) in lags.into_iter().take(top.clamp(1, TOP_MAX)) {
            let unconsumed_ms = self.store_time(&name, 0, offset).await?.unwrap_or(-1);
            let lite_topic = parse_lite_queue(&name).map_or("", |(_, lite_topic)| lite_topic).to_owned();
            info.lag_count_top_k.push(LiteLag {
                lite_topic,
                lag_count: lag,
                earliest_unconsumed_timestamp: unconsumed_ms,
            });
        }
        let times = info.lag_count_top_k.iter().map(|lag| lag.earliest_unconsumed_timestamp).filter(|ms| *ms >= 0);
        info.earliest_unconsumed_timestamp = times.min().unwrap_or(-1);
        info.lag_timestamp_top_k.clone_from(&info.lag_count_top_k);
        info.lag_timestamp_top_k.sort_by_key(|lag| lag.earliest_unconsumed_timestamp);
        Ok(info)
    }

    /// Makes a client of a group, or all, look at everything they subscribe to.
    pub fn lite_dispatch(&self, group: &str, client: Option<&str>) -> Result<(), Error> {
        self.groups.get(group).ok_or_else(|| Error::UnknownGroup(group.to_owned()))?;
        let clients = self.lite.registry.clients_of(group);
        for id in clients.iter().filter(|id| client.is_none_or(|client| client == *id)) {
            self.lite.registry.look_again(id);
        }
        Ok(())
    }
}
