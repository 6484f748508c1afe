//! Bits of a message's system flag and of a pull's. Source: `MessageSysFlag`, `PullSysFlag`, `TopicSysFlag`.

/// The body is compressed.
pub const COMPRESSED: i32 = 0x1;
/// The topic's filter type is MULTI_TAG.
pub const MULTI_TAGS: i32 = 0x2;
/// Mask of the transaction type.
pub const TRANSACTION_MASK: i32 = 0xc;
/// A half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// A committed message.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// A rolled back message.
pub const TRANSACTION_ROLLBACK: i32 = 0xc;
/// The born host is an IPv6 address.
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host is an IPv6 address.
pub const STORE_HOST_V6: i32 = 0x20;
/// Mask of the compression algorithm.
pub const COMPRESSION_MASK: i32 = 0x700;
/// LZ4, frame format.
pub const COMPRESSION_LZ4: i32 = 0x100;
/// Zstandard.
pub const COMPRESSION_ZSTD: i32 = 0x200;
/// zlib (RFC 1950); 0 with [`COMPRESSED`] means this too.
pub const COMPRESSION_ZLIB: i32 = 0x300;

/// A pull carries a commit offset that counts.
pub const PULL_COMMIT_OFFSET: i32 = 0x1;
/// A pull may wait for messages.
pub const PULL_SUSPEND: i32 = 0x2;
/// A pull carries its own subscription.
pub const PULL_SUBSCRIPTION: i32 = 0x4;
/// A pull names a filter class.
pub const PULL_CLASS_FILTER: i32 = 0x8;

/// A topic of a unit.
pub const TOPIC_UNIT: i32 = 0x1;
/// A retry topic whose group subscribes to a unit.
pub const TOPIC_UNIT_SUB: i32 = 0x2;
