//! The sizes beyond which a peer is refused.

/// Largest frame in bytes, its length field included. Source: `NettyDecoder`, `FRAME_MAX_LENGTH`.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest header in bytes. Java has no bound of its own; the largest honest header carries 32,767 bytes of
/// properties, at most six times that once escaped as JSON, so this leaves room and still bounds what a header costs.
pub const HEADER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of objects and arrays in JSON from a peer.
pub const JSON_DEPTH_MAX: usize = 64;

/// Largest properties text of a record in bytes: its length is a signed 16-bit number.
pub const PROPERTIES_BYTES_MAX: usize = i16::MAX as usize;

/// Queues of a topic at one broker: ours allow no more, and no more are believed of what a route claims. A typing mistake
/// must not make a million rows.
pub const QUEUES_MAX: i32 = 65_536;

const _: () = assert!(HEADER_BYTES_MAX > 6 * PROPERTIES_BYTES_MAX && HEADER_BYTES_MAX < FRAME_BYTES_MAX);
