//! Every byte RocketMQ puts on a wire or in a record, and its meaning.
//!
//! Nothing here performs I/O, reads a clock or is asynchronous, and decoding untrusted bytes neither panics nor
//! allocates what a length field merely claims.

pub mod record;
