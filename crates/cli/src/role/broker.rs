//! `rocketmq broker`: a broker alone, which registers with name servers elsewhere.

use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use broker_server::{Node, Remote};
use clap::Args;
use remoting::{Pool, Tls, TlsSettings};
use settings::{Setting, Settings as _};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::notify::{State, notify};
use super::registry::AnyRegistry;
use super::start::{Common, metrics_text, print_ready, raise_open_files, recovery_text, tls_text};

/// Runs a broker that registers with name servers elsewhere, or looks at brokers that run
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  rocketmq broker --namesrv \"10.0.0.1:9876;10.0.0.2:9876\" --data /var/lib/rocketmq
  rocketmq broker -c broker.conf                  take the settings of a Java broker over
  rocketmq broker status broker-a                 look at a broker that runs"
)]
pub(crate) struct BrokerArgs {
    #[command(subcommand)]
    pub(crate) command: Option<crate::command::broker::Command>,

    #[command(flatten)]
    common: Common,

    /// Port of the broker, 0 lets the system choose [default: 10911]
    #[arg(long, value_name = "PORT")]
    listen_port: Option<u16>,

    /// Port for clients that use the VIP channel [default: two below the broker's port]
    #[arg(long, value_name = "PORT")]
    fast_listen_port: Option<u16>,

    /// Port of /metrics, /health and /ready, 0 lets the system choose [default: 5557]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

impl BrokerArgs {
    pub(crate) async fn run(self, namesrv: Option<String>, stop: &CancellationToken) -> anyhow::Result<()> {
        let begin = Instant::now();
        raise_open_files();
        let text = |port: Option<u16>| port.map(|port| port.to_string());
        let flags = [
            ("namesrvAddr", namesrv),
            ("listenPort", text(self.listen_port)),
            ("fastListenPort", text(self.fast_listen_port)),
            ("metricsPromExporterPort", text(self.metrics_port)),
        ];
        let mut metrics = metrics::Settings::default();
        let mut tls = TlsSettings::default();
        let (settings, dir) = self.common.load_broker(&flags, &mut [&mut metrics, &mut tls])?;
        if settings.namesrv_addr.is_empty() {
            bail!(
                "a broker needs a name server: --namesrv HOST:PORT, NAMESRV_ADDR or namesrvAddr in the file. \
                   `rocketmq server` has one built in."
            );
        }
        let pool = Arc::new(Pool::default());
        let remote = |address| AnyRegistry::Remote(Remote::new(Setting::show(address), pool.clone()));
        let registries = settings.namesrv_addr.iter().map(remote).collect();
        let name_servers = settings.get("namesrvAddr").unwrap_or_default();
        let names = format!("{} in {}", settings.broker_name, settings.cluster_name);
        let flush = settings.get("flushDiskType").unwrap_or_default();
        let node = Node::start(settings, metrics, registries, Tls::start(&tls)?).await?;
        print_ready(
            &[
                ("broker", format!("{}, fast port {}, {names}", node.address(), node.fast_address().port())),
                ("name servers", name_servers),
                ("TLS", tls_text(&tls)),
                ("metrics", metrics_text(node.metrics_address())),
                ("data", format!("{}{}", dir.display(), recovery_text(node.recovery()))),
                ("flush", flush),
            ],
            begin,
            &[],
        );
        notify(State::Ready);
        stop.cancelled().await;
        notify(State::Stopping);
        info!("stopping");
        node.stop().await;
        Ok(())
    }
}
