//! One port for plaintext and TLS, and what is not a call of ours.

use std::sync::Arc;
use std::time::Duration;

use proxy::v2::*;
use remoting::{Tls, TlsSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::help::{Client, DEADLINE, Server, check, message, resource};

fn route(topic: &str) -> QueryRouteRequest {
    QueryRouteRequest { topic: Some(resource(topic)), endpoints: None }
}

#[tokio::test]
async fn tls_with_a_certificate_of_the_settings_and_plaintext_share_a_port() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let server = Server::start().await;
    let settings = proxy::Settings { grpc_server_port: 0, ..proxy::Settings::default() };
    let tls = TlsSettings { cert_path: Some(chain), key_path: Some(key), ..TlsSettings::default() };
    let second = proxy::Proxy::start(
        Arc::clone(&server.broker),
        [127, 0, 0, 1].into(),
        &settings,
        proxy::Advertised { host: Some("example.com".into()), ..Default::default() },
        Tls::start(&tls).unwrap(),
    );
    let second = second.await.unwrap();
    server.topic("T", "NORMAL");

    let trusted =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(made.cert.pem())).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", second.address())).unwrap();
    let channel = endpoint.tls_config(trusted).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let service = "apache.rocketmq.v2.MessagingService".to_owned();
    let answer = health.check(tonic_health::pb::HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(answer.status, 1);

    let mut plain = Client::connect(&format!("http://{}", second.address()), "c").await;
    let answer = plain.stub.query_route(route("T")).await.unwrap().into_inner();
    let endpoints = answer.message_queues[0].broker.as_ref().unwrap().endpoints.clone().unwrap();
    assert_eq!(endpoints.scheme, AddressScheme::DomainName as i32);
    assert_eq!(endpoints.addresses[0].port, i32::from(second.address().port()));
    second.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_call_without_a_client_id_is_told_so() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut nobody = server.client("").await;
    check(&nobody.stub.query_route(route("T")).await.unwrap().into_inner().status, Code::ClientIdRequired);
    check(&nobody.send(message("T", "m", b"x")).await.status, Code::ClientIdRequired);
    let mut line = nobody.telemetry().await;
    let first = line.from.message().await.unwrap().unwrap();
    check(&first.status, Code::ClientIdRequired);
    assert!(line.from.message().await.unwrap().is_none());
    server.stop().await;
}

#[tokio::test]
async fn noise_on_the_port_harms_nobody() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    for noise in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff", b""]
    {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Whatever comes, the connection ends.
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it ends");
    }
    let mut client = server.client("c").await;
    check(&client.stub.query_route(route("T")).await.unwrap().into_inner().status, Code::Ok);
    server.stop().await;
}

#[tokio::test]
async fn a_request_larger_than_any_message_ends_with_a_grpc_status() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    // Too large for the settings: told in our words.
    check(&client.send(message("T", "m", &vec![0; (4 << 20) + 1])).await.status, Code::MessageBodyTooLarge);
    // Too large for anybody.
    let huge = SendMessageRequest { messages: vec![message("T", "m", &vec![0; 33 << 20])] };
    let refused = client.stub.send_message(huge).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
    Client::sent(&client.send(message("T", "m", b"x")).await);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_streams_and_does_not_wait_for_clients() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let mut client = server.client("c").await;
    let (mut line, _) = client.settle(crate::help::producer(&["T"])).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), server.stop());
    let (stopped, end) = tokio::join!(stopped, line.from.message());
    stopped.expect("the server stops");
    assert!(matches!(end, Ok(None) | Err(_)));
}

#[tokio::test]
async fn behind_a_balancer_clients_have_their_own_addresses() {
    let server = Server::start().await;
    server.topic("T", "NORMAL");
    let balancer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, behind) = (format!("http://{}", balancer.local_addr().unwrap()), server.address());
    let balancing = tokio::spawn(async move {
        let (mut client, _) = balancer.accept().await.unwrap();
        let mut server = TcpStream::connect(behind).await.unwrap();
        server.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 8081\r\n").await.unwrap();
        // Until one of them is gone.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let mut client = Client::connect(&url, "c").await;
    let (line, _) = client.settle(crate::help::producer(&["T"])).await;
    let sessions = server.broker.sessions().producers("T");
    assert_eq!(sessions[0].shown.client_addr, "192.0.2.7:4000");
    drop((line, client));
    server.stop().await;
    balancing.await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_counts_without_a_restart() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    };
    let first = write();
    let settings = proxy::Settings { grpc_server_port: 0, ..proxy::Settings::default() };
    let tls = TlsSettings {
        cert_path: Some(chain.clone()),
        key_path: Some(key.clone()),
        watch_interval: Duration::from_millis(20),
    };
    let (broker, tls) = (Arc::clone(&server.broker), Tls::start(&tls).unwrap());
    let second = proxy::Proxy::start(broker, [127, 0, 0, 1].into(), &settings, proxy::Advertised::default(), tls);
    let second = second.await.unwrap();
    let connect = async |certificate: &str| {
        let trusted =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate)).domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{}", second.address())).unwrap();
        endpoint.tls_config(trusted).unwrap().connect().await
    };
    connect(&first).await.unwrap();
    let renewed = write();
    let taken = async {
        while connect(&renewed).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, taken).await.expect("the new certificate is taken");
    assert!(connect(&first).await.is_err());
    second.stop().await;
    server.stop().await;
}
