//! The address under which a broker is told to clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The address under which a broker is told to clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Advertise {
    /// The same text for everyone, as brokers on the network register it.
    Fixed(Arc<str>),
    /// The IP address at which the asker reached this name server, with this port. For a broker in this process that
    /// was given no address: on loopback, in a LAN and between containers the asker has just shown that it can reach
    /// that IP. Behind address translation (a published container port) the broker needs a fixed address.
    SameHost {
        /// Port of the broker.
        port: u16,
    },
}

impl Advertise {
    /// A fixed address.
    pub fn fixed(address: impl Into<Arc<str>>) -> Advertise {
        Advertise::Fixed(address.into())
    }

    /// The text for someone who reached us at this IP address.
    pub fn text(&self, reached_at: IpAddr) -> String {
        match self {
            Advertise::Fixed(address) => address.to_string(),
            // An IPv4 client of a socket that serves both families shows up as ::ffff:a.b.c.d.
            Advertise::SameHost { port } => SocketAddr::new(reached_at.to_canonical(), *port).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_an_address_within_reach() {
        let check = |at: &Advertise, ip: &str, text| assert_eq!(at.text(ip.parse().unwrap()), text);
        let same = Advertise::SameHost { port: 10911 };
        check(&same, "127.0.0.1", "127.0.0.1:10911");
        check(&same, "::ffff:10.0.0.7", "10.0.0.7:10911");
        check(&same, "::1", "[::1]:10911");
        check(&Advertise::fixed("broker:1"), "127.0.0.1", "broker:1");
    }
}
