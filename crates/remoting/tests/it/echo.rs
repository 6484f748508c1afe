//! A service that does what its caller says, behind a listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::Frame;
use remoting::{Answer, Listener, Outbox, Parked, Peer, ReplyTo, Response, Service, Tls, bind};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Answers code 1 with a megabyte, code 2 with nothing, code 3 never, calls the caller back for code 4,
/// and parks code 5 for as many seconds as its body has bytes.
pub(crate) struct Echo {
    large: Bytes,
    pub(crate) asked: AtomicUsize,
    pub(crate) closed: AtomicUsize,
}

impl Service for Echo {
    type Parked = Instant;

    fn call(self: &Arc<Self>, peer: &Arc<Peer>, request: Frame, _arrived: Instant) -> Answer<Instant> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match request.code {
            1 => Response::ok().with_body(self.large.clone()).into(),
            2 => Response::ok().into(),
            4 => {
                let peer = peer.clone();
                Answer::later(async move {
                    let answer = peer.call(Frame { code: 9, ..Frame::default() }, Duration::from_secs(5)).await;
                    Ok(Response::ok().with_body(answer.map_or_else(|error| error.to_string(), |a| a.code.to_string())))
                })
            }
            5 => Answer::Parked(Instant::now() + Duration::from_secs(request.body.len() as u64)),
            _ => Answer::Later(Box::pin(std::future::pending())),
        }
    }

    fn closed(self: &Arc<Self>, _peer: &Arc<Peer>) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Parked<Echo> for Instant {
    fn is_ready(&self, _echo: &Echo, now: Instant) -> bool {
        now >= *self
    }

    async fn ready(&self, _echo: &Echo) {
        std::future::pending().await
    }

    fn deadline(&self) -> Option<Instant> {
        Some(*self)
    }

    fn settle(ready: impl Iterator<Item = (ReplyTo, Self)>, _echo: &Echo, _now: Instant, out: &mut Outbox) {
        ready.for_each(|(to, _)| out.reply(to, protocol::code::SUCCESS, None, |_| {}));
    }
}

pub(crate) struct World {
    pub(crate) echo: Arc<Echo>,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub(crate) fn serve_at(address: SocketAddr, tls: Arc<Tls>) -> World {
    let socket = bind(address).expect("a free port");
    let address = socket.local_addr().expect("it has one");
    let echo = Arc::new(Echo { large: vec![7; 1 << 20].into(), asked: 0.into(), closed: 0.into() });
    let stop = CancellationToken::new();
    let task = tokio::spawn(Listener::new(socket, echo.clone(), tls).run(stop.clone()));
    World { echo, address, stop, task }
}

pub(crate) fn serve() -> World {
    serve_at(LOCAL, Arc::default())
}

/// A port of the system's choice.
pub(crate) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl World {
    pub(crate) async fn end(self) -> Duration {
        let begin = Instant::now();
        self.stop.cancel();
        self.task.await.expect("the listener does not panic");
        begin.elapsed()
    }

    pub(crate) async fn closes(&self, connections: usize) {
        while self.echo.closed.load(Ordering::Relaxed) < connections {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(crate) fn request(code: i32) -> Frame {
    Frame { code, ..Frame::default() }
}
