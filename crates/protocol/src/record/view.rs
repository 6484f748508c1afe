//! Reading a record in place.

use super::{BLANK_BYTES, FIXED_BYTES, MAGIC_BLANK, MAGIC_V1, MAGIC_V2, STORE_TIMESTAMP_AT};
use crate::properties;
use crate::sysflag::{BORN_HOST_V6, STORE_HOST_V6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// More bytes may make it one: `need` in all.
    #[error("the record needs {need} bytes, there are {have}")]
    Incomplete {
        /// Bytes of the record, as far as that is known.
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// The log goes on in the next file, this many bytes further.
    #[error("a blank of {0} bytes")]
    Blank(u32),
    /// Zeros: nothing was written here.
    #[error("nothing was written here")]
    Zero,
    /// Neither a record nor a blank.
    #[error("unknown magic {0:#010x}")]
    Magic(u32),
    /// The lengths inside contradict the total size.
    #[error("the lengths contradict the size of {0} bytes")]
    Length(u32),
    /// The body is not what was stored.
    #[error("the body does not match its checksum")]
    Crc,
}

/// A well-formed record, borrowed. Its accessors cannot fail.
#[derive(Debug, Clone)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    sys_flag: i32,
    /// What an IPv6 born host moves the fields after it by.
    born_extra: usize,
    body: Range<usize>,
    topic: Range<usize>,
    properties: Range<usize>,
}

/// Parses the record at the start of `bytes`, and compares its body with its CRC if asked to.
pub fn validate(bytes: &[u8], check_crc: bool) -> Result<RecordView<'_>, Invalid> {
    let view = RecordView::parse(bytes)?;
    if check_crc && crc32fast::hash(view.body()) & 0x7FFF_FFFF != view.body_crc() {
        return Err(Invalid::Crc);
    }
    Ok(view)
}

/// The records of a pull or query body, which are simply concatenated. Ends after the first error.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes }
}

/// See [`records`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let view = RecordView::parse(self.rest);
        self.rest = match &view {
            Ok(view) => &self.rest[view.len()..],
            Err(_) => &[],
        };
        Some(view)
    }
}

impl<'a> RecordView<'a> {
    /// Parses the record at the start of `bytes`; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Invalid> {
        let have = bytes.len();
        let (Some(size), Some(magic)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else {
            return Err(Invalid::Incomplete { need: BLANK_BYTES as usize, have });
        };
        match magic {
            MAGIC_V1 | MAGIC_V2 => {}
            MAGIC_BLANK if size >= BLANK_BYTES => return Err(Invalid::Blank(size)),
            0 if size == 0 => return Err(Invalid::Zero),
            other => return Err(Invalid::Magic(other)),
        }
        if (size as usize) < FIXED_BYTES || size > i32::MAX as u32 {
            return Err(Invalid::Length(size));
        }
        let Some(bytes) = bytes.get(..size as usize) else {
            return Err(Invalid::Incomplete { need: size as usize, have });
        };
        Self::parse_exact(bytes, magic == MAGIC_V2).ok_or(Invalid::Length(size))
    }

    /// `bytes` is as long as its total size says; `None` if the lengths inside do not add up to that.
    fn parse_exact(bytes: &'a [u8], v2: bool) -> Option<Self> {
        let sys_flag = u32_at(bytes, 36)?.cast_signed();
        let born_extra = if sys_flag & BORN_HOST_V6 != 0 { 12 } else { 0 };
        let store_extra = if sys_flag & STORE_HOST_V6 != 0 { 12 } else { 0 };

        let body_at = 84 + born_extra + store_extra;
        let body = range(body_at + 4, u32_at(bytes, body_at)? as usize, bytes)?;
        let (width, topic_len) = match v2 {
            true => (2, usize::from(u16_at(bytes, body.end)?)),
            false => (1, usize::from(*bytes.get(body.end)?)),
        };
        let topic = range(body.end + width, topic_len, bytes)?;
        let properties = range(topic.end + 2, usize::from(u16_at(bytes, topic.end)?), bytes)?;
        (properties.end == bytes.len()).then_some(Self { bytes, sys_flag, born_extra, body, topic, properties })
    }

    /// The record itself.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the record; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// CRC-32 of the body without its top bit, as stored.
    pub fn body_crc(&self) -> u32 {
        self.u32(8)
    }

    /// Queue of the topic.
    pub fn queue_id(&self) -> u32 {
        self.u32(12)
    }

    /// Flag of the user.
    pub fn flag(&self) -> i32 {
        self.u32(16).cast_signed()
    }

    /// Entry of the queue.
    pub fn queue_offset(&self) -> u64 {
        self.u64(20)
    }

    /// Where the record lies in the log.
    pub fn log_offset(&self) -> u64 {
        self.u64(28)
    }

    /// System flag, host bits included.
    pub fn sys_flag(&self) -> i32 {
        self.sys_flag
    }

    /// When the producer made the message, ms.
    pub fn born_timestamp(&self) -> i64 {
        self.u64(40).cast_signed()
    }

    /// Address of the producer.
    pub fn born_host(&self) -> SocketAddr {
        self.host(48, self.born_extra != 0)
    }

    /// When the broker stored it, ms.
    pub fn store_timestamp(&self) -> i64 {
        self.u64(STORE_TIMESTAMP_AT + self.born_extra).cast_signed()
    }

    /// Address of the broker.
    pub fn store_host(&self) -> SocketAddr {
        self.host(64 + self.born_extra, self.sys_flag & STORE_HOST_V6 != 0)
    }

    /// How often it was consumed in vain.
    pub fn reconsume_times(&self) -> i32 {
        self.u32(self.body.start - 16).cast_signed()
    }

    /// Of a commit or rollback record: where its half message is.
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.u64(self.body.start - 12).cast_signed()
    }

    /// Body as stored.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.body.clone()]
    }

    /// Topic; empty if it is not UTF-8, which no RocketMQ allows.
    pub fn topic(&self) -> &'a str {
        str::from_utf8(&self.bytes[self.topic.clone()]).unwrap_or("")
    }

    /// Properties area; empty if it is not UTF-8.
    pub fn properties(&self) -> &'a str {
        str::from_utf8(&self.bytes[self.properties.clone()]).unwrap_or("")
    }

    /// Whether topic and properties, which no checksum covers, look like a write of which only a part arrived: see
    /// [`super::LimitError::ZeroByte`].
    pub fn looks_torn(&self) -> bool {
        self.bytes[self.topic.clone()].contains(&0) || self.bytes[self.properties.clone()].contains(&0)
    }

    /// One property.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::get(self.properties(), name)
    }

    fn u32(&self, at: usize) -> u32 {
        u32_at(self.bytes, at).expect("the length was checked by parse")
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) << 32 | u64::from(self.u32(at + 4))
    }

    fn host(&self, at: usize, v6: bool) -> SocketAddr {
        if v6 {
            let ip = Ipv6Addr::from_bits(u128::from(self.u64(at)) << 64 | u128::from(self.u64(at + 8)));
            SocketAddr::new(IpAddr::V6(ip), self.u32(at + 16) as u16)
        } else {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(self.u32(at))), self.u32(at + 4) as u16)
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn range(at: usize, len: usize, bytes: &[u8]) -> Option<Range<usize>> {
    let end = at.checked_add(len)?;
    (end <= bytes.len()).then_some(at..end)
}
