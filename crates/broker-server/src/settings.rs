//! What an operator can tell a broker, under RocketMQ's keys.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use broker::{Config, PopConfig};
use protocol::body::MessageRequestMode;
use settings::{Between, Bytes, HostPort, Hours, Millis, Seconds, choices, settings};

choices! {
    /// When a message counts as stored.
    pub enum FlushDiskType {
        /// When it is on the disk.
        Sync = "SYNC_FLUSH",
        /// When the operating system has it; a power failure may lose the last moments.
        Async = "ASYNC_FLUSH",
    }
}

choices! {
    /// What a broker is in its replica group.
    pub enum BrokerRole {
        /// A master that waits for its replicas; without replicas the same as the other.
        SyncMaster = "SYNC_MASTER",
        /// A master that does not wait.
        AsyncMaster = "ASYNC_MASTER",
    }
}

choices! {
    /// How a consumer group gets its messages when the broker decides that.
    pub enum RequestMode {
        /// Clients share the queues out and pull.
        Pull = "PULL",
        /// The broker shares the messages out.
        Pop = "POP",
    }
}

settings! {
    /// Settings of a broker, its store and its listener.
    pub struct Settings {
        /// Name of the broker. A master and its replicas share it.
        pub broker_name: String = "brokerName", "broker-a".into(), Restart;
        /// Cluster the broker belongs to.
        pub cluster_name: String = "brokerClusterName", "DefaultCluster".into(), Restart;
        /// Number of the broker in its group: 0 is the master, and replicas are not supported yet.
        pub broker_id: i64 as Between<0, 0> = "brokerId", 0, Restart;
        /// Role of the broker. Replicas are not supported yet, so both values mean the same.
        pub broker_role: BrokerRole = "brokerRole", BrokerRole::AsyncMaster, Restart;
        /// Name servers to register with, separated by semicolons.
        pub namesrv_addr: Vec<HostPort> = "namesrvAddr", Vec::new(), Restart;
        /// Address that clients are told to connect to. Without it `rocketmq server` tells each client the address
        /// under which that client reached it, and `rocketmq broker` tells its own first address.
        pub broker_ip1: Option<String> = "brokerIP1", None, Restart;
        /// Address to listen on.
        pub bind_address: IpAddr = "bindAddress", IpAddr::V4(Ipv4Addr::UNSPECIFIED), Restart;
        /// Port to listen on; 0 lets the system choose.
        pub listen_port: u16 = "listenPort", 10911, Restart;
        /// Port for clients that use the VIP channel. RocketMQ has no key for it: its clients always use the port two
        /// below `listenPort`, which is the default here; 0 lets the system choose.
        pub fast_listen_port: Option<u16> = "fastListenPort", None, Restart;
        /// What all topics together allow: 6 both ways, 4 reading, 2 writing.
        pub broker_permission: i32 as Between<0, 7> = "brokerPermission", 6, Live;
        /// Make a topic when somebody sends to it for the first time.
        pub auto_create_topic: bool = "autoCreateTopicEnable", true, Live;
        /// Make a consumer group when it appears for the first time.
        pub auto_create_group: bool = "autoCreateSubscriptionGroup", true, Live;
        /// Most queues of a topic made that way; clients ask for 4.
        pub default_topic_queues: i32 as Between<1, 1024> = "defaultTopicQueueNums", 8, Restart;
        /// Largest body of a message.
        pub message_bytes_max: usize as Bytes<1, 15728640> = "maxMessageSize", 4 << 20, Live;
        /// The delay levels, in s, m, h or d.
        pub delay_levels: DelayLevels = "messageDelayLevel", DelayLevels::default(), Restart;
        /// Whether messages may name a time of their own to be delivered at.
        pub timer_enabled: bool = "timerWheelEnable", true, Live;
        /// How far ahead that time may be: three years, where RocketMQ has three days. Retention does not bound it, as
        /// waiting messages are stored again before their part of the log is deleted.
        pub timer_delay_max: Duration as Seconds<1, 315360000> = "timerMaxDelaySec", Duration::from_secs(3 * 365 * 86400), Live;
        /// Whether a producer may recall a message that waits for its time. RocketMQ's default is false.
        pub recall_enabled: bool = "recallMessageEnable", true, Live;
        /// Refuse transactional messages.
        pub reject_transactions: bool = "rejectTransactionMessage", false, Live;
        /// Age at which the producer of a half message is asked for the first time, unless the message says otherwise.
        pub transaction_timeout: Duration as Millis<1, 86400000> = "transactionTimeOut", Duration::from_secs(6), Live;
        /// Time between two such questions.
        pub transaction_check_interval: Duration as Millis<100, 86400000> = "transactionCheckInterval", Duration::from_secs(30), Live;
        /// Questions after which a half message is set aside in TRANS_CHECK_MAX_TIME_TOPIC.
        pub transaction_checks_max: u32 as Between<0, 1000000> = "transactionCheckMax", 15, Live;
        /// Region named in every message.
        pub region: String = "regionId", "DefaultRegion".into(), Restart;
        /// Whether clients may trace.
        pub trace_on: bool = "traceOn", true, Restart;
        /// Consumers may choose messages by SQL92 expressions over the properties. RocketMQ's default is false.
        pub sql_filter: bool = "enablePropertyFilter", true, Live;
        /// Keep replies to request messages in the topic `<cluster>_REPLY_TOPIC` besides handing them to the client
        /// that waits for them.
        pub store_replies: bool = "storeReplyMessageEnable", true, Live;
        /// Make the topic `RMQ_SYS_TRACE_TOPIC` of message traces at the start, with one queue. Otherwise it is made,
        /// as any other topic, when the first client that traces sends to it.
        pub trace_topic: bool = "traceTopicEnable", false, Restart;
        /// Messages that were popped and not acked in time come again in retry topics named
        /// `%RETRY%<group>+<topic>`, where the older names are `%RETRY%<group>_<topic>`.
        pub retry_topic_v2: bool = "enableRetryTopicV2", false, Live;
        /// With the newer names, still look into the topics with the older ones.
        pub read_retry_topic_v1: bool = "retrieveMessageFromPopRetryTopicV1", true, Live;
        /// Hand messages of retry topics out as such, not under their original topic.
        pub pop_answers_retry_topic: bool = "popResponseReturnActualRetryTopic", false, Live;
        /// Percentage of pops that look at the retry topics before the topic itself.
        pub pop_retry_percent: u32 as Between<0, 100> = "popFromRetryProbability", 20, Live;
        /// The same for topics with priorities.
        pub pop_retry_percent_of_priority: u32 as Between<0, 100> = "popFromRetryProbabilityForPriority", 0, Live;
        /// Of messages with priorities, those with larger numbers are popped first.
        pub priority_ascending: bool = "priorityOrderAsc", true, Live;
        /// A group that is new and wants to pop from the end on begins at the first message after all, where that is
        /// young enough to be in memory.
        pub pop_init_by_memory: bool = "initPopOffsetByCheckMsgInMem", true, Live;
        /// Pops that may wait for one queue of a topic, or for all of it, in one group.
        pub polling_of_queue_max: u32 as Between<1, 1000000> = "popPollingSize", 1024, Live;
        /// Pops that may wait at all.
        pub polling_max: u32 as Between<1, 10000000> = "maxPopPollingSize", 100_000, Live;
        /// How groups get their messages whose clients leave that to the broker, unless something else was set for a
        /// group.
        pub default_request_mode: RequestMode = "defaultMessageRequestMode", RequestMode::Pull, Live;
        /// How many other clients then share the queues of one that pops; all, if not positive.
        pub default_share_queues: i32 = "defaultPopShareQueueNum", -1, Live;
        /// Share queues out among such clients. Otherwise each is told of all queues.
        pub server_load_balancer: bool = "serverLoadBalancerEnable", true, Live;
        /// Whether a pull may wait for messages.
        pub long_polling: bool = "longPollingEnable", true, Live;
        /// Most messages of an answer to a pull, whatever the client asks for.
        pub pull_messages_max: i32 as Between<1, 10000> = "maxTransferCountOnMessageInMemory", 32, Live;
        /// Resets of offsets take effect at the broker. Otherwise clients that are online are told to move.
        pub server_side_reset: bool = "useServerSideResetOffset", true, Live;
        /// Time between two registrations with the name servers.
        pub register_period: Duration as Millis<10000, 60000> = "registerNameServerPeriod", Duration::from_secs(30), Restart;
        /// Silence after which a client is forgotten.
        pub channel_expired: Duration as Millis<1000> = "channelExpiredTimeout", Duration::from_secs(120), Live;

        /// Directory of everything that is stored; `--data` overrides it, and without either it is `rocketmq` in the
        /// user's data directory.
        pub store_dir: PathBuf = "storePathRootDir", PathBuf::new(), Restart;
        /// Directory of the commit log. Only `commitlog` below `storePathRootDir`, where it lies by default, is supported.
        pub log_dir: Option<PathBuf> = "storePathCommitLog", None, Restart;
        /// When a message counts as stored. RocketMQ's default is the weaker ASYNC_FLUSH.
        pub flush_disk_type: FlushDiskType = "flushDiskType", FlushDiskType::Sync, Restart;
        /// Longest time between two flushes with ASYNC_FLUSH.
        pub flush_interval: Duration as Millis<1, 60000> = "flushIntervalCommitLog", Duration::from_millis(500), Restart;
        /// Longest wait for a flush before a producer is told that it took too long.
        pub sync_flush_timeout: Duration as Millis<1, 600000> = "syncFlushTimeout", Duration::from_secs(5), Live;
        /// Size of a file of the commit log.
        pub segment_bytes: u64 as Bytes<65536, 4294967296> = "mappedFileSizeCommitLog", 1 << 30, Restart;
        /// Age from which messages are deleted.
        pub retention: Duration as Hours<1> = "fileReservedTime", Duration::from_secs(72 * 3600), Restart;
        /// Bytes of commit log beyond which the oldest messages are deleted; none by default. Our own key.
        pub retention_bytes: Option<u64> = "commitLogBytesMax", None, Restart;
        /// Hour of the day, local time, at which old messages are deleted; of several, separated by semicolons, the
        /// first counts.
        pub delete_when: DeleteWhen = "deleteWhen", DeleteWhen("04".into()), Restart;
        /// Percentage of the disk in use above which expired messages are deleted at any hour.
        pub disk_max_used: u8 as Between<10, 95> = "diskMaxUsedSpaceRatio", 75, Restart;
        /// Percentage above which the oldest messages are deleted although they have not expired.
        pub disk_clean_forcibly: u8 as Between<30, 95> = "diskSpaceCleanForciblyRatio", 85, Restart;
        /// Percentage above which no message is accepted.
        pub disk_warning: u8 as Between<35, 99> = "diskSpaceWarningLevelRatio", 90, Restart;
    }
}

/// Delays of the levels, the first level being 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayLevels(pub Vec<Duration>);

impl Default for DelayLevels {
    fn default() -> Self {
        DelayLevels(store::Options::default().delay_levels)
    }
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl settings::Setting for DelayLevels {
    fn parse(text: &str) -> Result<Self, String> {
        let level = |word: &str| {
            let (_, seconds) = UNITS.iter().find(|(unit, _)| word.ends_with(*unit))?;
            let number: u64 = word[..word.len() - 1].parse().ok()?;
            Some(Duration::from_secs(number.checked_mul(*seconds)?))
        };
        let levels: Option<Vec<_>> = text.split_whitespace().map(level).collect();
        match levels {
            Some(levels) if !levels.is_empty() => Ok(DelayLevels(levels)),
            _ => Err("it must be delays such as 1s 5m 2h, separated by spaces".into()),
        }
    }

    fn show(&self) -> String {
        let word = |delay: &Duration| {
            let seconds = delay.as_secs();
            let (unit, size) = UNITS.iter().find(|(_, size)| seconds.is_multiple_of(*size)).unwrap_or(&('s', 1));
            format!("{}{unit}", seconds / size)
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Hours of the day as the operator wrote them: tools show the text back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteWhen(String);

impl DeleteWhen {
    fn hour(&self) -> Option<u8> {
        self.0.split(';').next()?.trim().parse().ok()
    }
}

impl settings::Setting for DeleteWhen {
    fn parse(text: &str) -> Result<Self, String> {
        let is_hour = |hour: &str| hour.trim().parse::<u8>().is_ok_and(|hour| hour < 24);
        if text.split(';').all(is_hour) {
            Ok(DeleteWhen(text.to_owned()))
        } else {
            Err("it must be hours from 00 to 23, separated by semicolons".into())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Settings {
    /// Port of the VIP channel.
    pub(crate) fn fast_port(&self) -> u16 {
        self.fast_listen_port.unwrap_or(self.listen_port.saturating_sub(2))
    }

    pub(crate) fn broker_config(&self) -> Config {
        Config {
            broker_name: self.broker_name.clone(),
            cluster_name: self.cluster_name.clone(),
            region: self.region.clone(),
            trace_on: self.trace_on,
            permission: self.broker_permission,
            auto_create_topic: self.auto_create_topic,
            auto_create_group: self.auto_create_group,
            default_topic_queues: self.default_topic_queues,
            message_bytes_max: self.message_bytes_max,
            delay_levels: self.delay_levels.0.clone(),
            sql_filter: self.sql_filter,
            store_replies: self.store_replies,
            trace_topic: self.trace_topic,
            timer_enabled: self.timer_enabled,
            timer_delay_max: self.timer_delay_max,
            recall_enabled: self.recall_enabled,
            reject_transactions: self.reject_transactions,
            transaction_timeout: self.transaction_timeout,
            transaction_check_interval: self.transaction_check_interval,
            transaction_checks_max: self.transaction_checks_max,
            pop: PopConfig {
                retry_topic_v2: self.retry_topic_v2,
                read_retry_topic_v1: self.read_retry_topic_v1,
                answer_retry_topic: self.pop_answers_retry_topic,
                retry_percent: self.pop_retry_percent,
                retry_percent_of_priority: self.pop_retry_percent_of_priority,
                priority_ascending: self.priority_ascending,
                init_by_memory: self.pop_init_by_memory,
                polling_of_queue_max: self.polling_of_queue_max as usize,
                polling_max: self.polling_max as usize,
                default_request_mode: match self.default_request_mode {
                    RequestMode::Pull => MessageRequestMode::Pull,
                    RequestMode::Pop => MessageRequestMode::Pop,
                },
                default_share_queues: self.default_share_queues,
                server_load_balancer: self.server_load_balancer,
            },
            long_polling: self.long_polling,
            pull_messages_max: self.pull_messages_max,
            flush_timeout: self.sync_flush_timeout,
            server_side_reset: self.server_side_reset,
            session_timeout: self.channel_expired,
            ..Config::new(self.store_dir.join("config"))
        }
    }

    pub(crate) fn store_options(&self) -> store::Options {
        let mut options = store::Options::new(&self.store_dir);
        options.segment_bytes = self.segment_bytes;
        options.flush = match self.flush_disk_type {
            FlushDiskType::Sync => store::Flush::Sync,
            FlushDiskType::Async => store::Flush::Async { interval: self.flush_interval },
        };
        // `maxMessageSize` may be raised while running, so the store is open to all that fits a frame.
        options.record_bytes_max = protocol::limits::FRAME_BYTES_MAX as u32;
        options.delay_levels.clone_from(&self.delay_levels.0);
        options.retention.max_age = self.retention;
        options.retention.max_bytes = self.retention_bytes;
        options.retention.delete_hour = self.delete_when.hour().map(utc_hour);
        options.retention.clean_ratio = f64::from(self.disk_max_used) / 100.0;
        options.retention.force_ratio = f64::from(self.disk_clean_forcibly) / 100.0;
        options.retention.refuse_ratio = f64::from(self.disk_warning) / 100.0;
        options
    }
}

/// The store counts hours in UTC, operators in their own time.
fn utc_hour(local: u8) -> u8 {
    let offset_hours = jiff::Zoned::now().offset().seconds() / 3600;
    (i32::from(local) - offset_hours).rem_euclid(24) as u8
}
