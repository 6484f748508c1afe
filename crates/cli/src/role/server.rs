//! `rocketmq server`: name server, broker and gRPC server in one process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use broker_server::{FlushDiskType, Node, Remote};
use clap::Args;
use namesrv::{Clock, NameServer};
use proxy::{Advertised, Proxy};
use remoting::{Pool, Tls, TlsSettings};
use settings::{Settings as _, settings};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::notify::{State, notify};
use super::registry::AnyRegistry;
use super::start::{Common, metrics_text, print_ready, raise_open_files, recovery_text, tls_text};

settings! {
    /// What only `rocketmq server` can be told.
    pub(crate) struct OwnSettings {
        /// Port of the name server inside `rocketmq server`; 0 lets the system choose. Our own key: in RocketMQ the two
        /// are two programs, with a `listenPort` each.
        pub namesrv_listen_port: u16 = "namesrvListenPort", 9876, Restart;
    }
}

/// A name server of this address is the one in this process: many a `broker.conf` names it.
fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Runs a whole node: name server, broker and gRPC server in one process
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rocketmq server                                 start with defaults
  rocketmq server --data /var/lib/rocketmq        choose where messages are kept
  rocketmq server -c broker.conf                  take the settings of a Java broker over
  rocketmq server --set brokerIP1=203.0.113.7     tell clients this address instead of the one they used")]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    common: Common,

    /// Port of the name server, 0 lets the system choose [default: 9876]
    #[arg(long, value_name = "PORT")]
    namesrv_port: Option<u16>,

    /// Port of the broker, 0 lets the system choose [default: 10911]
    #[arg(long, value_name = "PORT")]
    listen_port: Option<u16>,

    /// Port for clients that use the VIP channel [default: two below the broker's port]
    #[arg(long, value_name = "PORT")]
    fast_listen_port: Option<u16>,

    /// Port of /metrics, /health and /ready, 0 lets the system choose [default: 5557]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,

    /// Port for gRPC clients, 0 lets the system choose [default: 8081]
    #[arg(long, value_name = "PORT")]
    grpc_port: Option<u16>,
}

impl ServerArgs {
    pub(crate) async fn run(self, stop: &CancellationToken) -> anyhow::Result<()> {
        let begin = Instant::now();
        raise_open_files();
        let text = |port: Option<u16>| port.map(|port| port.to_string());
        let flags = [
            ("listenPort", text(self.listen_port)),
            ("fastListenPort", text(self.fast_listen_port)),
            ("metricsPromExporterPort", text(self.metrics_port)),
            ("namesrvListenPort", text(self.namesrv_port)),
            ("grpcServerPort", text(self.grpc_port)),
        ];
        let mut own = OwnSettings::default();
        let mut grpc = proxy::Settings::default();
        let mut tls = TlsSettings::default();
        let mut metrics = metrics::Settings::default();
        let (settings, dir) = self.common.load_broker(&flags, &mut [&mut metrics, &mut own, &mut grpc, &mut tls])?;
        let (certificate, tls) = (tls_text(&tls), Tls::start(&tls)?);

        let namesrv_settings = namesrv::Settings {
            bind_address: settings.bind_address,
            listen_port: own.namesrv_listen_port,
            ..namesrv::Settings::default()
        };
        let name_server =
            NameServer::start(namesrv_settings, &dir.join("namesrv"), Clock::system(), tls.clone()).await?;

        let pool = Arc::new(Pool::default());
        let mut registries = vec![AnyRegistry::Local(name_server.name_server().clone())];
        let ours = name_server.address().port();
        let others = settings.namesrv_addr.iter().filter(|other| !(other.port == ours && is_this_host(&other.host)));
        registries.extend(
            others.map(|other| AnyRegistry::Remote(Remote::new(::settings::Setting::show(other), pool.clone()))),
        );

        let durable = settings.flush_disk_type == FlushDiskType::Sync;
        let names = format!("{} in {}", settings.broker_name, settings.cluster_name);
        let flush = settings.get("flushDiskType").unwrap_or_default();
        let (bind_address, host) = (settings.bind_address, settings.broker_ip1.clone());
        let node = Node::start(settings, metrics, registries, tls.clone()).await?;
        let remoting_port = node.address().port();
        let advertised = Advertised { host, ip: node.advertised(), remoting_port };
        let proxy = match Proxy::start(node.broker().clone(), bind_address, &grpc, advertised, tls).await {
            Ok(proxy) => proxy,
            Err(error) => {
                // What was opened is closed in order; the next start need not check the log.
                node.stop().await;
                name_server.stop().await;
                return Err(error.into());
            }
        };

        let broker_at = format!("{}, fast port {}", node.address(), node.fast_address().port());
        let durability = if durable { "on the disk" } else { "in the page cache" };
        let port = name_server.address().port();
        let option = if port == 9876 { String::new() } else { format!(" --namesrv 127.0.0.1:{port}") };
        print_ready(
            &[
                ("name server", name_server.address().to_string()),
                ("broker", format!("{broker_at}, {names}")),
                ("gRPC", proxy.address().to_string()),
                ("TLS", certificate),
                ("metrics", metrics_text(node.metrics_address())),
                ("data", format!("{}{}", dir.display(), recovery_text(node.recovery()))),
                ("durability", format!("a send is acknowledged when it is {durability} ({flush})")),
            ],
            begin,
            &[
                "Try, in another terminal:",
                &format!("  rocketmq produce{option} hello \"my first message\""),
                &format!("  rocketmq consume{option} hello --from beginning"),
            ],
        );
        notify(State::Ready);
        stop.cancelled().await;
        notify(State::Stopping);
        info!("stopping");
        proxy.stop().await;
        node.stop().await;
        name_server.stop().await;
        Ok(())
    }
}
