//! What an operator can tell the gRPC server, under the keys of RocketMQ's proxy.

use std::path::PathBuf;

use settings::settings;

settings! {
    /// Settings of the gRPC server inside `rocketmq server`.
    pub struct Settings {
        /// Port for gRPC clients, plaintext and TLS both; 0 lets the system choose.
        pub grpc_server_port: u16 = "grpcServerPort", 8081, Restart;
        /// Certificate for TLS, a PEM file with the whole chain. Without it a self-signed one is made at each start,
        /// which the official clients accept.
        pub tls_cert_path: Option<PathBuf> = "tlsCertPath", None, Restart;
        /// Private key of that certificate, a PEM file.
        pub tls_key_path: Option<PathBuf> = "tlsKeyPath", None, Restart;
        /// Refuse messages of another type than the topic's attribute `message.type`; a topic without it takes NORMAL.
        pub check_message_type: bool = "enableTopicMessageTypeCheck", true, Restart;
    }
}
