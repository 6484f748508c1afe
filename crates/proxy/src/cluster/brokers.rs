//! Where the brokers are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::body::ClusterInfo;
use protocol::request::{GetClusterInfo, NoFields};

use super::topic::MASTER;
use super::{Cluster, Error};

/// A broker that could not be reached is passed over for this long, where there are others: to find out costs a sender
/// the whole wait for a connection. Source: `LatencyFaultToleranceImpl`.
const PASSED_OVER: Duration = Duration::from_secs(30);

/// The table is not asked for again sooner than this, whoever misses something in it.
const AGE_MIN: Duration = Duration::from_secs(1);

/// Masters by name.
type Masters = BTreeMap<String, Master>;

#[derive(Debug, Clone)]
struct Master {
    address: String,
    cluster: String,
}

#[derive(Default)]
pub(super) struct Brokers {
    masters: Mutex<Arc<Masters>>,
    /// When the name servers were asked last; held while they are.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// Brokers that could not be reached, until when they are passed over.
    down: Mutex<HashMap<String, Instant>>,
}

impl Cluster {
    /// How many brokers are known, and how many of them are passed over because they could not be reached.
    pub(crate) fn count_brokers(&self) -> (usize, usize) {
        let masters = self.brokers.masters.lock().clone();
        let down = masters.keys().filter(|broker| !self.brokers.is_up(broker)).count();
        (masters.len(), down)
    }
}

impl Brokers {
    /// A broker was not reached.
    pub(super) fn is_down(&self, broker: &str) {
        self.down.lock().insert(broker.to_owned(), Instant::now() + PASSED_OVER);
    }

    /// A broker was reached.
    pub(super) fn answered(&self, broker: &str) {
        let mut down = self.down.lock();
        if !down.is_empty() {
            down.remove(broker);
        }
    }

    /// Whether a broker is worth a try.
    pub(super) fn is_up(&self, broker: &str) -> bool {
        let mut down = self.down.lock();
        match down.get(broker) {
            Some(until) if *until > Instant::now() => false,
            Some(_) => {
                down.remove(broker);
                true
            }
            None => true,
        }
    }

    fn address(&self, broker: &str) -> Option<String> {
        self.masters.lock().get(broker).map(|master| master.address.clone())
    }
}

impl Cluster {
    /// Asks the name servers for all brokers.
    pub(super) async fn refresh_brokers(&self) -> Result<(), Error> {
        let began = Instant::now();
        let mut asked = self.brokers.asked.lock().await;
        // Who waited for the lock finds what the other has learned.
        if asked.is_some_and(|asked| asked + AGE_MIN > began) {
            return Ok(());
        }
        *asked = Some(began);
        let answer = self.ask::<GetClusterInfo>(&NoFields {}).await?.success()?;
        let info: ClusterInfo = answer.json::<GetClusterInfo, _>()?;
        let masters = info.broker_addr_table.into_values().filter_map(|broker| {
            let address = broker.broker_addrs.get(&MASTER)?.clone();
            Some((broker.broker_name, Master { address, cluster: broker.cluster }))
        });
        let masters: Masters = masters.collect();
        self.brokers.down.lock().retain(|broker, _| masters.contains_key(broker));
        *self.brokers.masters.lock() = Arc::new(masters);
        Ok(())
    }

    /// Address of the master of a broker name.
    pub(super) async fn address(&self, broker: &str) -> Result<String, Error> {
        // One that could not be reached may have moved.
        if self.brokers.is_up(broker)
            && let Some(address) = self.brokers.address(broker)
        {
            return Ok(address);
        }
        // While no name server answers, the last known address counts.
        let refreshed = self.refresh_brokers().await;
        match (self.brokers.address(broker), refreshed) {
            (Some(address), _) => Ok(address),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::UnknownBroker(broker.to_owned())),
        }
    }

    /// Names of the brokers that know the groups, those that are up first.
    pub(super) async fn masters_of_cluster(&self) -> Result<Vec<String>, Error> {
        if self.brokers.masters.lock().is_empty() {
            self.refresh_brokers().await?;
        }
        let masters = self.brokers.masters.lock().clone();
        let ours = |master: &Master| self.options.cluster_name.as_ref().is_none_or(|name| *name == master.cluster);
        let mut names: Vec<_> =
            masters.iter().filter(|(_, master)| ours(master)).map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| !self.brokers.is_up(name));
        match (names.is_empty(), &self.options.cluster_name) {
            (false, _) => Ok(names),
            (true, Some(cluster)) => Err(Error::UnknownBroker(format!("any of cluster {cluster}"))),
            (true, None) => Err(Error::UnknownBroker("any".into())),
        }
    }
}
