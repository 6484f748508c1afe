//! TLS on the port of plaintext, with a client that decides how its bytes are cut.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use protocol::Frame;
use remoting::{Tls, TlsSettings};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use testkit::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::echo::{LOCAL, World, request, serve, serve_at};

const PATIENCE: Duration = Duration::from_secs(20);

struct Client {
    socket: TcpStream,
    session: ClientConnection,
    plain: BytesMut,
    /// Bytes of a write.
    cut: usize,
}

impl Client {
    async fn connect(world: &World, trusted: &RootCertStore, cut: usize) -> Client {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions");
        let config = config.with_root_certificates(trusted.clone()).with_no_client_auth();
        let mut session =
            ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name")).expect("a session");
        session.set_buffer_limit(None);
        let socket = TcpStream::connect(world.address).await.expect("somebody listens");
        Client { socket, session, plain: BytesMut::new(), cut }
    }

    async fn send(&mut self, code: i32, number: i32) {
        let mut bytes = BytesMut::new();
        request(code).encode(number, &mut bytes);
        self.session.writer().write_all(&bytes).expect("it is kept");
        self.flush().await;
    }

    async fn flush(&mut self) {
        let mut encrypted = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut encrypted).expect("a vector takes all");
        }
        for piece in encrypted.chunks(self.cut) {
            self.socket.write_all(piece).await.expect("it is open");
            tokio::task::yield_now().await;
        }
    }

    /// The next frame; `None` at the end.
    async fn read(&mut self) -> Option<Frame> {
        let mut encrypted = BytesMut::new();
        loop {
            if let Some(frame) = Frame::decode(&mut self.plain).expect("frames") {
                return Some(frame);
            }
            encrypted.clear();
            let read = timeout(PATIENCE, self.socket.read_buf(&mut encrypted)).await.expect("it answers");
            if read.unwrap_or(0) == 0 {
                return None;
            }
            let mut rest = &encrypted[..];
            while !rest.is_empty() {
                self.session.read_tls(&mut rest).expect("records");
                self.session.process_new_packets().expect("it is who it says");
                let mut reader = self.session.reader();
                while let Some(bytes) = reader.fill_buf().ok().filter(|bytes| !bytes.is_empty()) {
                    self.plain.extend_from_slice(bytes);
                    let taken = bytes.len();
                    reader.consume(taken);
                }
            }
            self.flush().await;
        }
    }
}

/// A service with a certificate, and those who trust it.
fn world() -> (World, RootCertStore) {
    let dir = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).expect("is written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("is written");
    let settings = TlsSettings { cert_path: Some(chain), key_path: Some(key), ..TlsSettings::default() };
    let mut trusted = RootCertStore::empty();
    trusted.add(made.cert.into()).expect("a certificate");
    (serve_at(LOCAL, Tls::start(&settings).expect("it is read")), trusted)
}

#[tokio::test]
async fn large_answers_arrive_whole_and_in_order_beside_plaintext() {
    let (world, trusted) = world();
    let mut client = Client::connect(&world, &trusted, usize::MAX).await;
    let mut plain = Wire::connect(world.address).await;
    for number in 0..30 {
        client.send(1, number).await;
        plain.send(&request(2), number).await;
    }
    for number in 0..30 {
        let answer = client.read().await.expect("it is answered");
        assert_eq!((answer.opaque, answer.body.len()), (number, 1 << 20));
        assert!(answer.body.iter().all(|byte| *byte == 7));
        assert_eq!(plain.read().await.map(|answer| answer.opaque), Some(number));
    }
    client.session.send_close_notify();
    client.flush().await;
    assert!(client.read().await.is_none(), "the end is answered with the end");
    world.closes(1).await;
    drop(plain);
    world.end().await;
}

#[tokio::test]
async fn records_may_come_in_pieces_of_any_size() {
    let (world, trusted) = world();
    for cut in [1, 2, 7, 300] {
        let mut client = Client::connect(&world, &trusted, cut).await;
        for number in 0..3 {
            client.send(2, number).await;
            assert_eq!(client.read().await.map(|answer| answer.opaque), Some(number), "in pieces of {cut}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_certificate_is_made_when_there_is_none() {
    let world = serve();
    let mut client = Client::connect(&world, &RootCertStore::empty(), usize::MAX).await;
    client.send(2, 1).await;
    let mut encrypted = BytesMut::new();
    let refused = loop {
        timeout(PATIENCE, client.socket.read_buf(&mut encrypted)).await.expect("it answers").expect("it is open");
        client.session.read_tls(&mut &encrypted.split()[..]).expect("records");
        if let Err(refused) = client.session.process_new_packets() {
            break refused;
        }
    };
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
    world.end().await;
}

#[tokio::test]
async fn what_only_begins_like_tls_is_closed() {
    let (world, _) = world();
    let mut socket = TcpStream::connect(world.address).await.expect("somebody listens");
    socket.write_all(b"\x16 is a number as good as any, but no handshake").await.expect("it is open");
    let mut said = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut said)).await.expect("it ends").expect("in order");
    assert_eq!(said.first(), Some(&0x15), "an alert says why");
    world.end().await;
}
