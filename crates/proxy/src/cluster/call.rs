//! One request to a broker or a name server, and its answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::code::{self, Code};
use protocol::request::{NoFields, Request};
use protocol::{Frame, Header, json};
use remoting::CallError;
use serde::de::DeserializeOwned;

use super::error::Unreadable;
use super::{Cluster, Error};

/// Longest wait for an ordinary answer. Source: `sendMsgTimeout`, `mqClientApiTimeout`.
const TIMEOUT: Duration = Duration::from_secs(3);

/// An answer of a broker.
pub(super) struct Answer {
    pub(super) broker: String,
    pub(super) frame: Frame,
}

impl Answer {
    pub(super) fn code(&self) -> Code {
        Code(self.frame.code)
    }

    /// The answer, if it is not a refusal.
    pub(super) fn success(self) -> Result<Answer, Error> {
        match self.code() {
            code::SUCCESS => Ok(self),
            _ => Err(self.refusal()),
        }
    }

    pub(super) fn refusal(&self) -> Error {
        let code = self.code();
        // The first line: Java appends links and stacks.
        let remark = self.frame.remark.as_deref().and_then(|remark| remark.lines().next()).unwrap_or_default();
        Error::Refused { code, remark: if remark.is_empty() { code.to_string() } else { remark.to_owned() } }
    }

    pub(super) fn header<R: Request>(&self) -> Result<R::Reply<'_>, Error> {
        R::Reply::decode(&self.frame.fields).map_err(|error| self.unreadable::<R>(error))
    }

    pub(super) fn json<R: Request, T: DeserializeOwned>(&self) -> Result<T, Error> {
        json::parse(&self.frame.body).map_err(|error| self.unreadable::<R>(error))
    }

    pub(super) fn unreadable<R: Request>(&self, error: impl Unreadable) -> Error {
        Error::Unreadable { broker: self.broker.clone(), request: R::NAME, reason: error.reason() }
    }
}

impl Cluster {
    /// Sends a request to the master of a broker name. The answer may be a refusal.
    pub(super) async fn call<R: Request>(
        &self,
        broker: &str,
        header: &R::Header<'_>,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Error> {
        self.exchange(broker, Frame::request(R::CODE, header).with_body(body), Duration::ZERO).await
    }

    /// The same, with a wait at the broker.
    pub(super) async fn exchange(&self, broker: &str, frame: Frame, wait: Duration) -> Result<Answer, Error> {
        let address = self.address(broker).await?;
        match self.pool.call(&address, frame, wait + TIMEOUT).await {
            Ok(frame) => {
                self.brokers.answered(broker);
                Ok(Answer { broker: broker.to_owned(), frame })
            }
            Err(error) => {
                if matches!(error, CallError::Connect { .. }) {
                    self.brokers.is_down(broker);
                }
                Err(Error::Call { broker: broker.to_owned(), error })
            }
        }
    }

    /// Asks the name servers, the next one when one is silent. The answer may be a refusal.
    pub(super) async fn ask<R: Request>(&self, header: &R::Header<'_>) -> Result<Answer, Error> {
        let servers = &self.options.name_servers;
        let first = self.name_server.load(Ordering::Relaxed);
        let mut reason = String::new();
        for at in (first..first + servers.len()).map(|at| at % servers.len()) {
            match self.pool.call(&servers[at], Frame::request(R::CODE, header), TIMEOUT).await {
                Ok(frame) => {
                    self.name_server.store(at, Ordering::Relaxed);
                    return Ok(Answer { broker: servers[at].clone(), frame });
                }
                Err(error) => reason = error.to_string(),
            }
        }
        Err(Error::NameServers { addresses: servers.join(";"), reason })
    }

    /// Asks a broker, which must agree.
    pub(super) async fn order<R: Request>(&self, broker: &str, header: &R::Header<'_>) -> Result<Answer, Error> {
        self.call::<R>(broker, header, Bytes::new()).await?.success()
    }

    /// The same with everything in the body.
    pub(super) async fn order_body<R>(&self, broker: &str, body: impl Into<Bytes>) -> Result<Answer, Error>
    where
        R: for<'a> Request<Header<'a> = NoFields>,
    {
        self.call::<R>(broker, &NoFields {}, body).await?.success()
    }
}
