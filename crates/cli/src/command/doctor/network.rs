//! Name servers, and the addresses that brokers give to clients.

use std::net::IpAddr;
use std::time::Duration;

use client::{Broker, Client};
use protocol::body::ClusterInfo;
use protocol::json;
use protocol::request::{GetClusterInfo, NoFields};

use super::{Findings, reason};

/// Longest wait for a connection to a port that few clients use.
const VIP_PATIENCE: Duration = Duration::from_secs(1);

/// Asks every name server. Each knows all brokers: the clients ask only one of them.
pub(super) async fn name_servers(client: &Client, findings: &mut Findings) -> Vec<Broker> {
    let mut known: Vec<(String, Vec<Broker>)> = Vec::new();
    for server in client.name_servers() {
        let subject = format!("name server {server}");
        let answer = client.call::<GetClusterInfo>(server, &NoFields {}, Vec::new()).await;
        let info = answer
            .map_err(|error| reason(&error))
            .and_then(|answer| json::parse::<ClusterInfo>(&answer.body).map_err(|error| error.to_string()));
        match info {
            Ok(info) => {
                let brokers = Broker::all_of(info);
                findings.good(subject, format!("answers, brokers: {}", brokers.len()));
                known.push((server.clone(), brokers));
            }
            Err(error) => {
                findings.bad(subject, error, "Start it, or take it out of the addresses of clients and brokers.");
            }
        }
    }
    let mut known = known.into_iter();
    let Some((first, brokers)) = known.next() else { return Vec::new() };
    for (server, others) in known {
        if others != brokers {
            let found = format!("{first} and {server} know different brokers");
            let advice = "Let namesrvAddr of every broker list all name servers.";
            findings.bad("name servers", found, advice);
        }
    }
    brokers
}

/// Whether clients elsewhere can use the address a broker gives them.
pub(super) fn address(client: &Client, broker: &Broker, findings: &mut Findings) {
    let local = client.name_servers().iter().all(|server| ip(server).is_some_and(|ip| ip.is_loopback()));
    if let Some(problem) = problem(&broker.address, local) {
        let advice = "Set brokerIP1 of the broker to the address that clients reach it under.";
        findings.bad(format!("broker {} {}", broker.name, broker.address), problem, advice);
    }
}

/// Clients that are set to use the VIP channel send to the port two below the broker's. Source: `MixAll.brokerVIPChannel`.
pub(super) async fn vip_port(broker: &Broker, findings: &mut Findings) {
    let Some((host, port)) = broker.address.rsplit_once(':') else { return };
    let Some(port) = port.parse::<u16>().ok().and_then(|port| port.checked_sub(2)) else { return };
    let address = format!("{host}:{port}");
    let tried = tokio::time::timeout(VIP_PATIENCE, tokio::net::TcpStream::connect(&address)).await;
    if !matches!(tried, Ok(Ok(_))) {
        let found = format!("its VIP port {address} cannot be reached");
        let advice = "Open it, or let clients keep vipChannelEnabled=false, which is their default.";
        findings.note(format!("broker {} {}", broker.name, broker.address), found, advice);
    }
}

fn problem(address: &str, local: bool) -> Option<&'static str> {
    let ip = ip(address)?;
    if ip.is_unspecified() {
        Some("gives clients an address that means \"any\"")
    } else if ip.is_loopback() && !local {
        Some("gives clients a loopback address, which means themselves")
    } else {
        None
    }
}

/// The address of `host:port`, `None` for a name other than `localhost`.
fn ip(address: &str) -> Option<IpAddr> {
    let (host, _port) = address.rsplit_once(':')?;
    if host == "localhost" { Some(IpAddr::from([127, 0, 0, 1])) } else { host.trim_matches(['[', ']']).parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, local: bool, bad: bool) {
        assert_eq!(problem(address, local).is_some(), bad, "{address}");
    }

    #[test]
    fn loopback_is_fine_only_where_everything_is_local() {
        check("127.0.0.1:10911", true, false);
        check("127.0.0.1:10911", false, true);
        check("[::1]:10911", false, true);
        check("localhost:10911", false, true);
        check("0.0.0.0:10911", true, true);
        check("10.0.0.5:10911", false, false);
        check("broker-a:10911", false, false);
    }
}
