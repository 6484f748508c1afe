//! The remoting frame: a length, a header in JSON or in binary, a body.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 4 | length | bytes that follow this field |
//! | 4 | mark | high 8 bits: encoding of the header (0 JSON, 1 binary); low 24 bits: length of the header |
//! | n | header | code, opaque, flag, remark, fields |
//! | rest | body | absent when nothing is left |
//!
//! Source: `RemotingCommand`, `NettyDecoder`, `RocketMQSerializable`.

mod binary;
mod quick;
mod text;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::fields::{FieldWriter, Fields};
use crate::header::Header;
use crate::limits::{FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use crate::peer::{Language, VERSION};

/// Flag bit of a response.
pub const FLAG_RESPONSE: i32 = 1;
/// Flag bit of a request that wants no answer, not even an error.
pub const FLAG_ONEWAY: i32 = 2;

/// How a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// JSON text, what clients send by default.
    #[default]
    Json,
    /// The `ROCKETMQ` form. Its code has 16 bits, so codes above 32,767 cannot travel in it.
    Binary,
}

/// One decoded request or response.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Request code, or response code when [`Frame::is_response`].
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Release of the sender as an `MQVersion` ordinal.
    pub version: i32,
    /// Number chosen by the requester; the response repeats it.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Text for humans, mostly on errors.
    pub remark: Option<String>,
    /// The custom header, flattened.
    pub fields: Fields,
    /// How the header was written; answers use the same.
    pub encoding: Encoding,
    /// What follows the header; empty when absent.
    pub body: Bytes,
}

/// Why bytes are not a frame. The connection cannot be used any further.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length field is negative, too small or too large.
    #[error("frame length {0} is not between 4 and {max}", max = FRAME_BYTES_MAX - 4)]
    Length(i32),
    /// The header claims more bytes than the frame has, or more than we accept.
    #[error("header length {header} does not fit a frame of {frame} bytes or the limit of {HEADER_BYTES_MAX}")]
    HeaderLength {
        /// What the mark claims.
        header: usize,
        /// Length of the frame.
        frame: usize,
    },
    /// Neither JSON (0) nor binary (1).
    #[error("unknown header encoding {0}")]
    Encoding(u8),
    /// The header's bytes make no sense.
    #[error("header: {0}")]
    Header(String),
}

impl Frame {
    /// Takes one frame from the front of `buffer`, or `None` until enough bytes have come.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(length) = buffer.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes)) else { return Ok(None) };
        if length < 4 || length as usize > FRAME_BYTES_MAX - 4 {
            return Err(FrameError::Length(length));
        }
        let length = length as usize;
        // The mark is checked as soon as it is here, so that nonsense is refused before its body is collected.
        if let Some(mark) = buffer.get(4..8) {
            check_mark(mark, length)?;
        }
        if buffer.len() < 4 + length {
            return Ok(None);
        }
        let (encoding, header_bytes) = check_mark(&buffer[4..8], length)?;
        let header = &buffer[8..8 + header_bytes];
        let mut frame = match encoding {
            Encoding::Json => text::decode(header)?,
            Encoding::Binary => binary::decode(header)?,
        };
        frame.encoding = encoding;
        buffer.advance(8 + header_bytes);
        let body_bytes = length - 4 - header_bytes;
        if body_bytes > 0 {
            frame.body = buffer.split_to(body_bytes).freeze();
        }
        Ok(Some(frame))
    }

    /// A request with a typed header and no body.
    pub fn request<'a>(code: i32, header: &impl Header<'a>) -> Frame {
        Frame { code, fields: Fields::of(header), ..Frame::default() }
    }

    /// The same frame with a body.
    pub fn with_body(self, body: impl Into<Bytes>) -> Frame {
        Frame { body: body.into(), ..self }
    }

    /// Whether this answers a request of ours.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether the requester wants no answer.
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// Reads the custom header.
    pub fn header<'a, H: Header<'a>>(&'a self) -> Result<H, crate::HeaderError> {
        H::decode(&self.fields)
    }

    /// Appends the frame, its body included, under the given number.
    pub fn encode(&self, opaque: i32, out: &mut BytesMut) {
        let head = Head { code: self.code, opaque, flag: self.flag, remark: self.remark.as_deref() };
        encode_head(self.encoding, &head, |fields| self.fields.write(fields), self.body.len(), out);
        out.put_slice(&self.body);
    }
}

/// The fixed part of a header to be written.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Request or response code.
    pub code: i32,
    /// Number of the request.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Text for humans.
    pub remark: Option<&'a str>,
}

/// Appends length, mark and header of a frame whose body of `body_bytes` the caller writes behind it.
pub fn encode_head(
    encoding: Encoding,
    head: &Head<'_>,
    fields: impl FnOnce(&mut FieldWriter<'_>),
    body_bytes: usize,
    out: &mut BytesMut,
) {
    let start = out.len();
    out.put_u64(0);
    let tag = match encoding {
        Encoding::Json => {
            text::encode(head, fields, out);
            0u32
        }
        Encoding::Binary => {
            binary::encode(head, fields, out);
            1u32
        }
    };
    let header_bytes = out.len() - start - 8;
    let length = (4 + header_bytes + body_bytes) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&((tag << 24) | header_bytes as u32).to_be_bytes());
}

fn check_mark(mark: &[u8], length: usize) -> Result<(Encoding, usize), FrameError> {
    let encoding = match mark[0] {
        0 => Encoding::Json,
        1 => Encoding::Binary,
        other => return Err(FrameError::Encoding(other)),
    };
    let header = u32::from_be_bytes([0, mark[1], mark[2], mark[3]]) as usize;
    if header > length - 4 || header > HEADER_BYTES_MAX {
        return Err(FrameError::HeaderLength { header, frame: length });
    }
    Ok((encoding, header))
}

/// Language and version every frame of ours carries.
const OURS: (Language, i32) = (Language::JAVA, VERSION);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(frame: &Frame) -> Frame {
        let mut bytes = BytesMut::new();
        frame.encode(frame.opaque, &mut bytes);
        let decoded = Frame::decode(&mut bytes).expect("decodes").expect("is whole");
        assert!(bytes.is_empty());
        decoded
    }

    fn sample(encoding: Encoding) -> Frame {
        let mut fields = Fields::default();
        fields.push("topic", "TopicTest");
        fields.push("i", "KEYS\u{1}k \"1\"\u{2}TAGS\u{1}\\日本\u{2}");
        Frame {
            code: 310,
            opaque: -7,
            flag: FLAG_ONEWAY,
            remark: Some("line\nbreak".into()),
            fields,
            encoding,
            body: Bytes::from_static(b"hello"),
            ..Frame::default()
        }
    }

    #[test]
    fn both_encodings_keep_everything() {
        for encoding in [Encoding::Json, Encoding::Binary] {
            let (frame, decoded) = (sample(encoding), round_trip(&sample(encoding)));
            assert_eq!((decoded.code, decoded.opaque, decoded.flag), (310, -7, FLAG_ONEWAY));
            assert_eq!(decoded.remark, frame.remark);
            assert_eq!(decoded.fields, frame.fields);
            assert_eq!((decoded.body, decoded.encoding), (frame.body, encoding));
            assert_eq!((decoded.language, decoded.version), OURS);
        }
    }

    #[test]
    fn the_text_of_a_java_client_decodes() {
        // As sent by the Java 5.x client for GET_ROUTEINFO_BY_TOPIC.
        let header = br#"{"code":105,"extFields":{"topic":"TopicTest"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#;
        let frame = decode_json(header).expect("decodes");
        assert_eq!((frame.code, frame.opaque, frame.version), (105, 7, 479));
        assert_eq!(frame.fields.get("topic"), Some("TopicTest"));
    }

    #[test]
    fn odd_headers_are_accepted() {
        for header in [
            r#"{"code":"105","opaque":"7"}"#,
            r#"{ 'code' : 105 , "opaque" : 7 , "extFields":null, "future":{"a":[1,{"b":null}]} }"#,
            r#"{"code":105,"opaque":7,"language":"KLINGON","extFields":{"n":5,"b":true,"z":null,"o":{"x":1}}}"#,
        ] {
            let frame = decode_json(header.as_bytes()).expect(header);
            assert_eq!((frame.code, frame.opaque), (105, 7));
        }
        let frame = decode_json(br#"{"code":1,"opaque":1,"extFields":{"n":5,"b":true,"z":null,"o":{"x":1}}}"#).unwrap();
        assert_eq!(frame.fields.get("n"), Some("5"));
        assert_eq!(frame.fields.get("b"), Some("true"));
        assert_eq!(frame.fields.get("z"), None);
        assert_eq!(frame.fields.get("o"), Some(r#"{"x":1}"#));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for header in ["", "{", "[]", r#"{"code":}"#, r#"{"code":1"#, r#"{"code":1}x"#, r#"{"a":"\u12"}"#, "\"x"] {
            assert!(decode_json(header.as_bytes()).is_err(), "{header}");
        }
        assert!(decode_json(&[b'{', 0xff, b'}']).is_err());
        let mut deep = "[".repeat(100_000);
        deep.insert_str(0, r#"{"x":"#);
        assert!(decode_json(deep.as_bytes()).is_err());
    }

    #[test]
    fn lengths_are_checked_before_anything_is_collected() {
        let decode = |bytes: &[u8]| Frame::decode(&mut BytesMut::from(bytes));
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]).unwrap_err(), FrameError::Length(-1));
        assert_eq!(decode(&[1, 0, 0, 0]).unwrap_err(), FrameError::Length(0x0100_0000));
        assert_eq!(decode(&[0, 0, 0, 9, 5, 0, 0, 0]).unwrap_err(), FrameError::Encoding(5));
        assert!(matches!(decode(&[0, 0, 0, 9, 0, 0, 0, 9]), Err(FrameError::HeaderLength { header: 9, frame: 9 })));
        assert!(matches!(decode(&[0, 0, 0]), Ok(None)));
    }

    fn decode_json(header: &[u8]) -> Result<Frame, FrameError> {
        let mut bytes = BytesMut::new();
        bytes.put_u32(4 + header.len() as u32);
        bytes.put_u32(header.len() as u32);
        bytes.put_slice(header);
        Frame::decode(&mut bytes).map(|frame| frame.expect("is whole"))
    }

    proptest! {
        #[test]
        fn any_frame_survives(
            code in 0..32_000i32, opaque: i32, binary: bool, body: Vec<u8>,
            remark in proptest::option::of(".{1,20}"),
            pairs in proptest::collection::vec(("[a-z]{1,8}", ".{1,30}"), 0..20),
        ) {
            let mut fields = Fields::default();
            for (key, value) in &pairs { fields.push(key, value); }
            let encoding = if binary { Encoding::Binary } else { Encoding::Json };
            let frame = Frame { code, opaque, remark, fields, encoding, body: body.into(), ..Frame::default() };
            let decoded = round_trip(&frame);
            prop_assert_eq!((decoded.code, decoded.opaque), (code, opaque));
            prop_assert_eq!(decoded.fields, frame.fields);
            prop_assert_eq!(decoded.remark, frame.remark);
            prop_assert_eq!(decoded.body, frame.body);
        }

        #[test]
        fn any_bytes_are_survived(mut bytes: Vec<u8>, json: bool) {
            let length = bytes.len() as u32;
            let mut framed = BytesMut::new();
            framed.put_u32(4 + length);
            framed.put_u32(if json { length } else { (1 << 24) | length });
            framed.put_slice(&bytes);
            let _ = Frame::decode(&mut framed);
            bytes.truncate(64);
            let _ = Frame::decode(&mut BytesMut::from(&bytes[..]));
        }
    }
}
