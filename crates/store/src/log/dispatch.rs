//! Records that stand in queues of several topics: which ones, and at which offsets, is written into the record.
//!
//! ```text
//!  ... INNER_MULTI_DISPATCH \x01 topic,topic \x02 INNER_MULTI_QUEUE_OFFSET \x01 offset,offset \x02
//! ```
//!
//! Offsets have twenty digits, so that the length of a record is known before its place is, and they end the record, so
//! that they can be written when the place is known. Java reads them as any other number.
//!
//! Source: RocketMQ 5.5.0, `LmqDispatch` and `MultiDispatchUtils`.

use protocol::properties::{self, INNER_MULTI_DISPATCH, INNER_MULTI_QUEUE_OFFSET};

const OFFSET_DIGITS: usize = 20;

/// Bytes of an offset and what follows it, a comma or the end of the property.
const OFFSET_BYTES: usize = OFFSET_DIGITS + 1;

/// Topics that have one queue each.
const QUEUE_TOPICS: &str = "%LMQ%";

/// Adds both properties, the offsets as zeros.
pub(super) fn write<'a>(text: &mut String, topics: impl Iterator<Item = &'a str> + Clone) {
    let names: Vec<&str> = topics.collect();
    let zeros = "0".repeat(OFFSET_DIGITS);
    properties::push(text, INNER_MULTI_DISPATCH, &names.join(","));
    properties::push(text, INNER_MULTI_QUEUE_OFFSET, &vec![zeros.as_str(); names.len()].join(","));
}

/// Writes one offset into an encoded record, counted from the last, which is 1.
pub(super) fn stamp(record: &mut [u8], from_end: usize, mut offset: u64) {
    let begin = record.len() - from_end * OFFSET_BYTES;
    for digit in record[begin..begin + OFFSET_DIGITS].iter_mut().rev() {
        *digit = b'0' + (offset % 10) as u8;
        offset /= 10;
    }
}

/// Topics and offsets of a record. A broker that does not dispatch leaves the offsets out, and nothing counts then.
pub(crate) fn read(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let (mut topics, mut offsets) = ("", "");
    for (name, value) in properties::iter(text) {
        match name {
            INNER_MULTI_DISPATCH => topics = value,
            INNER_MULTI_QUEUE_OFFSET => offsets = value,
            _ => {}
        }
    }
    let pairs = topics.split(',').zip(offsets.split(','));
    pairs
        .filter_map(|(topic, offset)| Some((topic, offset.parse().ok()?)))
        .filter(|(topic, _)| topic.starts_with(QUEUE_TOPICS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_written_into_their_places() {
        let mut text = "a\u{1}b\u{2}".to_owned();
        write(&mut text, ["%LMQ%x", "%LMQ%y"].into_iter());
        let mut bytes = text.clone().into_bytes();
        stamp(&mut bytes, 2, 7);
        stamp(&mut bytes, 1, u64::MAX);
        assert_eq!(bytes.len(), text.len());
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(read(&text).collect::<Vec<_>>(), [("%LMQ%x", 7), ("%LMQ%y", u64::MAX)]);
    }

    #[test]
    fn a_record_without_offsets_stands_in_its_own_queue_only() {
        let mut text = String::new();
        properties::push(&mut text, INNER_MULTI_DISPATCH, "%LMQ%x");
        assert_eq!(read(&text).count(), 0);
        properties::push(&mut text, INNER_MULTI_QUEUE_OFFSET, "x");
        assert_eq!(read(&text).count(), 0);
        assert_eq!(read("").count(), 0);
    }
}
