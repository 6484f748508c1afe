//! A stored record as a message of the protocol.
//!
//! Source: `GrpcConverter.buildMessage`.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use prost_types::Timestamp;
use protocol::record::RecordView;
use protocol::{id, name, properties};
use tracing::debug;

use crate::encoding;
use crate::v2::{self, DigestType, Encoding, Message, MessageType, Resource, SystemProperties};
use crate::validate::is_reserved;

/// What a message is besides its record when it is handed to a consumer.
#[derive(Debug)]
pub(crate) struct Received {
    /// What acks it.
    pub(crate) handle: String,
    /// How often it was delivered before.
    pub(crate) deliveries: i32,
}

/// The message of a record; `None` if it is not readable, which the store would have noticed before.
pub(crate) fn message(record: &Bytes, received: Option<Received>) -> Option<Message> {
    let view = RecordView::parse(record).ok()?;
    let stored = record.slice_ref(view.body());
    let (body, encoding) = match encoding::stored(view.sys_flag(), stored.clone()) {
        Ok(body) => (body, Encoding::Identity),
        Err(error) => {
            // As Java labels it; the client may know better.
            debug!(topic = view.topic(), offset = view.queue_offset(), %error, "body delivered as it is stored");
            (stored, Encoding::Gzip)
        }
    };
    let mut message = Message { topic: Some(resource(view.topic())), body, ..Message::default() };
    let mut system = SystemProperties {
        body_digest: Some(v2::Digest { r#type: DigestType::Md5 as i32, checksum: hex(&Md5::digest(&message.body)) }),
        body_encoding: encoding as i32,
        born_timestamp: Some(time(view.born_timestamp())),
        born_host: view.born_host().ip().to_canonical().to_string(),
        store_timestamp: Some(time(view.store_timestamp())),
        store_host: view.store_host().to_string(),
        queue_id: view.queue_id() as i32,
        queue_offset: Some(view.queue_offset() as i64),
        delivery_attempt: Some(view.reconsume_times() + 1),
        ..SystemProperties::default()
    };
    let mut delayed_ms = None;
    let (mut origin_topic, mut origin_id) = (None, None);
    let mut transaction = false;
    for (key, value) in properties::iter(view.properties()) {
        match key {
            properties::TAGS => system.tag = Some(value.to_owned()),
            properties::KEYS => system.keys = value.split(' ').map(str::to_owned).collect(),
            properties::UNIQUE_KEY => system.message_id = value.to_owned(),
            properties::TRANSACTION_PREPARED => transaction = value == "true",
            properties::DELAY => delayed_ms = delayed_ms.or(Some(None)),
            properties::TIMER_DELIVER_MS => delayed_ms = Some(value.parse().ok()),
            properties::TIMER_DELAY_SEC | properties::TIMER_DELAY_MS => delayed_ms = delayed_ms.or(Some(None)),
            properties::SHARDING_KEY => system.message_group = Some(value.to_owned()),
            properties::PRIORITY => system.priority = value.parse().ok(),
            LITE_TOPIC => system.lite_topic = Some(value.to_owned()),
            BORN_HOST => system.born_host = value.to_owned(),
            TRACE_CONTEXT => system.trace_context = Some(value.to_owned()),
            properties::DLQ_ORIGIN_TOPIC => origin_topic = Some(value),
            properties::DLQ_ORIGIN_MESSAGE_ID => origin_id = Some(value),
            _ => {}
        }
        if !is_reserved(key) {
            message.user_properties.insert(key.to_owned(), value.to_owned());
        }
    }
    if system.message_id.is_empty() {
        system.message_id = id::offset_id(view.store_host(), view.log_offset());
    }
    if let (Some(topic), Some(message_id)) = (origin_topic, origin_id) {
        system.dead_letter_queue =
            Some(v2::DeadLetterQueue { topic: topic.to_owned(), message_id: message_id.to_owned() });
    }
    let kind = match () {
        () if transaction => MessageType::Transaction,
        () if delayed_ms.is_some() => MessageType::Delay,
        () if system.message_group.is_some() => MessageType::Fifo,
        () if system.priority.is_some() => MessageType::Priority,
        () if system.lite_topic.is_some() => MessageType::Lite,
        () => MessageType::Normal,
    };
    system.message_type = kind as i32;
    system.delivery_timestamp = delayed_ms.flatten().map(time);
    if let Some(Received { handle, deliveries }) = received {
        system.receipt_handle = Some(handle);
        system.delivery_attempt = Some(deliveries.saturating_add(1));
    }
    message.system_properties = Some(system);
    Some(message)
}

/// Where a gRPC client says that a message was born.
pub(crate) const BORN_HOST: &str = "__BORNHOST";
/// When it says so.
pub(crate) const BORN_TIMESTAMP: &str = "BORN_TIMESTAMP";
/// Trace context of a message.
pub(crate) const TRACE_CONTEXT: &str = "TRACE_CONTEXT";
/// Lite topic of a message.
pub(crate) const LITE_TOPIC: &str = "__LITE_TOPIC";

/// The name of a topic or group, its namespace apart. Source: `NamespaceUtil`.
pub(crate) fn resource(name: &str) -> Resource {
    let prefix = [name::RETRY_PREFIX, name::DLQ_PREFIX].into_iter().find(|prefix| name.starts_with(prefix));
    let (prefix, rest) = name.split_at(prefix.map_or(0, str::len));
    match rest.split_once('%') {
        Some((namespace, rest)) => {
            Resource { resource_namespace: namespace.to_owned(), name: format!("{prefix}{rest}") }
        }
        None => Resource { resource_namespace: String::new(), name: name.to_owned() },
    }
}

/// A time in the protocol's form.
pub(crate) fn time(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}

/// Upper case: what clients compare with.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |at: u8| char::from(DIGITS[usize::from(at)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use protocol::record::{NewRecord, Stamp};
    use protocol::sysflag;

    use super::*;

    fn record(sys_flag: i32, body: &[u8], pairs: &[(&str, &str)]) -> Bytes {
        let mut text = String::new();
        pairs.iter().for_each(|(key, value)| properties::push(&mut text, key, value));
        let record = NewRecord {
            topic: "T",
            queue_id: 3,
            flag: 0,
            sys_flag,
            born_timestamp: 1_700_000_000_123,
            born_host: "10.0.0.1:1234".parse().unwrap(),
            store_host: "10.0.0.2:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties: &text,
            more_properties: "",
        };
        let mut bytes = Vec::new();
        let stamp = Stamp { queue_offset: 7, log_offset: 4096, store_timestamp: 1_700_000_000_456 };
        record.measure().unwrap().encode(&stamp, &mut bytes);
        bytes.into()
    }

    #[test]
    fn a_message_has_what_clients_look_at() {
        let pairs = [
            ("TAGS", "red"),
            ("KEYS", "a b"),
            ("UNIQ_KEY", "01ABC"),
            ("colour", "blue"),
            ("__SHARDINGKEY", "g"),
            ("TRACE_CONTEXT", "t"),
            ("POP_CK", "x"),
        ];
        let received = Received { handle: "h".into(), deliveries: 2 };
        let message = message(&record(0, b"hello", &pairs), Some(received)).unwrap();
        let system = message.system_properties.unwrap();
        assert_eq!(message.topic.unwrap().name, "T");
        assert_eq!(message.body, "hello");
        assert_eq!(system.tag.as_deref(), Some("red"));
        assert_eq!(system.keys, ["a", "b"]);
        assert_eq!(system.message_id, "01ABC");
        // `md5sum` of "hello", upper case.
        assert_eq!(system.body_digest.unwrap().checksum, "5D41402ABC4B2A76B9719D911017C592");
        assert_eq!(system.body_encoding, Encoding::Identity as i32);
        assert_eq!(system.message_type, MessageType::Fifo as i32);
        assert_eq!(system.message_group.as_deref(), Some("g"));
        assert_eq!(system.born_timestamp.unwrap(), Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 });
        assert_eq!((system.born_host.as_str(), system.store_host.as_str()), ("10.0.0.1", "10.0.0.2:10911"));
        assert_eq!((system.queue_id, system.queue_offset), (3, Some(7)));
        assert_eq!((system.receipt_handle.as_deref(), system.delivery_attempt), (Some("h"), Some(3)));
        let mut names: Vec<_> = message.user_properties.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["TRACE_CONTEXT", "__SHARDINGKEY", "colour"]);
    }

    #[test]
    fn types_come_from_properties() {
        let check = |pairs: &[(&str, &str)], wanted: MessageType| {
            let message = message(&record(0, b"x", pairs), None).unwrap();
            assert_eq!(message.system_properties.unwrap().message_type, wanted as i32, "{pairs:?}");
        };
        check(&[], MessageType::Normal);
        check(&[("TRAN_MSG", "true"), ("__SHARDINGKEY", "g")], MessageType::Transaction);
        check(&[("TIMER_DELIVER_MS", "5"), ("__SHARDINGKEY", "g")], MessageType::Delay);
        check(&[("DELAY", "3")], MessageType::Delay);
        check(&[("_SYS_MSG_PRIORITY_", "3")], MessageType::Priority);
        check(&[("__LITE_TOPIC", "s")], MessageType::Lite);
    }

    #[test]
    fn a_message_of_remoting_has_an_id_too_and_its_body_unpacked() {
        let packed = zstd::encode_all(&b"hello"[..], 3).unwrap();
        let record = record(sysflag::COMPRESSED | sysflag::COMPRESSION_ZSTD, &packed, &[]);
        let message = message(&record, None).unwrap();
        let system = message.system_properties.unwrap();
        assert_eq!(message.body, "hello");
        assert_eq!(system.message_id, "0A00000200002A9F0000000000001000");
        assert_eq!(system.tag, None);
    }

    #[test]
    fn namespaces_are_split_off() {
        let check = |name, namespace: &str, rest: &str| {
            let resource = resource(name);
            assert_eq!((&*resource.resource_namespace, &*resource.name), (namespace, rest));
        };
        check("orders", "", "orders");
        check("ns%orders", "ns", "orders");
        check("%RETRY%ns%g", "ns", "%RETRY%g");
        check("%DLQ%g", "", "%DLQ%g");
    }
}
