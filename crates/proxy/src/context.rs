//! What all calls share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::caller::Caller;
use crate::calls::Calls;
use crate::clients::Clients;
use crate::renew::Renewals;
use crate::v2::{Address, AddressScheme, Endpoints};

pub(crate) struct Context {
    pub(crate) backend: Backend,
    pub(crate) clients: Arc<Clients>,
    pub(crate) renewals: Renewals,
    pub(crate) calls: Calls,
    /// Host by which clients find us, if the settings say so.
    pub(crate) host: Option<String>,
    /// Our own port.
    pub(crate) port: u16,
    pub(crate) check_message_type: bool,
    /// How far ahead a delivery may be; zero is as far as the broker allows.
    pub(crate) delivery_delay_max: Duration,
    /// Bytes of messages on their way to clients.
    pub(crate) unread: AtomicUsize,
    /// The end is near: nobody may wait any longer.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// The address under which a client is told to find us.
    ///
    /// That of the settings; or the one that the client itself named, by which it has just reached us, whatever
    /// translates addresses in between; or the one where it arrived.
    pub(crate) fn endpoints(&self, caller: &Caller, named: Option<&Endpoints>) -> Endpoints {
        if let Some(host) = &self.host {
            return endpoints(host, self.port);
        }
        match named {
            Some(named) if self.is_at(named) => {
                let scheme = scheme(&named.addresses[0].host) as i32;
                Endpoints { scheme, ..named.clone() }
            }
            _ => endpoints(&caller.ends.local.ip().to_canonical().to_string(), self.port),
        }
    }

    /// Whether all addresses that a client names lead to us. Of several, each is a broker of its own, or a proxy of the
    /// same cluster, which serves like us.
    fn is_at(&self, named: &Endpoints) -> bool {
        let proxies = matches!(self.backend, Backend::Cluster(_));
        (named.addresses.len() == 1 || (proxies && !named.addresses.is_empty()))
            && named.addresses.iter().all(|address| address.port > 0)
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
