//! JSON as RocketMQ's peers write it, which is not always JSON.
//!
//! Java's map writer puts numbers and whole objects where JSON wants a string key: `{0:1}`, `{{"topic":"T"}:5}`.
//! [`parse`] reads that as well; [`Keyed`] writes it. Source: fastjson and fastjson2 2.0.59, `RemotingSerializable`.

mod lenient;
mod scanner;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use scanner::Content;
pub use scanner::{ScanError, Scanner};

/// Parses a body. A key that is a number or an object becomes the string of its text; text and numbers stand for each
/// other.
///
/// # Errors
/// Says what is wrong and where, for the remark of the answer.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ScanError> {
    // Nearly every body is standard JSON, so the detour through a rewritten text is taken only when needed.
    serde_json::from_slice(body).or_else(|_| {
        let text = std::str::from_utf8(body).map_err(ScanError::new)?;
        let mut standard = String::with_capacity(text.len() + 16);
        let mut scanner = Scanner::new(text);
        scanner.rewrite(&mut standard)?;
        scanner.end()?;
        let value = serde_json::from_str(&standard).map_err(ScanError::new)?;
        T::deserialize(lenient::Lenient(value)).map_err(ScanError::new)
    })
}

/// The text of a value of ours.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("our bodies have string keys and no failing serializers")
}

/// A map in Java's form: keys are written as the JSON value they are, without quotes around them.
///
/// ```
/// let mut map = protocol::json::Keyed::default();
/// map.entry(&0, &"127.0.0.1:10911");
/// assert_eq!(map.finish(), r#"{0:"127.0.0.1:10911"}"#);
/// ```
#[derive(Debug, Default)]
pub struct Keyed(String);

impl Keyed {
    /// Adds an entry whose key is the JSON text of `key`.
    pub fn entry(&mut self, key: &impl Serialize, value: &impl Serialize) {
        let value = String::from_utf8(to_vec(value)).expect("JSON is UTF-8");
        self.raw_entry(key, &value);
    }

    /// Adds an entry whose value is JSON text already.
    pub fn raw_entry(&mut self, key: &impl Serialize, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&String::from_utf8(to_vec(key)).expect("JSON is UTF-8"));
        self.0.push(':');
        self.0.push_str(value);
    }

    /// The text of the map.
    pub fn finish(self) -> String {
        if self.0.is_empty() { "{}".into() } else { self.0 + "}" }
    }
}

/// Appends a name and its value, which is a string, with a comma in front if there are others before.
pub(crate) fn put_member(out: &mut BytesMut, comma: bool, name: &str, value: &str) {
    if !is_plain(name) || !is_plain(value) {
        if comma {
            out.put_u8(b',');
        }
        put_string(out, name);
        out.put_u8(b':');
        return put_string(out, value);
    }
    // Quotes everywhere, and then what is none: room is made once.
    let start = out.len();
    out.resize(start + usize::from(comma) + 1 + name.len() + 3 + value.len() + 1, b'"');
    let mut member = &mut out[start..];
    if comma {
        member[0] = b',';
        member = &mut member[1..];
    }
    let (key, rest) = member[1..].split_at_mut(name.len());
    key.copy_from_slice(name.as_bytes());
    rest[1] = b':';
    rest[3..][..value.len()].copy_from_slice(value.as_bytes());
}

/// Whether a string stands in quotes as it is. Looks at all of it, which takes less time than to stop early.
fn is_plain(text: &str) -> bool {
    !text.bytes().fold(false, |odd, byte| odd | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}

/// Appends a quoted string. Control characters are escaped as Java does, everything else travels as UTF-8.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    out.reserve(text.len() + 2);
    out.put_u8(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.put_slice(&bytes[plain..at]);
        plain = at + 1;
        out.put_slice(&[b'\\', escape]);
        if escape == b'u' {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.put_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out.put_slice(&bytes[plain..]);
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_may_be_numbers_or_objects() {
        let map: BTreeMap<i32, i64> = parse(b"{0:1, 1 : 2}").unwrap();
        assert_eq!(map, BTreeMap::from([(0, 1), (1, 2)]));
        let map: BTreeMap<String, i64> = parse(br#"{{"queueId":3,"topic":"T"}:5,}"#).unwrap();
        assert_eq!(map, BTreeMap::from([(r#"{"queueId":3,"topic":"T"}"#.to_owned(), 5)]));
        let map: BTreeMap<String, BTreeMap<i32, i64>> = parse(b"{'T@G':{0:1,}}").unwrap();
        assert_eq!(map["T@G"][&0], 1);
    }

    #[test]
    fn text_and_numbers_stand_for_each_other_and_null_is_absence() {
        use crate::body::{HeartbeatData, MessageModel};
        // A heartbeat of the Go client v2.1.2, which writes tag hashes as strings.
        let body = br#"{"clientID":"c","consumerDataSet":[{"groupName":"G","messageModel":"BROADCASTING",
            "subscriptionDataSet":[{"topic":"T","subString":"a || b","tagsSet":null,"codeSet":["97",98],
            "subVersion":"1795340067708730935","classFilterMode":"false"}],"unitMode":false}]}"#;
        let data: HeartbeatData = parse(body).unwrap();
        let consumer = &data.consumer_data_set[0];
        assert_eq!(consumer.message_model, MessageModel::Broadcasting);
        let subscription = &consumer.subscription_data_set[0];
        assert_eq!((&subscription.code_set[..], subscription.sub_version), (&[97, 98][..], 1_795_340_067_708_730_935));
        assert!(parse::<HeartbeatData>(br#"{"heartbeatFingerprint":"x"}"#).is_err());
    }

    #[test]
    fn standard_text_keeps_its_meaning() {
        let value: serde_json::Value = parse(r#"{"a":[1,-2.5e3,true,null,"\"é\u0041\n"],"b":{}}"#.as_bytes()).unwrap();
        assert_eq!(value["a"][4], "\"éA\n");
    }

    #[test]
    fn members_are_read_as_they_were_written() {
        for odd in ["", "plain", "é", "\"", "a\\b", "\n", "\u{1}\u{2}", "\u{7f}"] {
            let mut out = BytesMut::from(&b"{"[..]);
            put_member(&mut out, false, odd, "first");
            put_member(&mut out, true, "name", odd);
            put_member(&mut out, true, "last", "");
            out.put_u8(b'}');
            let read: BTreeMap<String, String> = serde_json::from_slice(&out).expect("is JSON");
            let written =
                [(odd, "first"), ("name", odd), ("last", "")].map(|(name, value)| (name.into(), value.into()));
            assert_eq!(read, BTreeMap::from(written));
        }
    }

    #[test]
    fn errors_are_told() {
        for body in ["", "{", "{0:}", "{{:1}", "{\"a\" 1}", "nul", "[1,,2]", "{0:1}}"] {
            assert!(parse::<serde_json::Value>(body.as_bytes()).is_err(), "{body}");
        }
        assert!(parse::<serde_json::Value>(&[0xff]).is_err());
    }
}
