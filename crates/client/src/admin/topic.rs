//! Topics.

use std::collections::BTreeMap;

use protocol::body::{GroupList, TopicConfig, TopicList, TopicRoute, TopicStats, TopicTable};
use protocol::code;
use protocol::request::{
    CreateTopic, CreateTopicHeader, DeleteTopic, DeleteTopicInNamesrv, DeleteTopicInNamesrvHeader, GetAllTopicConfig,
    GetAllTopics, GetTopicConfig, GetTopicStats, NoFields, QueryTopicConsumers, TopicHeader, TopicPageHeader,
};

use super::{Admin, unless};
use crate::Error;
use crate::client::unreadable;

impl Admin {
    /// Names of all topics, system and retry topics included.
    pub async fn topics(&self) -> Result<Vec<String>, Error> {
        let mut list: TopicList = self.name_server::<GetAllTopics>(&NoFields {}).await?.json::<GetAllTopics, _>()?;
        list.topic_list.sort_unstable();
        Ok(list.topic_list)
    }

    /// Where a topic is now.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] when it is nowhere.
    pub async fn route(&self, topic: &str) -> Result<TopicRoute, Error> {
        self.client.shared.fetch(topic).await
    }

    /// Settings of all topics of a broker.
    pub async fn topic_configs(&self, address: &str) -> Result<BTreeMap<String, TopicConfig>, Error> {
        let everything = TopicPageHeader { topic_seq: None, data_version: None, max_topic_num: None };
        let answer = self.at::<GetAllTopicConfig>(address, &everything).await?;
        Ok(answer.json::<GetAllTopicConfig, TopicTable>()?.topic_config_table)
    }

    /// Settings of a topic at one broker.
    pub async fn topic_config(&self, address: &str, topic: &str) -> Result<Option<TopicConfig>, Error> {
        let answer = self.at::<GetTopicConfig>(address, &TopicHeader { topic }).await;
        match unless(answer, &[code::TOPIC_NOT_EXIST])? {
            Some(answer) => answer.json::<GetTopicConfig, _>().map(Some),
            None => Ok(None),
        }
    }

    /// Makes a topic at one broker, or changes it. Its attributes are set in addition to those it has.
    pub async fn create_topic(&self, address: &str, config: &TopicConfig) -> Result<(), Error> {
        let attributes: Vec<String> = config.attributes.iter().map(|(key, value)| format!("+{key}={value}")).collect();
        let attributes = attributes.join(",");
        let header = CreateTopicHeader {
            topic: &config.topic_name,
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: Some(&config.topic_filter_type),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: config.order,
            attributes: Some(attributes.as_str()).filter(|changes| !changes.is_empty()),
        };
        self.at::<CreateTopic>(address, &header).await?;
        Ok(())
    }

    /// Deletes a topic and its messages at every broker, and its route at every name server.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        for broker in self.masters(None).await? {
            self.at::<DeleteTopic>(&broker.address, &TopicHeader { topic }).await?;
        }
        for server in self.client.name_servers() {
            let header = DeleteTopicInNamesrvHeader { topic, cluster_name: None };
            self.at::<DeleteTopicInNamesrv>(server, &header).await?;
        }
        Ok(())
    }

    /// Offsets of all queues of a topic, over all its brokers.
    pub async fn topic_stats(&self, topic: &str) -> Result<TopicStats, Error> {
        let mut all = TopicStats::default();
        for address in self.masters_of(topic).await? {
            let answer = self.at::<GetTopicStats>(&address, &TopicHeader { topic }).await?;
            let stats = TopicStats::from_body(&answer.frame.body);
            let stats = stats.map_err(|error| unreadable::<GetTopicStats>(&address, error))?;
            all.tps += stats.tps;
            all.offsets.extend(stats.offsets);
        }
        Ok(all)
    }

    /// Groups that consume a topic.
    pub async fn topic_groups(&self, topic: &str) -> Result<Vec<String>, Error> {
        let mut groups = Vec::new();
        for address in self.masters_of(topic).await? {
            let answer = self.at::<QueryTopicConsumers>(&address, &TopicHeader { topic }).await?;
            groups.extend(answer.json::<QueryTopicConsumers, GroupList>()?.group_list);
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Addresses of the masters that have a topic.
    pub(super) async fn masters_of(&self, topic: &str) -> Result<Vec<String>, Error> {
        let brokers = self.route(topic).await?.broker_datas;
        let masters = brokers.into_iter().filter_map(|mut broker| broker.broker_addrs.remove(&crate::route::MASTER));
        let masters: Vec<String> = masters.collect();
        if masters.is_empty() {
            return Err(Error::NoQueue { topic: topic.to_owned(), wanted: "writeable" });
        }
        Ok(masters)
    }
}
