//! Bounds of a name server.

use std::time::Duration;

/// Topics in all. Each costs some 200 bytes, so this is about 800 MB, four times what we build for.
pub(crate) const TOPICS_MAX: usize = 4_000_000;

/// Longest topic name in bytes: twice what a broker allows for retry topics.
pub(crate) const TOPIC_BYTES_MAX: usize = 512;

/// Registered broker addresses. Every change of one copies the table of brokers, which stays cheap up to here.
pub(crate) const BROKERS_MAX: usize = 16 * 1024;

/// Longest broker name, cluster name, zone or address in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// Largest registration once inflated; a frame holds 16 MiB and topic lists shrink to a tenth.
pub(crate) const INFLATED_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// Changes that wait for the writer. Source: `unRegisterBrokerQueueCapacity`.
pub(crate) const JOBS_MAX: usize = 3000;

/// Bytes of the bodies of those changes: room for some full frames at a restart of the whole cluster.
pub(crate) const JOB_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Lists of topics made at the same time; others wait their turn.
pub(crate) const LISTS_MAX: usize = 4;

/// Bytes of all key-values together, as the file holds them.
pub(crate) const KV_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest body of an answer; what is left of a frame is for its header.
pub(crate) const ANSWER_BYTES_MAX: usize = protocol::limits::FRAME_BYTES_MAX - protocol::limits::HEADER_BYTES_MAX;

/// Silence after which a broker is forgotten that named no time of its own.
/// Source: `RouteInfoManager.DEFAULT_BROKER_CHANNEL_EXPIRED_TIME`.
pub(crate) const EXPIRY: Duration = Duration::from_secs(120);

const _: () = assert!(JOB_BYTES_MAX >= protocol::limits::FRAME_BYTES_MAX && JOB_BYTES_MAX <= u32::MAX as usize);
