//! The broker as a service of remoting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, LogOffset, Receipt};
use parking_lot::RwLock;
use protocol::Frame;
use protocol::code::{self, Code};
use protocol::receipt_template::ReceiptTemplate;
use remoting::{Answer, Outbox, Parked, Peer, ReplyTo, Service};
use tokio::time::Instant;

use crate::connections::{Connections, id_of};
use crate::latency::{Kind, Latencies, Run, may_poll};
use crate::registrar::Registered;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::{handler, table};

/// What all handlers share.
pub(crate) struct Context {
    pub(crate) broker: Arc<Broker>,
    pub(crate) settings: RwLock<Settings>,
    pub(crate) metrics: RwLock<metrics::Settings>,
    /// Held by whoever changes these two.
    pub(crate) updates: Arc<tokio::sync::Mutex<()>>,
    pub(crate) connections: Connections,
    pub(crate) registered: Registered,
    pub(crate) routes: Routes,
    pub(crate) latencies: Latencies,
    pub(crate) receipts: ReceiptTemplate,
    /// Host of `brokerIP1`, resolved.
    pub(crate) advertised: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) started_ms: i64,
}

impl Context {
    /// Where this broker is, as a client sees it: written into its messages, so that it can ask for one later.
    pub(crate) fn store_host(&self, peer: &Peer) -> SocketAddr {
        SocketAddr::new(self.advertised.unwrap_or_else(|| peer.local().ip().to_canonical()), self.port)
    }

    pub(crate) fn flush_timeout(&self) -> Duration {
        self.broker.config().flush_timeout
    }
}

/// One of the broker's ports.
pub(crate) struct Port {
    pub(crate) context: Arc<Context>,
    /// The VIP port serves everything but pulls.
    pub(crate) fast: bool,
}

/// A stored message whose producer hears of it when it is safe.
pub(crate) struct ParkedSend {
    pub(crate) end: LogOffset,
    /// The request, and when it was read.
    pub(crate) request: i32,
    pub(crate) oneway: bool,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Instant,
    pub(crate) receipt: Receipt,
    pub(crate) store_host: SocketAddr,
}

impl Service for Port {
    type Parked = ParkedSend;

    fn call(self: &Arc<Self>, peer: &Arc<Peer>, request: Frame, arrived: Instant) -> Answer<ParkedSend> {
        let (code, oneway) = (request.code, request.is_oneway());
        let kind = move |response, polling| Kind { request: code, response, polling, oneway };
        match table::answer(&self.context, self.fast, peer, request, arrived) {
            Answer::Now(response) => {
                self.context.latencies.add(kind(response.code, false), arrived.elapsed());
                Answer::Now(response)
            }
            Answer::Later(answered) => {
                let context = self.context.clone();
                Answer::Later(Box::pin(async move {
                    let response = answered.await;
                    if let Some(response) = &response {
                        context.latencies.add(kind(response.code, may_poll(code)), arrived.elapsed());
                    }
                    response
                }))
            }
            // Counted when it is settled.
            answer @ (Answer::Parked(_) | Answer::Never) => answer,
        }
    }

    fn together<R>(&self, calls: impl FnOnce() -> R) -> R {
        let _written_together = self.context.broker.store().gather();
        calls()
    }

    fn closed(self: &Arc<Self>, peer: &Arc<Peer>) {
        self.context.connections.remove(&self.context.broker, peer);
        let changed = self.context.broker.sessions().disconnected(id_of(peer));
        self.context.broker.tell(&changed);
    }
}

impl Parked<Port> for ParkedSend {
    fn is_ready(&self, port: &Port, now: Instant) -> bool {
        let store = port.context.broker.store();
        store.acknowledged().reached(self.end) || store.failure().is_some() || now >= self.deadline
    }

    async fn ready(&self, port: &Port) {
        let _ = port.context.broker.store().acknowledged().wait(self.end).await;
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    fn settle(ready: impl Iterator<Item = (ReplyTo, Self)>, port: &Port, now: Instant, out: &mut Outbox) {
        let mut latencies = Run::new(&port.context.latencies);
        for (to, parked) in ready {
            let response = parked.answer(&port.context, to, out);
            let kind = Kind { request: parked.request, response, polling: false, oneway: parked.oneway };
            latencies.add(kind, now - parked.arrived);
        }
    }
}

impl ParkedSend {
    /// Writes the answer, and returns its code.
    fn answer(&self, context: &Context, to: ReplyTo, out: &mut Outbox) -> Code {
        let store = context.broker.store();
        let code = if store.acknowledged().reached(self.end) {
            if handler::send::write_plain_receipt(context, self, to, out) {
                return code::SUCCESS;
            }
            code::SUCCESS
        } else if let Some(failure) = store.failure() {
            // The record may or may not survive; only success may be claimed with a receipt.
            let code = crate::code::store_code(&failure);
            out.reply(to, code, Some(&failure.to_string()), |_| {});
            return code;
        } else {
            code::FLUSH_DISK_TIMEOUT
        };
        handler::send::write_receipt(context, self, |write| out.reply(to, code, None, write));
        code
    }
}
