//! One message as it lies in the commit log, in pull and query bodies, and in the bodies of codes 39 and 309.
//!
//! All integers are big endian. Offsets are those of a record whose two hosts are IPv4; each IPv6 host adds 12.
//!
//! | offset | width | field |
//! |---|---|---|
//! | 0 | 4 | total size, this field included |
//! | 4 | 4 | magic: [`MAGIC_V1`] or [`MAGIC_V2`] |
//! | 8 | 4 | CRC-32 of the body as stored, without its top bit |
//! | 12 | 4 | queue id |
//! | 16 | 4 | flag of the user |
//! | 20 | 8 | queue offset; 0 for prepared and rolled-back transaction records |
//! | 28 | 8 | log offset of this record |
//! | 36 | 4 | system flag |
//! | 40 | 8 | born timestamp, ms |
//! | 48 | 8 or 20 | born host: address, then the port in four bytes |
//! | 56 | 8 | store timestamp, ms |
//! | 64 | 8 or 20 | store host |
//! | 72 | 4 | reconsume times |
//! | 76 | 8 | prepared transaction offset |
//! | 84 | 4 + n | body length, body |
//! | | 1 or 2, + n | topic length (one byte in v1, two in v2), topic |
//! | | 2 + n | properties length, properties |
//!
//! A *blank* fills the end of a log file: its size and [`MAGIC_BLANK`], nothing else.
//!
//! Source: RocketMQ 5.3.4, `MessageExtEncoder`, `MessageDecoder`, `CommitLog`.

mod new;
mod view;

use crate::sysflag::{BORN_HOST_V6, TRANSACTION_COMMIT, TRANSACTION_MASK};

pub use new::{LimitError, Measured, NewRecord, Stamp};
pub use view::{Invalid, RecordView, Records, records, validate};

/// Magic of a record whose topic length takes one byte.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record whose topic length takes two bytes.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the filler at the end of a log file.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;
/// Bytes every log file keeps free at its end, so that a blank always fits.
pub const BLANK_BYTES: u32 = 8;

/// Where the store timestamp lies when the born host is IPv4.
const STORE_TIMESTAMP_AT: usize = 56;
const IPV6_EXTRA: usize = 12;
/// Size of a v1 record with IPv4 hosts before body, topic and properties.
const FIXED_BYTES: usize = 91;

/// Bytes of a record's beginning that [`store_timestamp`] may look at.
pub const HEAD_BYTES: usize = STORE_TIMESTAMP_AT + IPV6_EXTRA + 8;

/// Whether a record with this system flag becomes an entry of its queue: plain and committed ones do, prepared and
/// rolled-back ones do not.
pub fn enters_queue(sys_flag: i32) -> bool {
    matches!(sys_flag & TRANSACTION_MASK, 0 | TRANSACTION_COMMIT)
}

/// Writes the blank that fills the last `left` bytes of a log file; the rest of the file stays zero.
pub fn put_blank(left: u32, out: &mut impl bytes::BufMut) {
    out.put_u32(left);
    out.put_u32(MAGIC_BLANK);
}

/// The store timestamp, read from the first [`HEAD_BYTES`] of a record (or fewer, if the born host is IPv4).
pub fn store_timestamp(head: &[u8]) -> Option<i64> {
    let sys_flag = i32::from_be_bytes(head.get(36..40)?.try_into().ok()?);
    let at = STORE_TIMESTAMP_AT + if sys_flag & BORN_HOST_V6 != 0 { IPV6_EXTRA } else { 0 };
    Some(i64::from_be_bytes(head.get(at..at + 8)?.try_into().ok()?))
}
