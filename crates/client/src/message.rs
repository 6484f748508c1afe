//! A message on its way in, and one that was read.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use protocol::limits::PROPERTIES_BYTES_MAX;
use protocol::{id, name, properties, sysflag};
use tracing::warn;

use crate::{Error, compression, limits};

/// A message to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What; at least one byte.
    pub body: Bytes,
    /// A number for the application's own use.
    pub flag: i32,
    /// Properties as they travel; see [`protocol::properties`].
    properties: String,
}

impl Message {
    /// A message without tag, keys and properties.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Message {
        Message { topic: topic.into(), body: body.into(), ..Message::default() }
    }

    /// The same with a tag, by which consumers may choose.
    #[must_use]
    pub fn tag(self, tag: &str) -> Message {
        self.property(properties::TAGS, tag)
    }

    /// The same with a key, by which it can be looked up. May be called several times.
    #[must_use]
    pub fn key(self, key: &str) -> Message {
        let keys = match properties::get(&self.properties, properties::KEYS) {
            Some(others) => format!("{others} {key}"),
            None => key.to_owned(),
        };
        self.property(properties::KEYS, &keys)
    }

    /// The same delivered later: level 1 is one second, 18 two hours.
    #[must_use]
    pub fn delay_level(self, level: u32) -> Message {
        self.property(properties::DELAY, &level.to_string())
    }

    /// The same delivered not before a time, in milliseconds since 1970.
    #[must_use]
    pub fn deliver_at_ms(self, deliver_at_ms: i64) -> Message {
        self.property(properties::TIMER_DELIVER_MS, &deliver_at_ms.to_string())
    }

    /// The same with a property, an older value of which is replaced.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Message {
        properties::set(&mut self.properties, name, Some(value));
        self
    }

    /// Names and values of the properties.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::iter(&self.properties)
    }

    /// The properties as they travel, with a unique key: the message's own or this one.
    pub(crate) fn wire_properties(&self, unique_key: impl FnOnce() -> String) -> (String, String) {
        let own = properties::get(&self.properties, properties::UNIQUE_KEY).map(str::to_owned);
        let mut text = self.properties.clone();
        let key = own.unwrap_or_else(|| {
            let key = unique_key();
            properties::push(&mut text, properties::UNIQUE_KEY, &key);
            key
        });
        (text, key)
    }

    /// Refuses what no broker takes.
    pub(crate) fn check(&self) -> Result<(), Error> {
        name::check_topic(&self.topic).map_err(|error| Error::Invalid(error.to_string()))?;
        let problem = if self.body.is_empty() {
            "the body is empty, and a broker cannot store that".into()
        } else if self.body.len() > limits::BODY_BYTES_MAX {
            format!("the body has {} bytes, at most {} are allowed", self.body.len(), limits::BODY_BYTES_MAX)
        } else if self.properties.len() > PROPERTIES_BYTES_MAX {
            format!("the properties have {} bytes, at most {PROPERTIES_BYTES_MAX} are allowed", self.properties.len())
        } else {
            return Ok(());
        };
        Err(Error::Invalid(problem))
    }
}

/// Appends one message of a batch body.
///
/// | width | field |
/// |---|---|
/// | 4 | total size |
/// | 4 + 4 | magic and CRC, not looked at |
/// | 4 | flag |
/// | 4 + n | body |
/// | 2 + n | properties |
///
/// Source: `MessageDecoder.encodeMessage`.
pub(crate) fn put_in_batch(out: &mut BytesMut, flag: i32, body: &[u8], properties: &str) {
    out.put_i32((22 + body.len() + properties.len()) as i32);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i32(flag);
    out.put_i32(body.len() as i32);
    out.put_slice(body);
    out.put_i16(properties.len() as i16);
    out.put_slice(properties.as_bytes());
}

/// A message as a broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Topic; of a retried message the one it was sent to.
    pub topic: String,
    /// Broker it was read from.
    pub broker_name: String,
    /// Queue it was read from.
    pub queue_id: i32,
    /// Its place in the queue.
    pub offset: i64,
    /// Its place in the broker's log.
    pub log_offset: i64,
    /// The application's number.
    pub flag: i32,
    /// See [`protocol::sysflag`].
    pub sys_flag: i32,
    /// When the producer made it, in milliseconds since 1970.
    pub born_ms: i64,
    /// Who made it.
    pub born_host: SocketAddr,
    /// When the broker stored it, in milliseconds since 1970.
    pub stored_ms: i64,
    /// Who stored it.
    pub store_host: SocketAddr,
    /// How often it was delivered in vain.
    pub reconsume_times: i32,
    /// Body, decompressed. One that cannot be decompressed stays as it is, and `sys_flag` says so.
    pub body: Bytes,
    properties: String,
}

impl Received {
    /// The unique id its producer gave it, or else the id of its place.
    pub fn id(&self) -> String {
        self.property(properties::UNIQUE_KEY).map_or_else(|| self.offset_id(), str::to_owned)
    }

    /// The id of its place: the broker's address and the log offset.
    pub fn offset_id(&self) -> String {
        id::offset_id(self.store_host, self.log_offset as u64)
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.property(properties::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.property(properties::KEYS).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// A property.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::get(&self.properties, name)
    }

    /// Names and values of all properties.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::iter(&self.properties)
    }

    /// Reads the records of a pull's or a query's body, which lie one behind the other.
    pub(crate) fn decode_all(broker_name: &str, mut body: Bytes) -> Result<Vec<Received>, String> {
        let mut all = Vec::new();
        while !body.is_empty() {
            let size = body.first_chunk::<4>().map_or(0, |size| u32::from_be_bytes(*size) as usize);
            if size < 8 || size > body.len() {
                return Err(format!("a record claims {size} of {} bytes", body.len()));
            }
            let record = body.split_to(size);
            all.push(Received::decode(broker_name, record).map_err(|error| format!("a record: {error}"))?);
        }
        Ok(all)
    }

    /// Reads one record. Source: `MessageDecoder.decode`; the layout is in the reference pages, section 4.1.
    fn decode(broker_name: &str, mut record: Bytes) -> Result<Received, RecordError> {
        const MAGIC_V1: u32 = 0xDAA3_20A7;
        const MAGIC_V2: u32 = 0xDAA3_20AB;
        let _size = record.try_get_i32()?;
        let magic = record.try_get_u32()?;
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::Magic(magic));
        }
        let _body_crc = record.try_get_u32()?;
        let queue_id = record.try_get_i32()?;
        let flag = record.try_get_i32()?;
        let offset = record.try_get_i64()?;
        let log_offset = record.try_get_i64()?;
        let mut sys_flag = record.try_get_i32()?;
        let born_ms = record.try_get_i64()?;
        let born_host = host(&mut record, sys_flag & sysflag::BORN_HOST_V6 != 0)?;
        let stored_ms = record.try_get_i64()?;
        let store_host = host(&mut record, sys_flag & sysflag::STORE_HOST_V6 != 0)?;
        let reconsume_times = record.try_get_i32()?;
        let _prepared_transaction_offset = record.try_get_i64()?;
        let body_bytes = record.try_get_u32()? as usize;
        let mut body = take(&mut record, body_bytes)?;
        let topic_bytes =
            if magic == MAGIC_V2 { record.try_get_u16()?.into() } else { usize::from(record.try_get_u8()?) };
        let topic = text(take(&mut record, topic_bytes)?);
        let properties_bytes = usize::from(record.try_get_u16()?);
        let properties = text(take(&mut record, properties_bytes)?);

        if sys_flag & sysflag::COMPRESSED != 0 {
            match compression::decompress(sys_flag, &body) {
                Ok(plain) => {
                    body = plain.into();
                    sys_flag &= !(sysflag::COMPRESSED | sysflag::COMPRESSION_MASK);
                }
                Err(error) => warn!(topic, log_offset, %error, "body not decompressed"),
            }
        }
        // A retried message lies in the retry topic; its consumer subscribed to another.
        let origin = if topic.starts_with(name::RETRY_PREFIX) {
            properties::get(&properties, properties::RETRY_TOPIC).map(str::to_owned)
        } else {
            None
        };
        Ok(Received {
            topic: origin.unwrap_or(topic),
            broker_name: broker_name.to_owned(),
            queue_id,
            offset,
            log_offset,
            flag,
            sys_flag,
            born_ms,
            born_host,
            stored_ms,
            store_host,
            reconsume_times,
            body,
            properties,
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("unknown magic {0:#010x}")]
    Magic(u32),
    #[error("its lengths contradict its size")]
    Short,
    #[error("port {0}")]
    Port(u32),
}

impl From<TryGetError> for RecordError {
    fn from(_: TryGetError) -> Self {
        RecordError::Short
    }
}

fn take(record: &mut Bytes, bytes: usize) -> Result<Bytes, RecordError> {
    if bytes > record.len() { Err(RecordError::Short) } else { Ok(record.split_to(bytes)) }
}

fn text(bytes: Bytes) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn host(record: &mut Bytes, v6: bool) -> Result<SocketAddr, RecordError> {
    let ip: IpAddr =
        if v6 { record.try_get_u128()?.to_be_bytes().into() } else { record.try_get_u32()?.to_be_bytes().into() };
    let port = record.try_get_u32()?;
    Ok(SocketAddr::new(ip, u16::try_from(port).map_err(|_| RecordError::Port(port))?))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sample() -> Received {
        Received {
            topic: "T".into(),
            broker_name: "broker-a".into(),
            queue_id: 3,
            offset: 17,
            log_offset: 4711,
            flag: 7,
            sys_flag: 0,
            born_ms: 1_700_000_000_000,
            born_host: "10.0.0.1:4000".parse().unwrap(),
            stored_ms: 1_700_000_000_001,
            store_host: "10.0.0.2:10911".parse().unwrap(),
            reconsume_times: 0,
            body: Bytes::from_static(b"hello"),
            properties: "UNIQ_KEY\u{1}0A0B\u{2}TAGS\u{1}a\u{2}KEYS\u{1}k1 k2\u{2}".into(),
        }
    }

    fn put_host(out: &mut BytesMut, host: SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => out.put_slice(&ip.octets()),
            IpAddr::V6(ip) => out.put_slice(&ip.octets()),
        }
        out.put_u32(host.port().into());
    }

    /// The record of a message whose body was stored as `body`.
    pub(crate) fn record(message: &Received, sys_flag: i32, body: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        let v2 = message.topic.len() > 127;
        out.put_u32(0);
        out.put_u32(if v2 { 0xDAA3_20AB } else { 0xDAA3_20A7 });
        out.put_u32(0);
        out.put_i32(message.queue_id);
        out.put_i32(message.flag);
        out.put_i64(message.offset);
        out.put_i64(message.log_offset);
        out.put_i32(sys_flag);
        out.put_i64(message.born_ms);
        put_host(&mut out, message.born_host);
        out.put_i64(message.stored_ms);
        put_host(&mut out, message.store_host);
        out.put_i32(message.reconsume_times);
        out.put_i64(0);
        out.put_u32(body.len() as u32);
        out.put_slice(body);
        if v2 {
            out.put_u16(message.topic.len() as u16);
        } else {
            out.put_u8(message.topic.len() as u8);
        }
        out.put_slice(message.topic.as_bytes());
        out.put_u16(message.properties.len() as u16);
        out.put_slice(message.properties.as_bytes());
        let size = out.len() as u32;
        out[..4].copy_from_slice(&size.to_be_bytes());
        out.freeze()
    }

    #[track_caller]
    fn check(message: &Received, sys_flag: i32, stored_body: &[u8]) {
        let bytes = record(message, sys_flag, stored_body);
        let twice = Bytes::from([&bytes[..], &bytes[..]].concat());
        assert_eq!(Received::decode_all("broker-a", twice).unwrap(), [message.clone(), message.clone()]);
    }

    #[test]
    fn records_are_read_in_every_form() {
        let plain = sample();
        check(&plain, 0, &plain.body);

        let v6 = Received { born_host: "[::1]:1".parse().unwrap(), sys_flag: sysflag::BORN_HOST_V6, ..sample() };
        check(&v6, v6.sys_flag, &v6.body);
        let v6 = Received { store_host: "[::1]:1".parse().unwrap(), sys_flag: sysflag::STORE_HOST_V6, ..sample() };
        check(&v6, v6.sys_flag, &v6.body);

        let long_topic = Received { topic: "%RETRY%".to_owned() + &"g".repeat(200), ..sample() };
        check(&long_topic, 0, &long_topic.body);
    }

    #[test]
    fn compressed_bodies_are_read_plain() {
        let large = Received { body: Bytes::from(vec![b'x'; 10_000]), ..sample() };
        let zlib = sysflag::COMPRESSED | sysflag::COMPRESSION_ZLIB;
        check(&large, zlib, &compression::compress(&large.body).unwrap());
        let zstd = sysflag::COMPRESSED | sysflag::COMPRESSION_ZSTD;
        check(&large, zstd, &zstd::encode_all(&large.body[..], 1).unwrap());

        let broken = Received { sys_flag: zlib, ..sample() };
        check(&broken, zlib, &broken.body);
    }

    #[test]
    fn a_retried_message_shows_its_own_topic() {
        let mut lying = Received { topic: "%RETRY%G".into(), ..sample() };
        lying.properties.push_str("RETRY_TOPIC\u{1}orders\u{2}");
        let shown = Received::decode_all("broker-a", record(&lying, 0, &lying.body)).unwrap();
        assert_eq!(shown[0].topic, "orders");
    }

    #[test]
    fn a_record_cut_anywhere_is_an_error() {
        let whole = record(&sample(), 0, b"hello");
        for cut in 1..whole.len() {
            assert!(Received::decode_all("b", whole.slice(..cut)).is_err(), "cut at {cut}");
            let mut resized = BytesMut::from(&whole[..cut]);
            if cut >= 4 {
                resized[..4].copy_from_slice(&(cut as u32).to_be_bytes());
            }
            assert!(Received::decode_all("b", resized.freeze()).is_err(), "shortened to {cut}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let size = (bytes.len() as u32 + 8).to_be_bytes();
            let framed = [&size[..], &0xDAA3_20A7u32.to_be_bytes(), &bytes].concat();
            let _ = Received::decode_all("b", framed.into());
        }
    }

    #[test]
    fn ids_and_keys_are_found() {
        let message = sample();
        assert_eq!(message.id(), "0A0B");
        assert_eq!(message.offset_id(), "0A00000200002A9F0000000000001267");
        assert_eq!(message.tag(), Some("a"));
        assert_eq!(message.keys().collect::<Vec<_>>(), ["k1", "k2"]);
    }

    #[test]
    fn properties_travel_with_a_unique_key() {
        let message = Message::new("T", "x").tag("a").key("1").key("2").tag("b");
        let (text, key) = message.wire_properties(|| "U1".into());
        assert_eq!((text.as_str(), key.as_str()), ("KEYS\u{1}1 2\u{2}TAGS\u{1}b\u{2}UNIQ_KEY\u{1}U1\u{2}", "U1"));

        let own = message.property("UNIQ_KEY", "mine");
        assert_eq!(own.wire_properties(|| unreachable!("it has one")).1, "mine");
    }

    #[test]
    fn what_no_broker_takes_is_refused_here() {
        assert!(Message::new("T", "x").check().is_ok());
        for bad in [
            Message::new("T", ""),
            Message::new("", "x"),
            Message::new("bad topic", "x"),
            Message::new("T", vec![0; limits::BODY_BYTES_MAX + 1]),
            Message::new("T", "x").property("p", &"x".repeat(40_000)),
        ] {
            assert!(matches!(bad.check(), Err(Error::Invalid(_))), "{:?}", bad.topic);
        }
    }

    #[test]
    fn a_batch_lays_its_messages_one_behind_the_other() {
        let mut out = BytesMut::new();
        put_in_batch(&mut out, 5, b"ab", "k\u{1}v\u{2}");
        put_in_batch(&mut out, 0, b"c", "");
        let first = [0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, b'a', b'b', 0, 4, b'k', 1, b'v', 2];
        assert_eq!(out[..28], first);
        assert_eq!(out[28..32], [0, 0, 0, 23]);
        assert_eq!(out.len(), 51);
    }
}
