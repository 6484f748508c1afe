//! What every command has at hand.

use anyhow::Result;
use client::{Admin, Client, Config};
use tokio_util::sync::CancellationToken;

use crate::args::Common;
use crate::output::Output;

/// The surroundings of one command.
pub(crate) struct Context {
    pub(crate) common: Common,
    pub(crate) out: Output,
    /// Cancelled by Ctrl-C or SIGTERM: finish what is under way, sum up, leave.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// A client of the cluster the flags name.
    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(Client::connect(self.config()).await?)
    }

    /// The same for commands that only ask.
    pub(crate) async fn admin(&self) -> Result<Admin> {
        Ok(self.connect().await?.admin())
    }

    /// How the flags say to connect.
    pub(crate) fn config(&self) -> Config {
        Config { timeout: self.common.timeout, ..Config::new([&self.common.namesrv()]) }
    }
}
