//! What admin tools ask. Each call is a request or the same request to several brokers.

mod broker;
mod group;
mod lookup;
mod offset;
mod topic;
mod waiting;

pub use broker::Broker;

use protocol::Frame;
use protocol::code;
use protocol::request::Request;

use crate::client::{body, reply};
use crate::{Client, Error};

/// The calls of admin tools. Made by [`Client::admin`].
///
/// Errors are those of [`Client::call`] and [`Client::ask`] unless a call says more.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client }
    }
}

/// An answer and who gave it.
struct Answered<'a> {
    address: &'a str,
    frame: Frame,
}

impl Answered<'_> {
    fn reply<R: Request>(&self) -> Result<R::Reply<'_>, Error> {
        reply::<R>(self.address, &self.frame)
    }

    fn json<R: Request, T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        body::<R, T>(self.address, &self.frame)
    }
}

impl Admin {
    async fn at<'a, R: Request>(&self, address: &'a str, header: &R::Header<'_>) -> Result<Answered<'a>, Error> {
        self.with::<R>(address, header, Vec::new()).await
    }

    async fn with<'a, R: Request>(
        &self,
        address: &'a str,
        header: &R::Header<'_>,
        body: Vec<u8>,
    ) -> Result<Answered<'a>, Error> {
        let frame = self.client.call::<R>(address, header, body).await?;
        Ok(Answered { address, frame })
    }

    async fn name_server<R: Request>(&self, header: &R::Header<'_>) -> Result<Answered<'static>, Error> {
        Ok(Answered { address: "the name server", frame: self.client.ask::<R>(header).await? })
    }
}

/// `None` instead of a refusal with one of these codes.
fn unless<T>(result: Result<T, Error>, codes: &[code::Code]) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code().is_some_and(|code| codes.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}
