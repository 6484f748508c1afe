//! A message on its way in, and one that was read.

use std::net::SocketAddr;

use bytes::Bytes;
use protocol::limits::PROPERTIES_BYTES_MAX;
use protocol::record::{self, Invalid, RecordView};
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

    /// Reads the records of a pull's or a query's body. Bodies stay slices of it.
    pub(crate) fn decode_all(broker_name: &str, bytes: &Bytes) -> Result<Vec<Received>, Invalid> {
        record::records(bytes).map(|record| Ok(Received::decode(broker_name, bytes, &record?))).collect()
    }

    fn decode(broker_name: &str, bytes: &Bytes, record: &RecordView<'_>) -> Received {
        let (mut sys_flag, mut body) = (record.sys_flag(), bytes.slice_ref(record.body()));
        if sys_flag & sysflag::COMPRESSED != 0 {
            match compression::decompress(sys_flag, &body) {
                Ok(plain) => {
                    body = plain.into();
                    sys_flag &= !(sysflag::COMPRESSED | sysflag::COMPRESSION_MASK);
                }
                Err(error) => {
                    warn!(topic = record.topic(), offset = record.queue_offset(), %error, "body not decompressed");
                }
            }
        }
        // A retried message lies in the retry topic; its consumer subscribed to another.
        let retried = record.topic().starts_with(name::RETRY_PREFIX);
        let origin = if retried { record.property(properties::RETRY_TOPIC) } else { None };
        Received {
            topic: origin.unwrap_or(record.topic()).to_owned(),
            broker_name: broker_name.to_owned(),
            queue_id: record.queue_id() as i32,
            offset: record.queue_offset() as i64,
            log_offset: record.log_offset() as i64,
            flag: record.flag(),
            sys_flag,
            born_ms: record.born_timestamp(),
            born_host: record.born_host(),
            stored_ms: record.store_timestamp(),
            store_host: record.store_host(),
            reconsume_times: record.reconsume_times(),
            body,
            properties: record.properties().to_owned(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;
    use protocol::record::{NewRecord, Stamp};

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

    /// The record of a message whose body was stored as `body`.
    pub(crate) fn record(message: &Received, sys_flag: i32, body: &[u8]) -> Bytes {
        let new = NewRecord {
            topic: &message.topic,
            queue_id: message.queue_id as u32,
            flag: message.flag,
            sys_flag,
            born_timestamp: message.born_ms,
            born_host: message.born_host,
            store_host: message.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: 0,
            body,
            properties: &message.properties,
            more_properties: "",
        };
        let stamp = Stamp {
            queue_offset: message.offset as u64,
            log_offset: message.log_offset as u64,
            store_timestamp: message.stored_ms,
        };
        let mut out = BytesMut::new();
        new.measure().unwrap().encode(&stamp, &mut out);
        out.freeze()
    }

    #[track_caller]
    fn check(message: &Received, sys_flag: i32, stored_body: &[u8]) {
        let bytes = record(message, sys_flag, stored_body);
        let twice = Bytes::from([&bytes[..], &bytes[..]].concat());
        assert_eq!(Received::decode_all("broker-a", &twice).unwrap(), [message.clone(), message.clone()]);
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
        let shown = Received::decode_all("broker-a", &record(&lying, 0, &lying.body)).unwrap();
        assert_eq!(shown[0].topic, "orders");
    }

    #[test]
    fn a_body_cut_anywhere_is_an_error() {
        let whole = record(&sample(), 0, b"hello");
        for cut in 1..whole.len() {
            assert!(Received::decode_all("b", &whole.slice(..cut)).is_err(), "cut at {cut}");
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
}
