//! What a proxy in front of a cluster shows of itself.
//!
//! Source: RocketMQ 5.5.0, `ProxyMetricsManager`, for the labels and `rocketmq_proxy_up`; the rest is ours, under the names
//! that brokers use where there is one.

use std::sync::Arc;

use metrics::{Collected, Kind, Source};

use crate::backend::Backend;
use crate::context::Context;

/// Source: `ProxyMode`.
const MODE: [(&str, &str); 1] = [("proxy_mode", "cluster")];

pub(crate) struct Monitor {
    pub(crate) context: Arc<Context>,
    pub(crate) settings: metrics::Settings,
    pub(crate) cluster_name: String,
    pub(crate) proxy_name: String,
}

impl Monitor {
    /// Brokers that are known, and those of them that could not be reached lately.
    fn brokers(&self) -> (usize, usize) {
        match &self.context.backend {
            Backend::Cluster(cluster) => cluster.count_brokers(),
            Backend::Local(_) => (1, 0),
        }
    }
}

impl Source for Monitor {
    const SCOPE: &'static str = "proxy-meter";

    fn settings(&self) -> metrics::Settings {
        self.settings.clone()
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![
            ("cluster", self.cluster_name.clone()),
            ("node_type", "proxy".into()),
            ("node_id", self.proxy_name.clone()),
        ]
    }

    fn ill(&self) -> Option<String> {
        None
    }

    fn not_ready(&self) -> Option<String> {
        if self.context.stop.is_cancelled() {
            return Some("stopping".into());
        }
        match self.brokers() {
            (0, _) => Some("no broker is known, the name servers have told of none yet".into()),
            (all, down) if all == down => Some(format!("none of the {all} brokers can be reached")),
            _ => None,
        }
    }

    async fn collect(self: &Arc<Self>) -> Collected {
        let monitor = self.clone();
        Box::new(move |out| {
            let mut gauge = |name: &str, help: &str, value: usize| {
                out.family(name, Kind::Gauge, help, |family| family.add(&MODE, value));
            };
            gauge("rocketmq_proxy_up", "1 while the proxy runs.", 1);
            let (brokers, down) = monitor.brokers();
            gauge("rocketmq_proxy_clients", "Clients that speak gRPC.", monitor.context.clients.all().len());
            gauge("rocketmq_proxy_brokers", "Brokers that the name servers tell of.", brokers);
            gauge("rocketmq_proxy_brokers_down", "Those of them that could not be reached lately.", down);
            monitor.context.calls.show(out);
        })
    }
}

/// Name of a proxy that has none: that of its machine, as in Java.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "proxy".into() } else { name.to_owned() }
}
