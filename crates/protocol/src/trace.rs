//! Message traces: what clients that trace store in `RMQ_SYS_TRACE_TOPIC`, for people to look up by message id or key.
//!
//! A trace message has several entries in its body, each ended by `\u{2}`, its words separated by `\u{1}`; the ids and
//! keys of the messages they are about are its keys. A word that is not there is `null` or empty.
//! Source: `TraceDataEncoder`, `TraceConstants`.

/// What happened to a message, as a client tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The message, or its unique id as the client knew it.
    pub message_id: &'a str,
    /// When, in milliseconds since 1970. Consumers of old releases do not say when they were done.
    pub at_ms: Option<i64>,
    /// Producer group or consumer group; of what was consumed the entry with the same request id tells it.
    pub group: Option<&'a str>,
    /// What it was.
    pub event: Event<'a>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A producer sent it.
    Sent {
        /// Target.
        topic: &'a str,
        /// Broker, `ip:port`.
        store_host: &'a str,
        /// How long the send took.
        took_ms: i64,
        /// Whether the broker took it.
        success: bool,
    },
    /// A consumer began with it.
    Received {
        /// Ties it to the entry of its end.
        request_id: &'a str,
        /// How often it was tried before.
        retries: i32,
    },
    /// A consumer was done with it.
    Consumed {
        /// Ties it to the entry of its beginning.
        request_id: &'a str,
        /// How long that took.
        took_ms: i64,
        /// Whether the consumer took it.
        success: bool,
    },
    /// A producer decided its transaction.
    Decided {
        /// Target.
        topic: &'a str,
        /// `COMMIT_MESSAGE`, `ROLLBACK_MESSAGE` or `UNKNOW`.
        state: &'a str,
        /// The broker had asked.
        from_check: bool,
    },
}

/// The entries of a trace message. What is not readable is left out, as Java leaves out kinds it does not know.
pub fn entries(body: &str) -> impl Iterator<Item = Entry<'_>> {
    body.split('\u{2}').filter_map(entry)
}

fn entry(text: &str) -> Option<Entry<'_>> {
    let words: Vec<&str> = text.split('\u{1}').collect();
    let word = |at: usize| words.get(at).copied();
    let named = |at: usize| word(at).filter(|word| !word.is_empty() && *word != "null");
    let number = |at: usize| word(at)?.parse().ok();
    let is = |at: usize| Some(word(at)? == "true");
    let entry = match word(0)? {
        "Pub" => Entry {
            message_id: word(5)?,
            at_ms: number(1),
            group: named(3),
            event: Event::Sent {
                topic: word(4)?,
                store_host: word(8)?,
                took_ms: number(10)?,
                // Old releases have no offset id before it.
                success: if words.len() == 13 { is(12)? } else { is(13)? },
            },
        },
        "SubBefore" => Entry {
            message_id: word(5)?,
            at_ms: number(1),
            group: named(3),
            event: Event::Received { request_id: word(4)?, retries: word(6)?.parse().ok()? },
        },
        "SubAfter" => Entry {
            message_id: word(2)?,
            at_ms: number(7),
            group: None,
            event: Event::Consumed { request_id: word(1)?, took_ms: number(3)?, success: is(4)? },
        },
        "EndTransaction" => Entry {
            message_id: word(5)?,
            at_ms: number(1),
            group: named(3),
            event: Event::Decided { topic: word(4)?, state: word(11)?, from_check: is(12)? },
        },
        _ => return None,
    };
    Some(entry)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(lines: &[&str]) -> String {
        lines.iter().map(|line| line.replace('|', "\u{1}") + "\u{2}").collect()
    }

    #[test]
    fn entries_are_read_as_java_writes_them() {
        let body = body(&[
            "Pub|1700000000000|DefaultRegion|P|orders|ID|a|k|10.0.0.1:10911|12|3|0|OFFSETID|true",
            "Pub|1700000000000|DefaultRegion|P|orders|ID|a|k|10.0.0.1:10911|12|3|0|false",
            "SubBefore|1700000000001|null|G|REQ|ID|2|k",
            "SubAfter|REQ|ID|7|true|k|0|1700000000008",
            "SubAfter|REQ|ID|7|false|k",
            "EndTransaction|1700000000009|DefaultRegion|P|orders|ID|a|k|10.0.0.1:10911|2|TX|COMMIT_MESSAGE|false",
            "Unheard|of",
            "Pub|1",
        ]);
        let sent = |success| Event::Sent { topic: "orders", store_host: "10.0.0.1:10911", took_ms: 3, success };
        let consumed = |success| Event::Consumed { request_id: "REQ", took_ms: 7, success };
        let found: Vec<_> = entries(&body).map(|entry| (entry.at_ms, entry.group, entry.event)).collect();
        let expected = [
            (Some(1_700_000_000_000), Some("P"), sent(true)),
            (Some(1_700_000_000_000), Some("P"), sent(false)),
            (Some(1_700_000_000_001), Some("G"), Event::Received { request_id: "REQ", retries: 2 }),
            (Some(1_700_000_000_008), None, consumed(true)),
            (None, None, consumed(false)),
            (
                Some(1_700_000_000_009),
                Some("P"),
                Event::Decided { topic: "orders", state: "COMMIT_MESSAGE", from_check: false },
            ),
        ];
        assert_eq!(found, expected);
        assert!(entries(&body).all(|entry| entry.message_id == "ID"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(Pub|SubBefore|SubAfter|EndTransaction|\u{1}|\u{2}|[0-9a-z]){0,40}") {
            let _ = entries(&text).count();
        }
    }
}
