//! Consumer groups.

use std::collections::BTreeMap;

use protocol::body::{ConsumeStats, ConsumerConnection, GroupConfig, GroupTable, SubscriptionData, TopicList};
use protocol::code;
use protocol::json;
use protocol::request::{
    ConsumerGroupHeader, CreateGroup, DeleteGroup, DeleteGroupHeader, GetAllGroupConfig, GetConsumeStats,
    GetConsumeStatsHeader, GetConsumerConnections, GetConsumerRunningInfo, GetConsumerRunningInfoHeader, GroupHeader,
    GroupPageHeader, NoFields, QueryTopicsByConsumer,
};

use super::{Admin, unless};
use crate::Error;
use crate::client::unreadable;

impl Admin {
    /// Settings of all groups of a broker.
    pub async fn group_configs(&self, address: &str) -> Result<BTreeMap<String, GroupConfig>, Error> {
        let everything = GroupPageHeader { group_seq: None, data_version: None, max_group_num: None };
        let answer = self.at::<GetAllGroupConfig>(address, &everything).await?;
        Ok(answer.json::<GetAllGroupConfig, GroupTable>()?.subscription_group_table)
    }

    /// Makes a group at one broker, or changes it.
    pub async fn create_group(&self, address: &str, config: &GroupConfig) -> Result<(), Error> {
        self.with::<CreateGroup>(address, &NoFields {}, json::to_vec(config)).await?;
        Ok(())
    }

    /// Deletes a group and its offsets at every broker.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        for broker in self.masters(None).await? {
            let header = DeleteGroupHeader { group_name: group, clean_offset: true };
            self.at::<DeleteGroup>(&broker.address, &header).await?;
        }
        Ok(())
    }

    /// How far a group is at one broker, in all its topics or in one.
    pub async fn consume_stats(&self, address: &str, group: &str, topic: Option<&str>) -> Result<ConsumeStats, Error> {
        let header = GetConsumeStatsHeader { consumer_group: group, topic, topic_list: None };
        let answer = self.at::<GetConsumeStats>(address, &header).await?;
        let stats = ConsumeStats::from_body(&answer.frame.body);
        stats.map_err(|error| unreadable::<GetConsumeStats>(address, error))
    }

    /// Who consumes in a group according to one broker; `None` when nobody does.
    pub async fn consumer_connection(&self, address: &str, group: &str) -> Result<Option<ConsumerConnection>, Error> {
        let header = ConsumerGroupHeader { consumer_group: group };
        let answer = self.at::<GetConsumerConnections>(address, &header).await;
        match unless(answer, &[code::CONSUMER_NOT_ONLINE])? {
            Some(answer) => answer.json::<GetConsumerConnections, _>().map(Some),
            None => Ok(None),
        }
    }

    /// What one member of a group subscribes to, asked of the member itself through the broker.
    ///
    /// # Errors
    /// Members that are not written in Java may refuse to tell.
    pub async fn member_subscriptions(
        &self,
        address: &str,
        group: &str,
        client_id: &str,
    ) -> Result<Vec<SubscriptionData>, Error> {
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct RunningInfo {
            subscription_set: Vec<SubscriptionData>,
        }
        let header = GetConsumerRunningInfoHeader { consumer_group: group, client_id, jstack_enable: false };
        let answer = self.at::<GetConsumerRunningInfo>(address, &header).await?;
        Ok(answer.json::<GetConsumerRunningInfo, RunningInfo>()?.subscription_set)
    }

    /// Topics a group has offsets of at one broker.
    pub async fn group_topics(&self, address: &str, group: &str) -> Result<Vec<String>, Error> {
        let answer = self.at::<QueryTopicsByConsumer>(address, &GroupHeader { group }).await?;
        Ok(answer.json::<QueryTopicsByConsumer, TopicList>()?.topic_list)
    }
}
