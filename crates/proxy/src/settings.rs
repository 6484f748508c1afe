//! What an operator can tell the gRPC server, under the keys of RocketMQ's proxy.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use settings::{Bytes, HostPort, Millis, choices, settings};

choices! {
    /// What a proxy serves.
    pub enum ProxyMode {
        /// Brokers elsewhere.
        Cluster = "CLUSTER",
        /// A broker in the same process, which is `rocketmq server` here.
        Local = "LOCAL",
    }
}

settings! {
    /// Settings of the gRPC server, in `rocketmq server` and `rocketmq proxy` alike.
    pub struct Settings {
        /// Port for gRPC clients, plaintext and TLS both; 0 lets the system choose.
        pub grpc_server_port: u16 = "grpcServerPort", 8081, Restart;
        /// Certificate for TLS, a PEM file with the whole chain. Without it a self-signed one is made when the first
        /// client comes over TLS, which the official clients accept.
        pub tls_cert_path: Option<PathBuf> = "tlsCertPath", None, Restart;
        /// Private key of that certificate, a PEM file.
        pub tls_key_path: Option<PathBuf> = "tlsKeyPath", None, Restart;
        /// Time between two looks at these files. A new certificate counts for connections that come later.
        pub tls_cert_watch_interval: Duration as Millis<100> = "tlsCertWatchIntervalMs", Duration::from_secs(10), Restart;
        /// Connections without a call for so long are closed; a telemetry stream is a call.
        pub client_idle_time: Duration as Millis<1000> =
            "grpcClientIdleTimeMills", Duration::from_secs(120), Restart;
        /// Refuse messages of another type than the topic's attribute `message.type`; a topic without it takes NORMAL.
        pub check_message_type: bool = "enableTopicMessageTypeCheck", true, Restart;
    }
}

settings! {
    /// Settings of `rocketmq proxy`, besides those of the gRPC server.
    pub struct ClusterSettings {
        /// Name servers of the cluster.
        pub namesrv_addr: Vec<HostPort> = "namesrvAddr", Vec::new(), Restart;
        /// Cluster whose brokers say how consumer groups are set. Without it all brokers are asked, which is right
        /// where the name servers know one cluster.
        pub cluster_name: Option<String> = "rocketMQClusterName", None, Restart;
        /// Name of the proxy in its metrics, the label `node_id`; that of the machine without it.
        pub proxy_name: Option<String> = "proxyName", None, Restart;
        /// What it serves: `CLUSTER`, brokers elsewhere. `LOCAL`, a broker in the same process, is `rocketmq server`.
        pub proxy_mode: ProxyMode = "proxyMode", ProxyMode::Cluster, Restart;
        /// Host by which clients are told to find the proxy, where the one they used themselves is not right.
        pub local_serve_addr: Option<String> = "localServeAddr", None, Restart;
        /// Address to listen on.
        pub bind_address: IpAddr = "bindAddress", IpAddr::from([0, 0, 0, 0]), Restart;
        /// Largest body of a message.
        pub message_bytes_max: usize as Bytes<1, 15_728_640> = "maxMessageSize", 4 << 20, Restart;
        /// How far ahead a delivery may be.
        pub timer_delay_max: Duration as Millis = "maxDelayTimeMills", Duration::from_secs(86_400), Restart;
    }
}
