//! Clusters, brokers and their settings.

use std::collections::BTreeMap;

use protocol::body::{ClusterInfo, KvTable};
use protocol::code;
use protocol::request::{
    DeleteKvConfig, GetBrokerConfig, GetBrokerRuntimeInfo, GetClusterInfo, GetKvConfig, GetKvList, GetNamesrvConfig,
    KvKeyHeader, NamespaceHeader, NoFields, PutKvConfig, PutKvConfigHeader, UpdateBrokerConfig,
};

use super::{Admin, unless};
use crate::Error;
use crate::route::MASTER;

/// One broker process, as the name server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Cluster.
    pub cluster: String,
    /// Name, shared with its replicas.
    pub name: String,
    /// 0 is the master.
    pub id: i64,
    /// The address it gives to clients.
    pub address: String,
}

impl Broker {
    /// All brokers of a cluster table, by cluster, name and id.
    pub fn all_of(info: ClusterInfo) -> Vec<Broker> {
        let mut brokers: Vec<Broker> = Vec::new();
        for (name, data) in info.broker_addr_table {
            brokers.extend(data.broker_addrs.into_iter().map(|(id, address)| Broker {
                cluster: data.cluster.clone(),
                name: name.clone(),
                id,
                address,
            }));
        }
        brokers.sort_by(|a, b| (&a.cluster, &a.name, a.id).cmp(&(&b.cluster, &b.name, b.id)));
        brokers
    }

    /// Whether it takes messages.
    pub fn is_master(&self) -> bool {
        self.id == MASTER
    }
}

impl Admin {
    /// All clusters and brokers.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, Error> {
        self.name_server::<GetClusterInfo>(&NoFields {}).await?.json::<GetClusterInfo, _>()
    }

    /// All brokers, by cluster, name and id.
    pub async fn brokers(&self) -> Result<Vec<Broker>, Error> {
        Ok(Broker::all_of(self.cluster_info().await?))
    }

    /// The masters, of one cluster or of all.
    pub async fn masters(&self, cluster: Option<&str>) -> Result<Vec<Broker>, Error> {
        let mut brokers = self.brokers().await?;
        brokers.retain(|broker| broker.is_master() && cluster.is_none_or(|cluster| cluster == broker.cluster));
        Ok(brokers)
    }

    /// Figures of a running broker.
    pub async fn runtime_info(&self, address: &str) -> Result<BTreeMap<String, String>, Error> {
        let answer = self.at::<GetBrokerRuntimeInfo>(address, &NoFields {}).await?;
        Ok(answer.json::<GetBrokerRuntimeInfo, KvTable>()?.table)
    }

    /// Settings of a broker.
    pub async fn broker_config(&self, address: &str) -> Result<BTreeMap<String, String>, Error> {
        Ok(settings(&self.at::<GetBrokerConfig>(address, &NoFields {}).await?.frame.body))
    }

    /// Changes settings of a broker. Returns what it has to say about them, such as that some wait for its next start.
    pub async fn update_broker_config(&self, address: &str, changes: &[(&str, &str)]) -> Result<Option<String>, Error> {
        Ok(self.with::<UpdateBrokerConfig>(address, &NoFields {}, settings_text(changes)).await?.frame.remark)
    }

    /// Settings of a name server.
    pub async fn name_server_config(&self, address: &str) -> Result<BTreeMap<String, String>, Error> {
        Ok(settings(&self.at::<GetNamesrvConfig>(address, &NoFields {}).await?.frame.body))
    }

    /// Stores a value at every name server: they do not tell each other.
    pub async fn put_kv(&self, namespace: &str, key: &str, value: &str) -> Result<(), Error> {
        for server in self.client.name_servers() {
            self.at::<PutKvConfig>(server, &PutKvConfigHeader { namespace, key, value }).await?;
        }
        Ok(())
    }

    /// A value that a name server keeps.
    pub async fn kv(&self, namespace: &str, key: &str) -> Result<Option<String>, Error> {
        let answer = self.name_server::<GetKvConfig>(&KvKeyHeader { namespace, key }).await;
        let Some(answer) = unless(answer, &[code::QUERY_NOT_FOUND])? else { return Ok(None) };
        Ok(answer.reply::<GetKvConfig>()?.value.map(str::to_owned))
    }

    /// All values of a namespace.
    pub async fn kv_list(&self, namespace: &str) -> Result<BTreeMap<String, String>, Error> {
        let answer = self.name_server::<GetKvList>(&NamespaceHeader { namespace }).await;
        let Some(answer) = unless(answer, &[code::QUERY_NOT_FOUND])? else { return Ok(BTreeMap::new()) };
        Ok(answer.json::<GetKvList, KvTable>()?.table)
    }

    /// Forgets a value at every name server.
    pub async fn delete_kv(&self, namespace: &str, key: &str) -> Result<(), Error> {
        for server in self.client.name_servers() {
            self.at::<DeleteKvConfig>(server, &KvKeyHeader { namespace, key }).await?;
        }
        Ok(())
    }
}

/// Settings from lines of `key=value`. Java writes them without escapes. Source: `MixAll.properties2String`.
fn settings(text: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.to_owned())).collect()
}

/// The reverse. Java reads it as a properties file, in which a backslash escapes. Source: `MixAll.string2Properties`.
fn settings_text(settings: &[(&str, &str)]) -> Vec<u8> {
    let line = |(key, value): &(&str, &str)| format!("{key}={}\n", value.replace('\\', "\\\\").replace('\n', "\\n"));
    settings.iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_written() {
        let read = settings(b"brokerName=a\nstorePath=/x=y\n\nnoise\nempty=\n");
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("brokerName".into(), "a".into()), ("empty".into(), String::new()), ("storePath".into(), "/x=y".into())]
        );
        assert_eq!(settings_text(&[("a", "1"), ("b", "c:\\d")]), b"a=1\nb=c:\\\\d\n");
    }
}
