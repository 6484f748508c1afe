//! Bounds and periods of a client. Where Java has a default, it is the same.

use std::time::Duration;

/// Longest wait for an ordinary answer. Source: `sendMsgTimeout`, `mqClientApiTimeout`.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two heartbeats, and between two looks at the routes. Source: `heartbeatBrokerInterval`,
/// `pollNameServerInterval`.
pub(crate) const HEARTBEAT_PERIOD: Duration = Duration::from_secs(30);

/// A route asked for again within this time is answered from the cache, so that a burst of failures costs one call.
pub(crate) const ROUTE_AGE_MIN: Duration = Duration::from_millis(500);

/// Largest body. Source: `maxMessageSize`.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest body after decompression: a frame of 16 MiB can claim to become far more.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Bodies from this size on are compressed. Source: `compressMsgBodyOverHowmuch`.
pub(crate) const COMPRESS_BYTES_MIN: usize = 4096;

/// zlib level. Source: `DefaultMQProducer`, `message.compressLevel`.
pub(crate) const COMPRESSION_LEVEL: u32 = 5;

/// Tries after the first one that failed. Source: `retryTimesWhenSendFailed`.
pub(crate) const SEND_RETRIES: usize = 2;

/// Queues that a topic made by its first message gets. Source: `defaultTopicQueueNums`.
pub(crate) const NEW_TOPIC_QUEUES: i32 = 4;

/// Messages of one pull. Source: `pullBatchSize`; brokers give at most this many from memory anyway.
pub(crate) const PULL_MESSAGES: i32 = 32;

/// How long a broker may hold a pull, and how long we wait for its answer.
/// Source: `brokerSuspendMaxTimeMillis`, `consumerTimeoutMillisWhenSuspend`.
pub(crate) const PULL_SUSPEND: Duration = Duration::from_secs(15);
pub(crate) const PULL_TIMEOUT: Duration = Duration::from_secs(30);
const _: () = assert!(PULL_SUSPEND.as_millis() < PULL_TIMEOUT.as_millis());

/// Pause after a pull that failed. Source: `pullTimeDelayMillsWhenException`.
pub(crate) const PULL_PAUSE: Duration = Duration::from_secs(3);

/// Messages of one queue that were delivered and not acknowledged. Source: `pullThresholdForQueue`.
pub(crate) const UNACKED_MAX: usize = 1000;

/// Batches that wait for the application, over all queues of a consumer: enough that queues never wait for each
/// other's round trip, few enough that memory stays within some hundred messages.
pub(crate) const BATCHES_MAX: usize = 16;

/// Between two looks at who else consumes. Source: `rebalanceService`, `waitInterval`.
pub(crate) const REBALANCE_PERIOD: Duration = Duration::from_secs(20);

/// Between two commits of offsets. Source: `persistConsumerOffsetInterval`.
pub(crate) const COMMIT_PERIOD: Duration = Duration::from_secs(5);

/// Pause after a pull that brought nothing.
pub(crate) const PULL_IDLE_PAUSE: Duration = Duration::from_millis(50);
