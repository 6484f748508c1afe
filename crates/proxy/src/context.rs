//! What all calls share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use broker::{Broker, LogOffset};
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, Ends};
use crate::clients::Clients;
use crate::renew::Renewals;
use crate::server::Advertised;
use crate::status::Refusal;
use crate::v2::{Address, AddressScheme, Code, Endpoints};

pub(crate) struct Context {
    pub(crate) broker: Arc<Broker>,
    pub(crate) clients: Clients,
    pub(crate) renewals: Renewals,
    pub(crate) advertised: Advertised,
    /// Our own port.
    pub(crate) port: u16,
    pub(crate) check_message_type: bool,
    /// Bytes of messages on their way to clients.
    pub(crate) unread: AtomicUsize,
    /// The end is near: nobody may wait any longer.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// Where this broker is for clients of remoting: written into messages, so that tools can ask for one later.
    pub(crate) fn store_host(&self, ends: &Ends) -> SocketAddr {
        let ip = self.advertised.ip.unwrap_or_else(|| ends.local.ip().to_canonical());
        SocketAddr::new(ip, self.advertised.remoting_port)
    }

    /// The address under which a client is told to find us.
    ///
    /// That of the settings; or the one that the client itself named, by which it has just reached us, whatever
    /// translates addresses in between; or the one where it arrived.
    pub(crate) fn endpoints(&self, caller: &Caller, named: Option<&Endpoints>) -> Endpoints {
        if let Some(host) = &self.advertised.host {
            return endpoints(host, self.port);
        }
        match named {
            Some(named) if named.addresses.len() == 1 && named.addresses[0].port > 0 => {
                let mut named = named.clone();
                named.scheme = scheme(&named.addresses[0].host) as i32;
                named
            }
            _ => endpoints(&caller.ends.local.ip().to_canonical().to_string(), self.port),
        }
    }

    /// Waits until a message is as safe as configured.
    pub(crate) async fn safe(&self, end: LogOffset) -> Result<(), Refusal> {
        let wait = self.broker.store().acknowledged().wait(end);
        match tokio::time::timeout(self.broker.config().flush_timeout, wait).await {
            Ok(done) => Ok(done?),
            // The record is in the log; only its flush is unconfirmed.
            Err(_) => Err(Refusal::new(Code::MasterPersistenceTimeout, "the flush took too long")),
        }
    }
}

fn endpoints(host: &str, port: u16) -> Endpoints {
    let address = Address { host: host.to_owned(), port: i32::from(port) };
    Endpoints { scheme: scheme(host) as i32, addresses: vec![address] }
}

/// Source: `AddressScheme` as `RouteActivity` derives it from the text of a host.
fn scheme(host: &str) -> AddressScheme {
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(_)) => AddressScheme::IPv4,
        Ok(IpAddr::V6(_)) => AddressScheme::IPv6,
        Err(_) => AddressScheme::DomainName,
    }
}
