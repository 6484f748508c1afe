//! Reading answers without parsing them.
//!
//! An answer's length, code and opaque are all that most of them are looked at for. Both servers write the members of
//! a JSON header in alphabetical order and always in the same shape, so the code stands at the front and the opaque
//! at the same distance from the end as in the answer before. What looks different is decoded by the book.

use bytes::BytesMut;
use protocol::Frame;
use protocol::limits::FRAME_BYTES_MAX;

/// One answer, in the buffer it was read to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) code: i32,
    pub(crate) opaque: i32,
    header: &'a [u8],
    binary: bool,
    pub(crate) body: &'a [u8],
}

/// What is at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned<'a> {
    /// An answer of so many bytes.
    Reply(Reply<'a>, usize),
    /// More bytes are needed: so many in all, as far as that is known.
    Incomplete(usize),
    /// No frame; the connection is of no more use.
    Nonsense,
}

/// Remembers where the opaque was.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    from_end: usize,
}

const CODE: &[u8] = b"{\"code\":";
const OPAQUE: &[u8] = b"\"opaque\":";

impl Scanner {
    pub(crate) fn scan<'a>(&mut self, bytes: &'a [u8]) -> Scanned<'a> {
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Scanned::Incomplete(8) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(4..=FRAME_BYTES_MAX - 4).contains(&length) {
            return Scanned::Nonsense;
        }
        let Some(frame) = rest.get(..length) else { return Scanned::Incomplete(4 + length) };
        let (mark, frame) = frame.split_first_chunk::<4>().expect("the length is at least 4");
        let header_bytes = u32::from_be_bytes([0, mark[1], mark[2], mark[3]]) as usize;
        let Some((header, body)) = frame.split_at_checked(header_bytes) else { return Scanned::Nonsense };
        let (binary, found) = match mark[0] {
            0 => (false, self.json(header)),
            1 => (true, binary(header)),
            _ => return Scanned::Nonsense,
        };
        match found.or_else(|| by_the_book(&bytes[..4 + length])) {
            Some((code, opaque)) => Scanned::Reply(Reply { code, opaque, header, binary, body }, 4 + length),
            None => Scanned::Nonsense,
        }
    }

    fn json(&mut self, header: &[u8]) -> Option<(i32, i32)> {
        let code = int(header.strip_prefix(CODE)?)?;
        let hint = header.len().wrapping_sub(self.from_end);
        if !header.get(hint..).is_some_and(|at| at.starts_with(OPAQUE)) {
            // Inside a string the quotes would be escaped, so a match is a member; one of `extFields` has a string
            // as its value, which `int` refuses.
            let at = header.windows(OPAQUE.len()).rposition(|window| window == OPAQUE)?;
            self.from_end = header.len() - at;
        }
        let opaque = int(&header[header.len() - self.from_end + OPAQUE.len()..])?;
        Some((code, opaque))
    }
}

impl Reply<'_> {
    /// A number of the custom header.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        long(self.value(name)?)
    }

    /// A text of the custom header that has nothing in it which JSON would escape.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.value(name)?;
        let end = if self.binary { value.len() } else { value.iter().position(|byte| *byte == b'"')? };
        std::str::from_utf8(&value[..end]).ok()
    }

    /// The value of a member, and in JSON what follows it.
    fn value(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        // The name is wrapped in quotes, or its length stands before it: neither can be part of a longer name.
        let mut from = 0;
        loop {
            let at = from + self.header[from..].windows(name.len()).position(|window| window == name)?;
            let (before, after) = (&self.header[..at], &self.header[at + name.len()..]);
            let value = match self.binary {
                true => before.ends_with(&(name.len() as u16).to_be_bytes()).then(|| binary_value(after)).flatten(),
                false => before.ends_with(b"\"").then(|| after.strip_prefix(b"\":\"")).flatten(),
            };
            if value.is_some() {
                return value;
            }
            from = at + 1;
        }
    }

    /// What the server says in words, for a report of trouble.
    #[cfg(test)]
    pub(crate) fn header(&self) -> &[u8] {
        self.header
    }
}

fn binary(header: &[u8]) -> Option<(i32, i32)> {
    let code = i16::from_be_bytes(*header.first_chunk()?);
    let opaque = i32::from_be_bytes(*header.get(5..)?.first_chunk()?);
    Some((code.into(), opaque))
}

fn binary_value(after: &[u8]) -> Option<&[u8]> {
    let (length, rest) = after.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

fn by_the_book(frame: &[u8]) -> Option<(i32, i32)> {
    let frame = Frame::decode(&mut BytesMut::from(frame)).ok()??;
    Some((frame.code, frame.opaque))
}

fn int(text: &[u8]) -> Option<i32> {
    long(text)?.try_into().ok()
}

/// The number at the front of a text; `None` without a digit.
fn long(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=18).contains(&count) {
        return None;
    }
    let value = digits[..count].iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// Counts the records of a pull's body and adds nothing up wrongly: `None` when their sizes do not fill it.
pub(crate) fn count_records(body: &[u8]) -> Option<u64> {
    let mut rest = body;
    let mut count = 0;
    while let Some(size) = rest.first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        if size < 91 {
            return None;
        }
        rest = rest.get(size..)?;
        count += 1;
    }
    rest.is_empty().then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use proptest::prelude::*;
    use protocol::request::{PullMessageReply, SendMessageReply};
    use protocol::{Encoding, Fields, Header};

    fn answer<'a>(encoding: Encoding, opaque: i32, remark: Option<&str>, header: &impl Header<'a>) -> BytesMut {
        let frame = Frame {
            encoding,
            flag: 1,
            remark: remark.map(Into::into),
            body: (&b"body"[..]).into(),
            ..Frame::request(19, header)
        };
        let mut bytes = BytesMut::new();
        frame.encode(opaque, &mut bytes);
        bytes
    }

    fn pulled(next: i64) -> PullMessageReply {
        PullMessageReply {
            suggest_which_broker_id: 0,
            next_begin_offset: next,
            min_offset: 5,
            max_offset: i64::from(u32::MAX),
            topic_sys_flag: Some(0),
            group_sys_flag: None,
            forbidden_type: None,
        }
    }

    #[test]
    fn answers_in_both_encodings_are_read() {
        let mut scanner = Scanner::default();
        for encoding in [Encoding::Json, Encoding::Binary] {
            for (opaque, remark) in [(1_000_000_007, None), (1_999_999_999, Some("\"opaque\":5 FOUND")), (-3, None)] {
                let bytes = answer(encoding, opaque, remark, &pulled(1234));
                let Scanned::Reply(reply, length) = scanner.scan(&bytes) else { panic!("{bytes:?}") };
                assert_eq!((reply.code, reply.opaque, length), (19, opaque, bytes.len()));
                assert_eq!(reply.body, b"body");
                assert_eq!(reply.number("nextBeginOffset"), Some(1234));
                assert_eq!(reply.number("maxOffset"), Some(i64::from(u32::MAX)));
                assert_eq!(reply.number("Offset"), None);
                assert!(!reply.header().is_empty());
            }
        }
    }

    #[test]
    fn what_java_writes_is_read() {
        // As written by a Java broker of release 5.5.0 for a send.
        let header = br#"{"code":0,"extFields":{"queueId":"1","TRACE_ON":"true","MSG_REGION":"DefaultRegion","msgId":"7F00000100002A9F0000000000000000","queueOffset":"0"},"flag":1,"language":"JAVA","opaque":1000000001,"serializeTypeCurrentRPC":"JSON","version":513}"#;
        check_json(header, Some((0, 1_000_000_001)));
        check_json(br#"{ "opaque": 7, 'code' : "5" }"#, Some((5, 7)));
        check_json(br#"{"code":1,"extFields":{"opaque":"3"},"flag":1,"opaque":8}"#, Some((1, 8)));
        check_json(br#"{"code":1,"opaque":8,"zz":{"opaque":"3"}}"#, Some((1, 8)));
        check_json(b"{", None);
    }

    #[track_caller]
    fn check_json(header: &[u8], wanted: Option<(i32, i32)>) {
        let mut bytes = BytesMut::new();
        bytes.put_u32(4 + header.len() as u32);
        bytes.put_u32(header.len() as u32);
        bytes.put_slice(header);
        match Scanner::default().scan(&bytes) {
            Scanned::Reply(reply, _) => assert_eq!(Some((reply.code, reply.opaque)), wanted),
            other => assert_eq!(wanted, None, "{other:?}"),
        }
    }

    #[test]
    fn every_cut_asks_for_more() {
        let bytes = answer(Encoding::Json, 1_000_000_000, None, &pulled(1));
        for cut in 0..bytes.len() {
            let wanted = if cut < 4 { 8 } else { bytes.len() };
            assert_eq!(Scanner::default().scan(&bytes[..cut]), Scanned::Incomplete(wanted), "cut at {cut}");
        }
    }

    #[test]
    fn records_are_counted_only_when_they_fill_the_body() {
        let mut body = Vec::new();
        for size in [91u32, 120] {
            body.extend_from_slice(&size.to_be_bytes());
            body.resize(body.len() + size as usize - 4, 0);
        }
        assert_eq!(count_records(&body), Some(2));
        assert_eq!(count_records(&body[..210]), None);
        assert_eq!(count_records(&body[..93]), None);
        assert_eq!(count_records(&[]), Some(0));
        assert_eq!(count_records(&[0; 4]), None);
    }

    proptest! {
        #[test]
        fn the_scanner_agrees_with_the_codec(
            code in 0..32_000i32, opaque: i32, binary: bool, body: Vec<u8>,
            remark in proptest::option::of(".{0,30}"), id in "[\"\\\\a-z:]{0,20}", offset in 0..i64::MAX / 10,
        ) {
            let reply = SendMessageReply {
            recall_handle: None,
                msg_id: &id, queue_id: 3, queue_offset: offset, transaction_id: None, msg_region: None, trace_on: None,
            };
            let encoding = if binary { Encoding::Binary } else { Encoding::Json };
            let frame =
                Frame { code, remark, encoding, body: body.into(), fields: Fields::of(&reply), ..Frame::default() };
            let mut bytes = BytesMut::new();
            frame.encode(opaque, &mut bytes);
            bytes.put_slice(b"next");
            let mut scanner = Scanner::default();
            // Twice: without and with the memory of where things were.
            for _ in 0..2 {
                let Scanned::Reply(reply, length) = scanner.scan(&bytes) else { panic!("{bytes:?}") };
                prop_assert_eq!((reply.code, reply.opaque, length), (code, opaque, bytes.len() - 4));
                prop_assert_eq!(reply.body, &frame.body[..]);
                prop_assert_eq!(reply.number("queueOffset"), Some(offset).filter(|offset| *offset < 1_000_000_000_000_000_000));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, json: bool) {
            let mut framed = BytesMut::new();
            framed.put_u32(4 + bytes.len() as u32);
            let mark = if json { 0 } else { 1 << 24 };
            framed.put_u32(mark | (bytes.len() as u32 / 2));
            framed.put_slice(&bytes);
            if let Scanned::Reply(reply, _) = Scanner::default().scan(&framed) {
                let _ = (reply.number("queueOffset"), count_records(reply.body));
            }
            let _ = Scanner::default().scan(&bytes);
        }
    }
}
