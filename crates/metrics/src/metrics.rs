//! What the settings ask for, checked and bound before there is anything to show.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::http;
use crate::push::Push;
use crate::settings::{ExporterType, PORT, Settings};
use crate::source::{Monitor, Source};

/// Why metrics cannot go where they should.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or the address is not ours.
    #[error("metrics: {0}; another port is metricsPromExporterPort or --metrics-port")]
    Listen(#[from] io::Error),
    /// The collector is not named, or not in a way that leads anywhere.
    #[error("{0}")]
    Target(String),
}

/// The port of metrics and health, and the push, before they run.
pub struct Metrics {
    listener: Option<TcpListener>,
    push: Option<Push>,
}

impl Metrics {
    /// Checks the settings and binds the port; `bind_address` counts where they name none. Several servers of one
    /// machine may start with the defaults, so the default port being taken keeps none of them from it.
    ///
    /// # Errors
    /// Nothing is left bound.
    pub async fn prepare(settings: &Settings, bind_address: IpAddr) -> Result<Metrics, StartError> {
        let push = Push::of(settings).map_err(StartError::Target)?;
        if settings.exporter_type == ExporterType::Disable {
            return Ok(Metrics { listener: None, push });
        }
        let address = SocketAddr::new(settings.host.unwrap_or(bind_address), settings.port);
        let listener = match http::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) if settings.port == PORT => {
                warn!(%error, "no metrics are served, set metricsPromExporterPort to a free port");
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Metrics { listener, push })
    }

    /// Where `/metrics`, `/health` and `/ready` are, if anywhere.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves and pushes until `stop`, and pushes once more then.
    pub async fn run(self, source: Arc<impl Source>, stop: CancellationToken) {
        let monitor = Arc::new(Monitor::new(source));
        let serving = async {
            if let Some(listener) = self.listener {
                http::serve(listener, monitor.clone(), stop.clone()).await;
            }
        };
        let pushing = async {
            if let Some(push) = self.push {
                push.run(monitor.clone(), stop.clone()).await;
            }
        };
        tokio::join!(serving, pushing);
    }
}
