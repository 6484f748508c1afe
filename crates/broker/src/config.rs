//! What a broker can be told, as values. RocketMQ's key names live at the edge.

use std::path::PathBuf;
use std::time::Duration;

use protocol::body::MessageRequestMode;

/// Settings of a broker apart from those of its store.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name that clients address; one master and its replicas share it.
    pub broker_name: String,
    /// Cluster the broker belongs to.
    pub cluster_name: String,
    /// Region named in every message.
    pub region: String,
    /// Whether clients may trace.
    pub trace_on: bool,
    /// Directory of the settings tables.
    pub config_dir: PathBuf,
    /// What all topics together allow; see [`protocol::perm`].
    pub permission: i32,
    /// Make unknown topics when they are sent to.
    pub auto_create_topic: bool,
    /// Make unknown groups when they appear.
    pub auto_create_group: bool,
    /// Queues of the template topic, and with it the most an auto-created topic gets.
    pub default_topic_queues: i32,
    /// Largest body in bytes.
    pub message_bytes_max: usize,
    /// Delay of level 1, 2, ...
    pub delay_levels: Vec<Duration>,
    /// Whether consumers may filter by SQL92 expressions.
    pub sql_filter: bool,
    /// Whether replies are stored besides being handed to who waits for them.
    pub store_replies: bool,
    /// Whether the topic of message traces is there from the start.
    pub trace_topic: bool,
    /// Whether messages may name a time of their own.
    pub timer_enabled: bool,
    /// How far ahead that time may be.
    pub timer_delay_max: Duration,
    /// Whether a message that waits for its time may be recalled.
    pub recall_enabled: bool,
    /// Refuse transactional messages.
    pub reject_transactions: bool,
    /// Age of a half message at its first check, unless it says otherwise.
    pub transaction_timeout: Duration,
    /// Time between two checks of a half message.
    pub transaction_check_interval: Duration,
    /// Checks after which a half message is set aside.
    pub transaction_checks_max: u32,
    /// How messages are popped.
    pub pop: PopConfig,
    /// Whether pulls may wait for messages.
    pub long_polling: bool,
    /// Most messages of an answer to a pull.
    pub pull_messages_max: i32,
    /// Time between two saves of consumer offsets into the log: what a crash may make consumers see again.
    pub offset_interval: Duration,
    /// Time between two copies of all tables into files.
    pub snapshot_interval: Duration,
    /// Longest wait for a flush before a producer is told that it took too long.
    pub flush_timeout: Duration,
    /// Resets move the offset at the broker instead of telling the clients.
    pub server_side_reset: bool,
    /// Silence after which a client is forgotten.
    pub session_timeout: Duration,
}

/// Settings of POP.
#[derive(Debug, Clone)]
pub struct PopConfig {
    /// Store messages that come again in retry topics with the newer kind of name.
    pub retry_topic_v2: bool,
    /// Then still read those with the older kind of name.
    pub read_retry_topic_v1: bool,
    /// Answer messages of retry topics as such, not under their original topic.
    pub answer_retry_topic: bool,
    /// Percentage of pops that look at the retry topics first.
    pub retry_percent: u32,
    /// The same for topics with priorities.
    pub retry_percent_of_priority: u32,
    /// A larger number is more urgent.
    pub priority_ascending: bool,
    /// A new group that wants to begin at the end begins at the first message after all where that is young.
    pub init_by_memory: bool,
    /// Pops that may wait for one queue, or all, of a topic in one group.
    pub polling_of_queue_max: usize,
    /// Pops that may wait at all.
    pub polling_max: usize,
    /// How groups get their messages when the broker decides and nothing else was set.
    pub default_request_mode: MessageRequestMode,
    /// How many clients then share the queues of one.
    pub default_share_queues: i32,
    /// Share queues out among clients; otherwise each is told of all.
    pub server_load_balancer: bool,
}

impl Default for PopConfig {
    fn default() -> Self {
        PopConfig {
            retry_topic_v2: false,
            read_retry_topic_v1: true,
            answer_retry_topic: false,
            retry_percent: 20,
            retry_percent_of_priority: 0,
            priority_ascending: true,
            init_by_memory: true,
            polling_of_queue_max: 1024,
            polling_max: 100_000,
            default_request_mode: MessageRequestMode::Pull,
            default_share_queues: -1,
            server_load_balancer: true,
        }
    }
}

impl Config {
    /// The defaults, with the tables in a directory.
    pub fn new(config_dir: PathBuf) -> Config {
        Config {
            broker_name: "broker-a".into(),
            cluster_name: "DefaultCluster".into(),
            region: "DefaultRegion".into(),
            trace_on: true,
            config_dir,
            permission: protocol::perm::READ | protocol::perm::WRITE,
            auto_create_topic: true,
            auto_create_group: true,
            default_topic_queues: 8,
            message_bytes_max: 4 << 20,
            delay_levels: store::Options::default().delay_levels,
            sql_filter: true,
            store_replies: true,
            trace_topic: false,
            timer_enabled: true,
            timer_delay_max: Duration::from_secs(3 * 365 * 86_400),
            recall_enabled: true,
            reject_transactions: false,
            transaction_timeout: Duration::from_secs(6),
            transaction_check_interval: Duration::from_secs(30),
            transaction_checks_max: 15,
            pop: PopConfig::default(),
            long_polling: true,
            pull_messages_max: 32,
            offset_interval: Duration::from_millis(200),
            snapshot_interval: Duration::from_secs(10),
            flush_timeout: Duration::from_secs(5),
            server_side_reset: true,
            session_timeout: Duration::from_secs(120),
        }
    }
}
