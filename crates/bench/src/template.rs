//! Requests encoded once, with places whose width never changes.
//!
//! The opaque always has ten digits because it starts at 10^9; queue ids, offsets and counters are padded with zeros,
//! which every peer reads, since they travel as text. Patching a place and copying the frame is all that a request
//! costs this program.

use bytes::BytesMut;
use protocol::request::{PullMessageHeader, SendMessageV2Header};
use protocol::{Encoding, Frame, batch, properties};

use crate::Error;
use crate::clock::{STAMP_BYTES, put_stamp};

/// First opaque; all are below `i32::MAX` and have ten digits.
pub(crate) const OPAQUE_FIRST: i32 = 1_000_000_000;

/// Digits that are patched in a unique key of 32.
const UNIQUE_DIGITS: usize = 16;

const UNIQUE_KEY: &str = "0123456789ABCDEFFEDCBA9876543210";
const KEY_DIGITS: usize = 10;
const OFFSET_DIGITS: usize = 19;
const BORN_DIGITS: usize = 13;

/// A frame and the places to patch.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    opaque: Place,
    queue: Option<Place>,
    topic: Option<Place>,
    born: Option<Place>,
    offset: Option<Place>,
    unique: Vec<Place>,
    keys: Vec<Place>,
    stamps: Vec<usize>,
}

/// A number of fixed width.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    width: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Decimal,
    Hexadecimal,
    /// Big-endian bytes.
    Bytes,
}

impl Place {
    fn put(self, bytes: &mut [u8], mut value: u64) {
        let digits = &mut bytes[self.at..self.at + self.width];
        match self.form {
            Form::Decimal => {
                for digit in digits.iter_mut().rev() {
                    *digit = b'0' + (value % 10) as u8;
                    value /= 10;
                }
            }
            Form::Hexadecimal => {
                for digit in digits.iter_mut().rev() {
                    *digit = b"0123456789ABCDEF"[(value & 15) as usize];
                    value >>= 4;
                }
            }
            Form::Bytes => digits.copy_from_slice(&value.to_be_bytes()[8 - self.width..]),
        }
    }
}

/// Names of topics: one as it is, several with a number of fixed width behind.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    base: String,
    pub(crate) count: u64,
}

impl Topics {
    pub(crate) fn new(base: &str, count: u64) -> Self {
        Topics { base: base.to_owned(), count }
    }

    fn digits(&self) -> usize {
        if self.count == 1 { 0 } else { digits_of(self.count - 1) }
    }

    pub(crate) fn name(&self, index: u64) -> String {
        match self.digits() {
            0 => self.base.clone(),
            width => format!("{}-{index:0width$}", self.base),
        }
    }
}

/// What all messages of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    pub(crate) encoding: Encoding,
    pub(crate) body_bytes: usize,
    /// Messages in one request.
    pub(crate) batch: usize,
    /// Whether each has a key of its own.
    pub(crate) keys: bool,
    pub(crate) tag: Option<String>,
}

/// What a pull asks for, besides the place.
pub(crate) struct Pulls<'a> {
    pub(crate) group: &'a str,
    pub(crate) max_messages: u32,
    /// How long it may wait for a message; 0 does not wait.
    pub(crate) suspend_ms: u32,
    /// A SQL92 expression; everything without one.
    pub(crate) sql: Option<&'a str>,
}

impl Template {
    /// A send as the Java client does it: short field names, a unique key for each message.
    pub(crate) fn send(messages: &Messages, topics: &Topics, queues: u32) -> Result<Template, Error> {
        let properties = message_properties(messages);
        let body = body(messages.body_bytes);
        let (request_body, is_batch) = match messages.batch {
            1 => (body, false),
            count => (batch_body(&body, &properties, count), true),
        };
        let topic = topics.name(0);
        let header = SendMessageV2Header {
            producer_group: Some("bench-producer"),
            topic: &topic,
            default_topic: Some("TBW102"),
            default_topic_queue_nums: Some(4),
            queue_id: 0,
            sys_flag: Some(0),
            born_timestamp: Some(1_700_000_000_000),
            flag: Some(0),
            properties: Some(if is_batch { "" } else { &properties }),
            reconsume_times: Some(0),
            unit_mode: false,
            max_reconsume_times: None,
            batch: is_batch,
            broker_name: None,
        };
        let mut frame = Frame::request(if is_batch { 320 } else { 310 }, &header).with_body(request_body);
        widen(&mut frame, "e", digits_of(u64::from(queues - 1)));
        let mut template = Template::of(frame, messages.encoding, "b", topics)?;
        template.queue = Some(template.field("e", digits_of(u64::from(queues - 1)))?);
        template.born = Some(template.field("g", BORN_DIGITS)?);
        template.unique = template.places(UNIQUE_KEY, UNIQUE_KEY.len() - UNIQUE_DIGITS, Form::Hexadecimal);
        if messages.keys {
            template.keys = template.places(&key_placeholder(), 1, Form::Decimal);
        }
        if messages.body_bytes >= STAMP_BYTES {
            template.stamps = template.find(b"RMQBENCH").collect();
        }
        let expected = (messages.batch, messages.batch * usize::from(messages.keys));
        if (template.unique.len(), template.keys.len()) != expected {
            return Err(Error::Impossible(
                "the topic or tag looks like a key of this program, name it otherwise".into(),
            ));
        }
        Ok(template)
    }

    /// A pull of a queue.
    pub(crate) fn pull(encoding: Encoding, topics: &Topics, queues: u32, pulls: &Pulls<'_>) -> Result<Template, Error> {
        let topic = topics.name(0);
        let suspend = if pulls.suspend_ms > 0 { protocol::sysflag::PULL_SUSPEND } else { 0 };
        let header = PullMessageHeader {
            consumer_group: pulls.group,
            topic: &topic,
            queue_id: 0,
            queue_offset: 0,
            max_msg_nums: pulls.max_messages as i32,
            // The expression is in this header, so that no heartbeat has to tell it before.
            sys_flag: protocol::sysflag::PULL_SUBSCRIPTION | suspend,
            commit_offset: Some(0),
            suspend_timeout_millis: Some(pulls.suspend_ms.into()),
            subscription: Some(pulls.sql.unwrap_or("*")),
            sub_version: Some(0),
            expression_type: Some(if pulls.sql.is_some() { "SQL92" } else { "TAG" }),
            lite_topic: None,
        };
        let mut frame = Frame::request(11, &header);
        widen(&mut frame, "queueId", digits_of(u64::from(queues - 1)));
        widen(&mut frame, "queueOffset", OFFSET_DIGITS);
        let mut template = Template::of(frame, encoding, "topic", topics)?;
        template.queue = Some(template.field("queueId", digits_of(u64::from(queues - 1)))?);
        template.offset = Some(template.field("queueOffset", OFFSET_DIGITS)?);
        Ok(template)
    }

    /// Any request whose header names a topic.
    pub(crate) fn about_topic(frame: Frame, encoding: Encoding, topics: &Topics) -> Result<Template, Error> {
        Template::of(frame, encoding, "topic", topics)
    }

    fn of(frame: Frame, encoding: Encoding, topic_field: &str, topics: &Topics) -> Result<Template, Error> {
        let mut out = BytesMut::new();
        Frame { encoding, ..frame }.encode(OPAQUE_FIRST, &mut out);
        let nowhere = Place { at: 0, width: 0, form: Form::Bytes };
        let mut template = Template {
            bytes: out.to_vec(),
            opaque: nowhere,
            queue: None,
            topic: None,
            born: None,
            offset: None,
            unique: Vec::new(),
            keys: Vec::new(),
            stamps: Vec::new(),
        };
        template.opaque = match encoding {
            // 8 bytes of length and mark, 2 of code, 1 of language, 2 of version.
            Encoding::Binary => Place { at: 13, width: 4, form: Form::Bytes },
            Encoding::Json => {
                let member = b"\"opaque\":";
                let at = template.find(member).next().ok_or_else(|| unpatchable("opaque"))? + member.len();
                Place { at, width: 10, form: Form::Decimal }
            }
        };
        if topics.digits() > 0 {
            let name = topics.name(0);
            let topic = template.field(topic_field, name.len())?;
            let skip = name.len() - topics.digits();
            template.topic = Some(Place { at: topic.at + skip, width: topics.digits(), ..topic });
        }
        Ok(template)
    }

    /// Where the value of a header field is.
    fn field(&self, name: &str, width: usize) -> Result<Place, Error> {
        let binary = self.bytes[4] == 1;
        let pattern = match binary {
            true => [&(name.len() as u16).to_be_bytes(), name.as_bytes(), &(width as u32).to_be_bytes()].concat(),
            false => format!("\"{name}\":\"").into_bytes(),
        };
        let at = self.find(&pattern).next().ok_or_else(|| unpatchable(name))? + pattern.len();
        Ok(Place { at, width, form: Form::Decimal })
    }

    /// Every occurrence of a placeholder, without its first `skip` bytes.
    fn places(&self, placeholder: &str, skip: usize, form: Form) -> Vec<Place> {
        let width = placeholder.len() - skip;
        self.find(placeholder.as_bytes()).map(|at| Place { at: at + skip, width, form }).collect()
    }

    fn find<'a>(&'a self, pattern: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        self.bytes.windows(pattern.len()).enumerate().filter(move |(_, window)| *window == pattern).map(|(at, _)| at)
    }

    pub(crate) fn opaque(&mut self, opaque: i32) -> &mut Self {
        self.opaque.put(&mut self.bytes, opaque as u64);
        self
    }

    pub(crate) fn topic(&mut self, index: u64) -> &mut Self {
        if let Some(topic) = self.topic {
            topic.put(&mut self.bytes, index);
        }
        self
    }

    pub(crate) fn queue(&mut self, queue: u32) -> &mut Self {
        if let Some(place) = self.queue {
            place.put(&mut self.bytes, u64::from(queue));
        }
        self
    }

    /// Where a pull begins.
    pub(crate) fn offset(&mut self, offset: i64) -> &mut Self {
        if let Some(place) = self.offset {
            place.put(&mut self.bytes, offset.max(0) as u64);
        }
        self
    }

    /// Milliseconds since 1970.
    pub(crate) fn born(&mut self, ms: u64) -> &mut Self {
        if let Some(born) = self.born {
            born.put(&mut self.bytes, ms);
        }
        self
    }

    /// Gives each message the next number of a counter, as its unique key and as its key, if it has any.
    pub(crate) fn number(&mut self, counter: u64, distinct_keys: u64) -> &mut Self {
        for (place, number) in self.unique.iter().zip(counter..) {
            place.put(&mut self.bytes, number);
        }
        for (place, number) in self.keys.iter().zip(counter..) {
            place.put(&mut self.bytes, number % distinct_keys.max(1));
        }
        self
    }

    /// Stamps every body with nanoseconds since 1970.
    pub(crate) fn stamp(&mut self, wall_ns: u64) -> &mut Self {
        for at in &self.stamps {
            put_stamp(&mut self.bytes[*at..], wall_ns);
        }
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn unpatchable(field: &str) -> Error {
    Error::Impossible(format!("the field {field:?} is not where it should be in an encoded request"))
}

fn digits_of(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Pads the zero in a field to the width its values need.
fn widen(frame: &mut Frame, name: &str, width: usize) {
    let mut fields = protocol::Fields::default();
    for (field, value) in frame.fields.iter() {
        match field == name {
            true => fields.push(field, &"0".repeat(width)),
            false => fields.push(field, value),
        }
    }
    frame.fields = fields;
}

fn key_placeholder() -> String {
    format!("k{}", "0".repeat(KEY_DIGITS))
}

fn message_properties(messages: &Messages) -> String {
    let mut text = String::new();
    properties::push(&mut text, properties::UNIQUE_KEY, UNIQUE_KEY);
    properties::push(&mut text, properties::WAIT, "true");
    if messages.keys {
        properties::push(&mut text, properties::KEYS, &key_placeholder());
    }
    if let Some(tag) = &messages.tag {
        properties::push(&mut text, properties::TAGS, tag);
    }
    text
}

/// Printable bytes that do not compress to nothing; the stamp comes first where there is room.
fn body(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut body: Vec<u8> = (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state % 26) as u8
        })
        .collect();
    if bytes >= STAMP_BYTES {
        put_stamp(&mut body, 0);
    }
    body
}

fn batch_body(body: &[u8], properties: &str, count: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    for _ in 0..count {
        batch::put(&batch::Part { flag: 0, body, properties }, &mut out);
    }
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stamp;

    fn decode(template: &Template) -> Frame {
        let mut bytes = BytesMut::from(template.bytes());
        let frame = Frame::decode(&mut bytes).expect("decodes").expect("is whole");
        assert!(bytes.is_empty());
        frame
    }

    fn messages(encoding: Encoding, batch: usize) -> Messages {
        Messages { encoding, body_bytes: 100, batch, keys: true, tag: Some("blue".into()) }
    }

    const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Binary];

    #[test]
    fn a_patched_send_decodes_to_what_was_patched() {
        for encoding in ENCODINGS {
            let mut template = Template::send(&messages(encoding, 1), &Topics::new("t", 1000), 16).unwrap();
            for (opaque, topic, queue) in [(OPAQUE_FIRST, 0, 0), (1_999_999_999, 999, 15), (1_000_000_777, 42, 7)] {
                let stamped = u64::MAX / 3;
                template.opaque(opaque).topic(topic).queue(queue).born(1_712_345_678_901);
                template.number(0xABCD_0000_1234 + topic, 1_000_000_000).stamp(stamped);
                let frame = decode(&template);
                let header: SendMessageV2Header<'_> = frame.header().unwrap();
                assert_eq!((frame.code, frame.opaque, frame.encoding), (310, opaque, encoding));
                assert_eq!((header.topic, header.queue_id), (&*format!("t-{topic:03}"), queue as i32));
                assert_eq!((header.born_timestamp, header.batch), (Some(1_712_345_678_901), false));
                let text = header.properties.unwrap();
                let unique = format!("0123456789ABCDEF{:016X}", 0xABCD_0000_1234 + topic);
                assert_eq!(properties::get(text, "UNIQ_KEY"), Some(&*unique));
                let key = format!("k{:010}", (0xABCD_0000_1234 + topic) % 1_000_000_000);
                assert_eq!(properties::get(text, "KEYS"), Some(&*key));
                assert_eq!(properties::get(text, "TAGS"), Some("blue"));
                assert_eq!((frame.body.len(), stamp(&frame.body)), (100, Some(stamped)));
            }
        }
    }

    #[test]
    fn every_message_of_a_batch_has_its_own_number() {
        for encoding in ENCODINGS {
            let mut template = Template::send(&messages(encoding, 5), &Topics::new("t", 1), 1).unwrap();
            template.number(7, 9).stamp(99);
            let frame = decode(&template);
            assert!(frame.header::<SendMessageV2Header<'_>>().unwrap().batch);
            assert_eq!(frame.header::<SendMessageV2Header<'_>>().unwrap().topic, "t");
            let parts: Vec<_> = batch::iter(&frame.body).collect::<Result<_, _>>().unwrap();
            assert_eq!(parts.len(), 5);
            for (part, number) in parts.iter().zip(7..) {
                let unique = format!("0123456789ABCDEF{number:016X}");
                assert_eq!(properties::get(part.properties, "UNIQ_KEY"), Some(&*unique));
                assert_eq!(properties::get(part.properties, "KEYS"), Some(&*format!("k{:010}", number % 9)));
                assert_eq!(stamp(part.body), Some(99));
            }
        }
    }

    #[test]
    fn a_patched_pull_decodes_to_what_was_patched() {
        let pulls = Pulls { group: "group", max_messages: 32, suspend_ms: 15_000, sql: Some("a > 'b'") };
        for encoding in ENCODINGS {
            let topics = Topics::new("q", 10);
            let mut template = Template::pull(encoding, &topics, 8, &pulls).unwrap();
            for (opaque, queue, offset) in [(OPAQUE_FIRST + 5, 7, 0), (1_234_567_890, 0, i64::MAX)] {
                template.opaque(opaque).queue(queue).topic(9).offset(offset);
                let frame = decode(&template);
                let header: PullMessageHeader<'_> = frame.header().unwrap();
                assert_eq!((frame.code, frame.opaque), (11, opaque));
                assert_eq!((header.topic, header.queue_id, header.queue_offset), ("q-9", queue as i32, offset));
                assert_eq!((header.sys_flag, header.max_msg_nums), (6, 32));
                assert_eq!((header.expression_type, header.subscription), (Some("SQL92"), Some("a > 'b'")));
            }
        }
    }

    #[test]
    fn tiny_and_empty_bodies_have_no_stamp() {
        for body_bytes in [0, 1, 15] {
            let messages = Messages { body_bytes, ..messages(Encoding::Json, 1) };
            let mut template = Template::send(&messages, &Topics::new("t", 1), 1).unwrap();
            template.stamp(5);
            let frame = decode(&template);
            assert_eq!((frame.body.len(), stamp(&frame.body)), (body_bytes, None));
        }
    }
}
