//! What an operator can tell the gRPC server, under the keys of RocketMQ's proxy.

use std::net::IpAddr;
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
        /// Connections without a call for so long are closed; a telemetry stream is a call.
        pub client_idle_time: Duration as Millis<1000> =
            "grpcClientIdleTimeMills", Duration::from_secs(120), Restart;
        /// Refuse messages of another type than the topic's attribute `message.type`; a topic without it takes NORMAL.
        pub check_message_type: bool = "enableTopicMessageTypeCheck", true, Restart;
        /// How far ahead a gRPC client may have a message delivered, if the broker allows it, too; 0 leaves it to the
        /// broker.
        pub delivery_delay_max: Duration as Millis = "maxDelayTimeMills", Duration::from_secs(86_400), Restart;
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
    }
}
