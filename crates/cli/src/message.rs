//! How a message looks to people and to programs.

use std::collections::BTreeMap;

use client::Received;
use serde::Serialize;

use crate::output::{self, Rows};

/// A message as one JSON object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown<'m> {
    topic: &'m str,
    #[serde(skip_serializing_if = "str::is_empty")]
    broker: &'m str,
    queue: i32,
    offset: i64,
    id: String,
    offset_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'m str>,
    keys: Vec<&'m str>,
    born: Option<String>,
    stored: Option<String>,
    reconsume_times: i32,
    properties: BTreeMap<&'m str, &'m str>,
    #[serde(flatten)]
    body: Body<'m>,
}

/// Text where that is possible, otherwise base64 under another name: a reader cannot mistake one for the other.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Body<'m> {
    Body(&'m str),
    BodyBase64(String),
}

impl<'m> Shown<'m> {
    pub(crate) fn new(message: &'m Received) -> Shown<'m> {
        Shown {
            topic: &message.topic,
            broker: &message.broker_name,
            queue: message.queue_id,
            offset: message.offset,
            id: message.id(),
            offset_id: message.offset_id(),
            tag: message.tag(),
            keys: message.keys().collect(),
            born: output::rfc3339(message.born_ms),
            stored: output::rfc3339(message.stored_ms),
            reconsume_times: message.reconsume_times,
            properties: message.properties().collect(),
            body: match std::str::from_utf8(&message.body) {
                Ok(text) => Body::Body(text),
                Err(_) => Body::BodyBase64(base64(&message.body)),
            },
        }
    }
}

/// All about a message, one thing a line, then its body.
pub(crate) fn describe(message: &Received) -> Vec<String> {
    let line = |name: &str, value: String| format!("{name:<12}{value}");
    let mut lines = vec![
        line("Topic", message.topic.clone()),
        line("Id", message.id()),
        line("Offset id", message.offset_id()),
        line("Queue", format!("{}, offset {}", message.queue_id, message.offset)),
        line("Born", format!("{} at {}", output::time(message.born_ms), message.born_host)),
        line("Stored", format!("{} at {}", output::time(message.stored_ms), message.store_host)),
        line("Tries", (message.reconsume_times + 1).to_string()),
    ];
    lines.extend(message.properties().map(|(name, value)| line("Property", format!("{name}={value}"))));
    lines.push(String::new());
    lines.push(String::from_utf8_lossy(&message.body).into_owned());
    lines
}

/// A table of messages.
pub(crate) fn table(messages: &[Received]) -> Rows {
    let mut rows = Rows::new(["id", "stored", "#queue", "#offset", "tag", "keys", "#bytes"]);
    for message in messages {
        rows.push([
            message.id(),
            output::time(message.stored_ms),
            message.queue_id.to_string(),
            message.offset.to_string(),
            message.tag().unwrap_or("-").to_owned(),
            message.keys().collect::<Vec<_>>().join(" "),
            message.body.len().to_string(),
        ]);
    }
    rows
}

/// Standard base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for letter in 0..4 {
            let index = (bits >> (18 - 6 * letter)) as usize & 63;
            text.push(if letter <= three.len() { LETTERS[index].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn a_body_is_text_or_base64_under_another_name() {
        assert_eq!(serde_json::to_string(&Body::Body("a\"b")).unwrap(), r#"{"body":"a\"b"}"#);
        assert_eq!(serde_json::to_string(&Body::BodyBase64(base64(&[255]))).unwrap(), r#"{"bodyBase64":"/w=="}"#);
    }
}
