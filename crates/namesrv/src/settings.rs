//! What an operator can tell a name server.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use settings::{Millis, settings};

settings! {
    /// Settings of a name server, under the keys of `NamesrvConfig` and `NettyServerConfig`.
    pub struct Settings {
        /// Port that brokers and clients connect to; 0 lets the system choose.
        pub listen_port: u16 = "listenPort", 9876, Restart;
        /// Address to listen on. `0.0.0.0` is every IPv4 address of this machine, `::` includes IPv6.
        pub bind_address: IpAddr = "bindAddress", IpAddr::from([0, 0, 0, 0]), Restart;
        /// Pause between two looks for brokers that were not heard of in time.
        pub scan_interval: Duration as Millis<100, 3_600_000> =
            "scanNotActiveBrokerInterval", Duration::from_secs(5), Live;
        /// Tell clients the queues of ordered topics, kept as key-values under ORDER_TOPIC_CONFIG.
        pub order_message_enable: bool = "orderMessageEnable", false, Live;
        /// Tell brokers the same when they register.
        pub return_order_topic_config: bool = "returnOrderTopicConfigToBroker", true, Live;
        /// Let the names of all topics be listed.
        pub enable_all_topic_list: bool = "enableAllTopicList", true, Live;
        /// Let the topics of a cluster and of units be listed.
        pub enable_topic_list: bool = "enableTopicList", true, Live;
        /// Take a registration as the whole list of the broker's topics and forget the others. Leave it off where
        /// brokers register one topic at a time (enableSingleTopicRegister, enableSplitRegistration).
        pub delete_topic_with_broker_registration: bool = "deleteTopicWithBrokerRegistration", false, Live;
        /// Show the replica with the smallest id as the master of a broker that lost its own, for reading.
        pub support_acting_master: bool = "supportActingMaster", false, Live;
        /// File of the key-values; `kvConfig.json` in the data directory when empty.
        pub kv_config_path: Option<PathBuf> = "kvConfigPath", None, Restart;
    }
}
