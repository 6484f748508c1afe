//! Settings of consumer groups.

use std::sync::Arc;

use bytes::Bytes;
use protocol::body::GroupConfig;
use protocol::code;
use protocol::request::{GetGroupConfig, GroupHeader};

use super::{Cluster, Error};
use crate::status::Refusal;

impl Cluster {
    /// Settings of a group. One that no broker knows has the defaults: a broker makes it at its first receive, or
    /// refuses that.
    pub(crate) async fn group(&self, name: &str) -> Result<Arc<GroupConfig>, Refusal> {
        match self.find_group(name).await {
            Err(Error::Refused { code: code::SUBSCRIPTION_GROUP_NOT_EXIST, .. }) => {
                Ok(Arc::new(GroupConfig { group_name: name.to_owned(), ..GroupConfig::default() }))
            }
            found => Ok(found?),
        }
    }

    /// Settings of a group that is there.
    pub(crate) async fn known_group(&self, name: &str) -> Option<Arc<GroupConfig>> {
        self.find_group(name).await.ok()
    }

    async fn find_group(&self, name: &str) -> Result<Arc<GroupConfig>, Error> {
        self.groups.get(name, Error::is_silence, async || self.ask_for_group(name).await).await
    }

    /// All brokers are told the same about a group, but for one that some of them have made by themselves.
    async fn ask_for_group(&self, group: &str) -> Result<GroupConfig, Error> {
        let mut failed = None;
        for broker in self.masters_of_cluster().await? {
            match self.call::<GetGroupConfig>(&broker, &GroupHeader { group }, Bytes::new()).await {
                Ok(answer) if answer.code() == code::SUCCESS => return answer.json::<GetGroupConfig, _>(),
                Ok(answer) => failed = Some(answer.refusal()),
                // What a broker says counts more than that another is silent.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::UnknownBroker("any".into())))
    }
}
