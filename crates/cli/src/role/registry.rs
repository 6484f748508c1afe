//! The name servers a broker of this process registers with.

use std::net::Ipv4Addr;
use std::sync::Arc;

use broker_server::{Registration, Registry, RegistryError, Remote};
use namesrv::{Advertise, NameServer, Of, Topics};
use protocol::body::QueueData;

/// A name server in this process or on the network.
pub(crate) enum AnyRegistry {
    Local(Arc<NameServer>),
    Remote(Remote),
}

fn advertise(registration: &Registration) -> Advertise {
    match &registration.host {
        Some(host) if host.contains(':') => Advertise::fixed(format!("[{host}]:{}", registration.port)),
        Some(host) => Advertise::fixed(format!("{host}:{}", registration.port)),
        None => Advertise::SameHost { port: registration.port },
    }
}

impl Registry for AnyRegistry {
    async fn register(&self, registration: &Registration) -> Result<(), RegistryError> {
        let name_server = match self {
            AnyRegistry::Remote(remote) => return remote.register(registration).await,
            AnyRegistry::Local(name_server) => name_server,
        };
        for topic in &registration.deleted {
            name_server.delete_topic(topic, Of::Broker(&registration.broker_name));
        }
        let registered = name_server.register(namesrv::Registration {
            cluster: registration.cluster_name.clone(),
            broker_name: registration.broker_name.clone(),
            broker_id: registration.broker_id,
            at: advertise(registration),
            ha: None,
            topics: Topics::Changed(registration.topics.values().cloned().collect()),
            version: registration.version,
            timeout: None,
            enable_acting_master: None,
            zone: None,
        });
        registered.map(drop).map_err(|refused| RegistryError(refused.to_string()))
    }

    async fn knows(&self, registration: &Registration) -> Result<bool, RegistryError> {
        match self {
            AnyRegistry::Remote(remote) => remote.knows(registration).await,
            // It lives and dies with this process.
            AnyRegistry::Local(_) => Ok(true),
        }
    }

    async fn queues(&self, topic: &str) -> Result<Vec<QueueData>, RegistryError> {
        match self {
            AnyRegistry::Remote(remote) => remote.queues(topic).await,
            // Whom addresses are told does not matter to the queues.
            AnyRegistry::Local(name_server) => {
                let route = name_server.route(topic, Ipv4Addr::LOCALHOST.into());
                Ok(route.map_or_else(Vec::new, |route| route.queue_datas))
            }
        }
    }

    async fn unregister(&self, registration: &Registration) -> Result<(), RegistryError> {
        match self {
            AnyRegistry::Remote(remote) => remote.unregister(registration).await,
            AnyRegistry::Local(name_server) => {
                let at = advertise(registration);
                name_server.unregister(&registration.cluster_name, &registration.broker_name, &at);
                Ok(())
            }
        }
    }

    fn name(&self) -> String {
        match self {
            AnyRegistry::Remote(remote) => remote.name(),
            AnyRegistry::Local(_) => "this process".into(),
        }
    }
}
