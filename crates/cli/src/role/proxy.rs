//! `rocketmq proxy`: the gRPC server alone, for the brokers of a cluster.

use std::time::Instant;

use anyhow::bail;
use clap::Args;
use proxy::{ClusterSettings, Proxy, ProxyMode};
use remoting::{Tls, TlsSettings};
use settings::Settings as _;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::notify::{State, notify};
use super::start::{Given, metrics_text, print_ready, raise_open_files, tls_text};

/// Runs a gRPC server for the brokers of a cluster
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rocketmq proxy --namesrv \"10.0.0.1:9876;10.0.0.2:9876\"
  rocketmq proxy -c rmq-proxy.json                take the settings of a Java proxy over")]
pub(crate) struct ProxyArgs {
    #[command(flatten)]
    given: Given,

    /// Port for gRPC clients, 0 lets the system choose [default: 8081]
    #[arg(long, value_name = "PORT")]
    grpc_port: Option<u16>,

    /// Port of /metrics, /health and /ready, 0 lets the system choose [default: 5557]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

impl ProxyArgs {
    pub(crate) async fn run(self, namesrv: Option<String>, stop: &CancellationToken) -> anyhow::Result<()> {
        let begin = Instant::now();
        raise_open_files();
        let text = |port: Option<u16>| port.map(|port| port.to_string());
        let flags = [
            ("namesrvAddr", namesrv),
            ("grpcServerPort", text(self.grpc_port)),
            ("metricsPromExporterPort", text(self.metrics_port)),
        ];
        let mut grpc = proxy::Settings::default();
        let mut cluster = ClusterSettings::default();
        let mut metrics = metrics::Settings::default();
        let mut tls = TlsSettings::default();
        self.given.load(&flags, &mut [&mut cluster, &mut metrics, &mut grpc, &mut tls])?;
        if cluster.proxy_mode == ProxyMode::Local {
            bail!("proxyMode=LOCAL is a broker with a gRPC server in one process: run `rocketmq server`");
        }
        let name_servers = cluster.get("namesrvAddr").unwrap_or_default();
        let proxy = Proxy::start_for_cluster(&cluster, &grpc, metrics, Tls::start(&tls)?).await?;
        let facts = [
            ("gRPC", proxy.address().to_string()),
            ("name servers", name_servers),
            ("TLS", tls_text(&tls)),
            ("metrics", metrics_text(proxy.metrics_address())),
        ];
        print_ready(&facts, begin, &[]);
        notify(State::Ready);
        stop.cancelled().await;
        notify(State::Stopping);
        info!("stopping");
        proxy.stop().await;
        Ok(())
    }
}
