//! `rocketmq namesrv`: a name server alone.

use std::time::Instant;

use clap::Args;
use namesrv::{Clock, NameServer, Settings};
use remoting::{Tls, TlsSettings};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::notify::{State, notify};
use super::start::{Common, print_ready, raise_open_files, tls_text};

/// Runs a name server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rocketmq namesrv --data /var/lib/rocketmq-namesrv
  rocketmq namesrv -c namesrv.conf --listen-port 9877")]
pub(crate) struct NamesrvArgs {
    #[command(flatten)]
    common: Common,

    /// Port to listen on, 0 lets the system choose [default: 9876]
    #[arg(long, value_name = "PORT")]
    listen_port: Option<u16>,
}

impl NamesrvArgs {
    pub(crate) async fn run(self, stop: &CancellationToken) -> anyhow::Result<()> {
        let begin = Instant::now();
        raise_open_files();
        let mut settings = Settings::default();
        let flags = [("listenPort", self.listen_port.map(|port| port.to_string()))];
        let mut tls = TlsSettings::default();
        self.common.given.load(&flags, &mut [&mut settings, &mut tls])?;
        let dir = self.common.data_dir(None)?.join("namesrv");
        let name_server = NameServer::start(settings, &dir, Clock::system(), Tls::start(&tls)?).await?;
        let facts = [
            ("name server", name_server.address().to_string()),
            ("TLS", tls_text(&tls)),
            ("data", dir.display().to_string()),
        ];
        print_ready(&facts, begin, &[]);
        notify(State::Ready);
        stop.cancelled().await;
        notify(State::Stopping);
        info!("stopping");
        name_server.stop().await;
        Ok(())
    }
}
