//! Encoding a record.

use super::{FIXED_BYTES, IPV6_EXTRA, MAGIC_V1, MAGIC_V2, enters_queue};
use crate::limits::PROPERTIES_BYTES_MAX;
use crate::sysflag::{BORN_HOST_V6, STORE_HOST_V6};
use bytes::BufMut;
use std::net::SocketAddr;

/// A message that is not in the log yet; all fields but the three of a [`Stamp`].
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Topic the record is stored under.
    pub topic: &'a str,
    /// Queue of that topic.
    pub queue_id: u32,
    /// Flag of the user, kept as it is.
    pub flag: i32,
    /// System flag; its two host bits are ignored and set from the addresses.
    pub sys_flag: i32,
    /// When the producer made the message, ms.
    pub born_timestamp: i64,
    /// Peer address of the producer.
    pub born_host: SocketAddr,
    /// Address of this broker.
    pub store_host: SocketAddr,
    /// How often it was consumed in vain.
    pub reconsume_times: i32,
    /// Of a commit or rollback record: where its half message is.
    pub prepared_transaction_offset: i64,
    /// Body as stored.
    pub body: &'a [u8],
    /// `name \x01 value \x02` repeated.
    pub properties: &'a str,
    /// More of them, which come behind. There is no tag and no key among these: nothing looks them through.
    pub more_properties: &'a str,
}

/// What the log adds to a record when it takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Entry of the queue; written as 0 where the record enters none.
    pub queue_offset: u64,
    /// Offset of the record's first byte in the log.
    pub log_offset: u64,
    /// Time of storing, ms.
    pub store_timestamp: i64,
}

/// Refused before encoding: the layout has no room for it, or recovery could not tell it from a torn write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// In bytes.
    #[error("a topic of {0} bytes is longer than a record can hold")]
    Topic(usize),
    /// In bytes.
    #[error("properties of {0} bytes are longer than {PROPERTIES_BYTES_MAX}")]
    Properties(usize),
    /// In bytes, of the whole record.
    #[error("a record of {0} bytes is too large")]
    Record(usize),
    /// The checksum covers the body only, and what a crash leaves unwritten is zero: a zero byte in the topic or the
    /// properties is how a torn record is recognised, so a whole one must not have any.
    #[error("the topic or the properties contain a zero byte")]
    ZeroByte,
}

impl NewRecord<'_> {
    /// Checks the limits, sizes the record and computes the CRC of its body: all that can be done before its place
    /// in the log is known.
    pub fn measure(&self) -> Result<Measured<'_>, LimitError> {
        let len = self.encoded_len()?;
        if has_zero(self.topic) || has_zero(self.properties) || has_zero(self.more_properties) {
            return Err(LimitError::ZeroByte);
        }
        Ok(Measured { record: self, len, body_crc: crc32fast::hash(self.body) & 0x7FFF_FFFF })
    }

    /// Bytes of the whole record.
    pub fn encoded_len(&self) -> Result<u32, LimitError> {
        if self.topic.len() > i16::MAX as usize {
            return Err(LimitError::Topic(self.topic.len()));
        }
        if self.properties_len() > PROPERTIES_BYTES_MAX {
            return Err(LimitError::Properties(self.properties_len()));
        }
        let hosts = usize::from(self.born_host.is_ipv6()) + usize::from(self.store_host.is_ipv6());
        let len = FIXED_BYTES
            + IPV6_EXTRA * hosts
            + usize::from(self.is_v2())
            + self.body.len()
            + self.topic.len()
            + self.properties_len();
        i32::try_from(len).map(|len| len.cast_unsigned()).map_err(|_| LimitError::Record(len))
    }

    fn properties_len(&self) -> usize {
        self.properties.len() + self.more_properties.len()
    }

    /// Version 2 is for topics of more than 127 characters, as the Java broker decides it; also for those of fewer
    /// characters whose bytes would not fit the signed length byte of version 1.
    fn is_v2(&self) -> bool {
        self.topic.len() > 127
    }
}

/// A record that fits the layout, with everything computed that needs no place.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    record: &'a NewRecord<'a>,
    len: u32,
    body_crc: u32,
}

impl<'a> Measured<'a> {
    /// What was measured.
    pub fn record(&self) -> &'a NewRecord<'a> {
        self.record
    }

    /// Bytes of the whole record.
    pub fn encoded_len(&self) -> u32 {
        self.len
    }

    /// Appends the record, [`Measured::encoded_len`] bytes.
    pub fn encode(&self, stamp: &Stamp, out: &mut impl BufMut) {
        let record = self.record;
        let mut sys_flag = record.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6);
        if record.born_host.is_ipv6() {
            sys_flag |= BORN_HOST_V6;
        }
        if record.store_host.is_ipv6() {
            sys_flag |= STORE_HOST_V6;
        }
        let queue_offset = if enters_queue(sys_flag) { stamp.queue_offset } else { 0 };

        // The fixed part is put together on the stack: one bounds check of `out` instead of sixteen.
        let mut head = Head { bytes: [0; 112], len: 0 };
        head.put(self.len.to_be_bytes());
        head.put(if record.is_v2() { MAGIC_V2 } else { MAGIC_V1 }.to_be_bytes());
        head.put(self.body_crc.to_be_bytes());
        head.put(record.queue_id.to_be_bytes());
        head.put(record.flag.to_be_bytes());
        head.put(queue_offset.to_be_bytes());
        head.put(stamp.log_offset.to_be_bytes());
        head.put(sys_flag.to_be_bytes());
        head.put(record.born_timestamp.to_be_bytes());
        head.put_host(record.born_host);
        head.put(stamp.store_timestamp.to_be_bytes());
        head.put_host(record.store_host);
        head.put(record.reconsume_times.to_be_bytes());
        head.put(record.prepared_transaction_offset.to_be_bytes());
        head.put((record.body.len() as u32).to_be_bytes());
        out.put_slice(&head.bytes[..head.len]);

        out.put_slice(record.body);
        if record.is_v2() {
            out.put_u16(record.topic.len() as u16);
        } else {
            out.put_u8(record.topic.len() as u8);
        }
        out.put_slice(record.topic.as_bytes());
        out.put_u16(record.properties_len() as u16);
        out.put_slice(record.properties.as_bytes());
        out.put_slice(record.more_properties.as_bytes());
    }
}

/// Looks at all of it: without an early end the compiler compares many bytes at a time.
fn has_zero(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | (byte == 0))
}

struct Head {
    bytes: [u8; 112],
    len: usize,
}

impl Head {
    #[inline]
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&field);
        self.len += N;
    }

    fn put_host(&mut self, host: SocketAddr) {
        match host {
            SocketAddr::V4(host) => self.put(host.ip().octets()),
            SocketAddr::V6(host) => self.put(host.ip().octets()),
        }
        self.put(u32::from(host.port()).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RecordView, put_blank, validate};
    use super::*;
    use proptest::prelude::*;

    fn sample<'a>() -> NewRecord<'a> {
        NewRecord {
            topic: "T",
            queue_id: 3,
            flag: 7,
            sys_flag: 0x31,
            born_timestamp: 0x0102,
            born_host: "1.2.3.4:258".parse().unwrap(),
            store_host: "5.6.7.8:10911".parse().unwrap(),
            reconsume_times: 1,
            prepared_transaction_offset: 9,
            body: b"123456789",
            properties: "a\u{1}b",
            more_properties: "\u{2}",
        }
    }

    const STAMP: Stamp = Stamp { queue_offset: 5, log_offset: 0x1000, store_timestamp: 0x0304 };

    fn encode(record: &NewRecord<'_>) -> Vec<u8> {
        let measured = record.measure().unwrap();
        let mut out = Vec::new();
        measured.encode(&STAMP, &mut out);
        assert_eq!(out.len(), measured.encoded_len() as usize);
        out
    }

    /// Written by hand from the table in `record/mod.rs`; the CRC-32 of "123456789" is the check value 0xCBF43926.
    #[test]
    fn every_field_lies_where_the_table_says() {
        #[rustfmt::skip]
        let golden: Vec<u8> = [
            &[0, 0, 0, 105][..], &[0xDA, 0xA3, 0x20, 0xA7], &[0x4B, 0xF4, 0x39, 0x26], &[0, 0, 0, 3], &[0, 0, 0, 7],
            &[0, 0, 0, 0, 0, 0, 0, 5], &[0, 0, 0, 0, 0, 0, 0x10, 0], &[0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 1, 2], &[1, 2, 3, 4, 0, 0, 1, 2], &[0, 0, 0, 0, 0, 0, 3, 4],
            &[5, 6, 7, 8, 0, 0, 0x2A, 0x9F], &[0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 9],
            &[0, 0, 0, 9], b"123456789", &[1], b"T", &[0, 4], b"a\x01b\x02",
        ].concat();
        assert_eq!(encode(&sample()), golden);
    }

    #[test]
    fn ipv6_hosts_take_twelve_bytes_more_and_set_their_bit() {
        let mut record = sample();
        record.born_host = "[::1]:80".parse().unwrap();
        let bytes = encode(&record);
        assert_eq!(bytes.len(), 105 + 12);
        assert_eq!(bytes[36..40], [0, 0, 0, 0x11]);
        assert_eq!(bytes[48..68], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 80]);
        let view = RecordView::parse(&bytes).unwrap();
        assert_eq!((view.born_host(), view.store_host()), (record.born_host, record.store_host));
        assert_eq!(super::super::store_timestamp(&bytes), Some(0x0304));
    }

    #[test]
    fn long_topics_use_version_two() {
        let topic = "t".repeat(200);
        let bytes = encode(&NewRecord { topic: &topic, ..sample() });
        assert_eq!(bytes[4..8], MAGIC_V2.to_be_bytes());
        assert_eq!(RecordView::parse(&bytes).unwrap().topic(), topic);
    }

    #[test]
    fn prepared_records_carry_no_queue_offset() {
        let bytes = encode(&NewRecord { sys_flag: 0x4, ..sample() });
        assert_eq!(RecordView::parse(&bytes).unwrap().queue_offset(), 0);
    }

    #[test]
    fn limits_are_errors() {
        let long = "x".repeat(40_000);
        assert_eq!(NewRecord { properties: &long, ..sample() }.encoded_len(), Err(LimitError::Properties(40_001)));
        assert_eq!(NewRecord { topic: &long, ..sample() }.encoded_len(), Err(LimitError::Topic(40_000)));
        let zero = NewRecord { properties: "a\u{1}\0\u{2}", ..sample() };
        assert_eq!(zero.measure().map(|_| ()), Err(LimitError::ZeroByte));
    }

    #[test]
    fn a_blank_is_eight_bytes() {
        let mut out = Vec::new();
        put_blank(0x0102, &mut out);
        assert_eq!(out, [0, 0, 1, 2, 0xCB, 0xD4, 0x31, 0x94]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            topic in "[a-zA-Z%_-]{1,300}",
            properties in "[^\\x00]{0,200}",
            body in proptest::collection::vec(any::<u8>(), 0..2000),
            (queue_id, flag, times) in (any::<u32>(), any::<i32>(), any::<i32>()),
            (v6_born, v6_store) in (any::<bool>(), any::<bool>()),
            (born, prepared, port) in (any::<i64>(), any::<i64>(), any::<u16>()),
        ) {
            let half = (0..=properties.len() / 2).rev().find(|at| properties.is_char_boundary(*at)).unwrap_or(0);
            let host = |v6: bool| SocketAddr::new(if v6 { "fe80::7" } else { "10.0.0.1" }.parse().unwrap(), port);
            let record = NewRecord {
                topic: &topic, queue_id, flag, sys_flag: 0x8, born_timestamp: born, born_host: host(v6_born),
                store_host: host(v6_store), reconsume_times: times, prepared_transaction_offset: prepared,
                body: &body, properties: &properties[..half], more_properties: &properties[half..],
            };
            let bytes = encode(&record);
            let view = validate(&bytes, true).unwrap();
            prop_assert_eq!(view.len(), bytes.len());
            prop_assert_eq!(view.topic(), &topic);
            prop_assert_eq!(view.properties(), &properties);
            prop_assert_eq!(view.body(), &body[..]);
            prop_assert_eq!((view.queue_id(), view.flag(), view.reconsume_times()), (queue_id, flag, times));
            prop_assert_eq!((view.born_host(), view.store_host()), (record.born_host, record.store_host));
            prop_assert_eq!((view.born_timestamp(), view.prepared_transaction_offset()), (born, prepared));
            prop_assert_eq!((view.queue_offset(), view.log_offset(), view.store_timestamp()), (5, 0x1000, 0x0304));
        }

        #[test]
        fn damaged_records_never_panic(cut in 0usize..105, at in 0usize..105, with in any::<u8>()) {
            let mut bytes = encode(&sample());
            bytes[at] = with;
            let _ = validate(&bytes, true);
            bytes.truncate(cut);
            prop_assert!(validate(&bytes, true).is_err());
        }
    }
}
