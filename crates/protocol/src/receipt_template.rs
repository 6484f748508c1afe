//! The receipt of a send, by far the most frequent answer: everything in it but five values is the same every time.

use std::net::SocketAddr;

use bytes::BytesMut;

use crate::code::SUCCESS;
use crate::frame::{Encoding, FLAG_RESPONSE, Head, encode_head};
use crate::header::Header;
use crate::id::OffsetId;
use crate::request::SendMessageReply;

/// What differs from one receipt to the next.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptValues<'a> {
    /// Number of the request.
    pub opaque: i32,
    /// Where the broker is, as the client sees it.
    pub store_host: SocketAddr,
    /// Where the record is.
    pub log_offset: u64,
    /// Queue the message went to.
    pub queue_id: i32,
    /// Its place there.
    pub queue_offset: i64,
    /// Unique key of the message.
    pub unique_key: &'a str,
}

/// A receipt in JSON with holes for the five values.
#[derive(Debug)]
pub struct ReceiptTemplate {
    /// Before the message id, the queue, its offset, the key, the opaque, and behind that.
    parts: [Vec<u8>; 6],
    bytes: usize,
}

impl ReceiptTemplate {
    /// Receipts of a broker whose messages are stored in `region` and may be traced or not.
    pub fn new(region: &str, trace_on: bool) -> ReceiptTemplate {
        // Written the general way, with values that are found again; the text of the region comes behind the first four.
        const MARKS: [&str; 5] = ["ID-OF-THE-MESSAGE", "1234567891", "1234567892", "KEY-OF-THE-MESSAGE", "1234567893"];
        let header = SendMessageReply {
            msg_id: MARKS[0],
            queue_id: 1_234_567_891,
            queue_offset: 1_234_567_892,
            transaction_id: Some(MARKS[3]),
            msg_region: Some(region),
            trace_on: Some(if trace_on { "true" } else { "false" }),
            recall_handle: None,
        };
        let head = Head { code: SUCCESS.0, opaque: 1_234_567_893, flag: FLAG_RESPONSE, remark: None };
        let mut out = BytesMut::new();
        encode_head(Encoding::Json, &head, |fields| header.encode(fields), 0, &mut out);
        let mut rest = &out[8..];
        let mut parts: [Vec<u8>; 6] = Default::default();
        for (hole, mark) in MARKS.iter().enumerate() {
            let mut windows = rest.windows(mark.len());
            let is_mark = |window: &[u8]| window == mark.as_bytes();
            let at = if hole < 4 { windows.position(is_mark) } else { windows.rposition(is_mark) };
            let at = at.expect("the mark was written");
            parts[hole] = rest[..at].to_vec();
            rest = &rest[at + mark.len()..];
        }
        parts[5] = rest.to_vec();
        let bytes = parts.iter().map(Vec::len).sum();
        ReceiptTemplate { parts, bytes }
    }

    /// Appends a receipt as a whole frame; false, and nothing, if its key needs escapes: then it is written the general
    /// way.
    pub fn encode(&self, receipt: &ReceiptValues<'_>, out: &mut BytesMut) -> bool {
        let key = receipt.unique_key.as_bytes();
        // Without an early end, so that the compiler looks at many bytes at a time.
        if key.iter().fold(false, |odd, byte| odd | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\')) {
            return false;
        }
        let id = OffsetId::new(receipt.store_host, receipt.log_offset);
        let (mut queue_id, mut queue_offset, mut opaque) =
            (itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new());
        let values = [
            id.as_bytes(),
            queue_id.format(receipt.queue_id).as_bytes(),
            queue_offset.format(receipt.queue_offset).as_bytes(),
            key,
            opaque.format(receipt.opaque).as_bytes(),
        ];
        let header_bytes = self.bytes + values.iter().map(|value| value.len()).sum::<usize>();
        let start = out.len();
        out.resize(start + 8 + header_bytes, 0);
        let mut rest = &mut out[start..];
        let mut put = |bytes: &[u8]| {
            let (here, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            here.copy_from_slice(bytes);
            rest = behind;
        };
        put(&(4 + header_bytes as u32).to_be_bytes());
        put(&(header_bytes as u32).to_be_bytes());
        for (part, value) in self.parts.iter().zip(values) {
            put(part);
            put(value);
        }
        put(&self.parts[5]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same receipt, written the general way.
    fn generally(receipt: &ReceiptValues<'_>, region: &str, trace_on: bool) -> BytesMut {
        let header = SendMessageReply {
            msg_id: &crate::id::offset_id(receipt.store_host, receipt.log_offset),
            queue_id: receipt.queue_id,
            queue_offset: receipt.queue_offset,
            transaction_id: Some(receipt.unique_key),
            msg_region: Some(region),
            trace_on: Some(if trace_on { "true" } else { "false" }),
            recall_handle: None,
        };
        let head = Head { code: SUCCESS.0, opaque: receipt.opaque, flag: FLAG_RESPONSE, remark: None };
        let mut out = BytesMut::new();
        encode_head(Encoding::Json, &head, |fields| header.encode(fields), 0, &mut out);
        out
    }

    proptest! {
        #[test]
        fn a_receipt_is_what_the_general_way_writes(
            opaque: i32, log_offset: u64, queue_id: i32, queue_offset: i64, v6: bool, trace_on: bool,
            unique_key in "[0-9A-F]{32}|.{0,20}|[\u{1}\"\\\\\u{7f}é]{0,3}",
            region in ".{0,20}|1234567893|KEY-OF-THE-MESSAGE",
        ) {
            let store_host = if v6 { "[fe80::1]:10911" } else { "192.168.0.1:10911" }.parse().expect("an address");
            let receipt = ReceiptValues { opaque, store_host, log_offset, queue_id, queue_offset, unique_key: &unique_key };
            let mut out = BytesMut::from("before");
            if ReceiptTemplate::new(&region, trace_on).encode(&receipt, &mut out) {
                prop_assert_eq!(&out[6..], &generally(&receipt, &region, trace_on)[..]);
            } else {
                prop_assert_eq!(&out[..], b"before");
                prop_assert!(unique_key.contains(|c: char| c < ' ' || c == '"' || c == '\\'));
            }
        }
    }
}
