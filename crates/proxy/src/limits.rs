//! Bounds of what one client, and all together, may take.

use std::time::Duration;

/// Largest request. It must hold the largest message that can be configured, 15 MiB, so that a body that is merely too
/// large for the settings gets the status that says so.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 << 20;

/// HTTP/2 window of a stream: what a client may send ahead of our reading, and so the bound of its speed over a long
/// line. 4 MiB in a round trip of 40 ms are 100 MB/s; the default of 64 KiB would be 1.6 MB/s.
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;

/// The same for all streams of a connection together.
pub(crate) const CONNECTION_WINDOW: u32 = 16 << 20;

/// Calls under way on one connection. A push consumer has one for each topic, a busy producer one for each message.
pub(crate) const STREAMS_OF_A_CONNECTION: u32 = 4096;

/// Bytes of answers that one connection keeps for a client that does not read.
pub(crate) const SEND_BUFFER: usize = 1 << 20;

/// Bytes of the headers of a call; ours take some hundred.
pub(crate) const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// Time that a connection has to say which protocol it speaks, TLS handshake included.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which a connection is asked whether anybody is there, and the time it has to answer.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(60);
/// See [`PING_AFTER`].
pub(crate) const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long calls under way may take at the end.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// Telemetry streams, one for each client.
pub(crate) const TELEMETRY_STREAMS_MAX: usize = 10_000;

/// Clients that are remembered; one without a stream is forgotten when it is silent for a while.
pub(crate) const CLIENTS_MAX: usize = 2 * TELEMETRY_STREAMS_MAX;

/// Commands that wait for one client. It gets few of them, mostly questions about transactions, which are repeated.
pub(crate) const COMMANDS_MAX: usize = 64;

/// Questions of admin tools that one client has not answered yet.
pub(crate) const QUESTIONS_MAX: usize = 16;

/// How long a client may take for such a question. Source: `grpcProxyRelayRequestTimeoutInSeconds`.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Topics that a producer may name, and subscriptions that a consumer may have: each costs a check and some memory.
pub(crate) const TOPICS_OF_A_CLIENT: usize = 4096;

/// Bytes of messages on their way to one client, beyond which it gets no more: it does not read.
pub(crate) const UNREAD_OF_A_CLIENT: usize = 128 << 20;

/// The same for all clients.
pub(crate) const UNREAD_MAX: usize = 512 << 20;

/// Messages that are renewed for push consumers. Each takes about 400 bytes; one more is not renewed, which means that
/// it is delivered again if its consumer takes longer than a minute for it.
pub(crate) const RENEWED_MAX: usize = 1_000_000;

/// Renewals under way at a time, where each is a call to a broker elsewhere.
pub(crate) const RENEWING_MAX: usize = 64;

/// Topics, and groups, of a cluster that a proxy remembers. Source: `topicRouteServiceCacheMaxNum` and its like.
pub(crate) const REMEMBERED_MAX: usize = 20_000;

/// Groups of one heartbeat. Source: `transactionHeartbeatBatchNum`.
pub(crate) const HEARTBEAT_GROUPS: usize = 100;

/// Body that a compressed one may become.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Messages of one send.
pub(crate) const SEND_MESSAGES_MAX: usize = 1024;

/// Entries of one ack.
pub(crate) const ACK_ENTRIES_MAX: usize = 1024;

/// Messages of one receive; more are cut to this. Source: `ProxyUtils.MAX_MSG_NUMS_FOR_POP_REQUEST`.
pub(crate) const RECEIVE_MESSAGES_MAX: i32 = 32;

/// Characters of a message id.
pub(crate) const MESSAGE_ID_CHARS_MAX: usize = 255;

const _: () = assert!(UNREAD_OF_A_CLIENT < UNREAD_MAX && CLIENTS_MAX >= TELEMETRY_STREAMS_MAX);
