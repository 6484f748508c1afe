//! What every command has at hand.

use anyhow::Result;
use client::{Admin, Client, Config};
use tokio_util::sync::CancellationToken;

use crate::args::Common;
use crate::contexts::Target;
use crate::output::Output;
use crate::secret;

/// The surroundings of one command.
pub(crate) struct Context {
    pub(crate) common: Common,
    pub(crate) out: Output,
    /// Cancelled by Ctrl-C or SIGTERM: finish what is under way, sum up, leave.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// A client of the cluster that flags, environment and contexts name.
    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(Client::connect(self.config()?).await?)
    }

    /// The same for commands that only ask.
    pub(crate) async fn admin(&self) -> Result<Admin> {
        Ok(self.connect().await?.admin())
    }

    /// How to connect to it.
    pub(crate) fn config(&self) -> Result<Config> {
        let target = Target::resolve(self.common.namesrv.as_deref(), self.common.context.as_deref())?;
        let credentials = secret::given(&self.common)?.or_else(|| target.credentials.map(Into::into));
        Ok(Config { timeout: self.common.timeout, credentials, ..Config::new([&target.namesrv]) })
    }
}
