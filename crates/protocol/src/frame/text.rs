//! The JSON header: keys in alphabetical order, every field a string.
//!
//! Reading is as tolerant as Java's: numbers and strings stand for each other, unknown members are skipped.
//! Source: `RemotingSerializable`, `RemotingCommand`.

use bytes::{BufMut, BytesMut};

use super::{Frame, FrameError, Head, OURS};
use crate::fields::{FieldWriter, Fields, put_int};
use crate::json::{ScanError, Scanner, put_string};
use crate::peer::Language;

pub(super) fn encode(head: &Head<'_>, fields: impl FnOnce(&mut FieldWriter<'_>), out: &mut BytesMut) {
    out.put_slice(b"{\"code\":");
    put_int(out, head.code.into());
    out.put_slice(b",\"extFields\":{");
    fields(&mut FieldWriter::json(out));
    out.put_slice(b"},\"flag\":");
    put_int(out, head.flag.into());
    out.put_slice(b",\"language\":\"");
    out.put_slice(OURS.0.name().unwrap_or("JAVA").as_bytes());
    out.put_slice(b"\",\"opaque\":");
    put_int(out, head.opaque.into());
    if let Some(remark) = head.remark {
        out.put_slice(b",\"remark\":");
        put_string(out, remark);
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    put_int(out, OURS.1.into());
    out.put_u8(b'}');
}

pub(super) fn decode(header: &[u8]) -> Result<Frame, FrameError> {
    let text = std::str::from_utf8(header).map_err(|error| FrameError::Header(error.to_string()))?;
    read(text).map_err(|error| FrameError::Header(error.to_string()))
}

fn read(text: &str) -> Result<Frame, ScanError> {
    let mut frame = Frame::default();
    let mut scanner = Scanner::new(text);
    let mut name = String::new();
    scanner.begin_object()?;
    while scanner.next_member()? {
        name.clear();
        scanner.string(&mut name)?;
        scanner.colon()?;
        match name.as_str() {
            "code" => frame.code = scanner.int()?,
            "version" => frame.version = scanner.int()?,
            "opaque" => frame.opaque = scanner.int()?,
            "flag" => frame.flag = scanner.int()?,
            "language" => frame.language = language(&scanner.scalar()?),
            "remark" => frame.remark = scanner.nullable()?,
            "extFields" => frame.fields = fields(&mut scanner, text.len())?,
            _ => scanner.skip_value()?,
        }
    }
    scanner.end()?;
    Ok(frame)
}

fn language(text: &str) -> Language {
    text.parse().map(Language).ok().or_else(|| Language::named(text)).unwrap_or_default()
}

fn fields(scanner: &mut Scanner<'_>, bytes_max: usize) -> Result<Fields, ScanError> {
    let mut fields = Fields::with_capacity(bytes_max);
    if scanner.null() {
        return Ok(fields);
    }
    scanner.begin_object()?;
    while scanner.next_member()? {
        let entry = fields.begin();
        scanner.string(fields.text_mut())?;
        let entry = fields.value_follows(entry);
        scanner.colon()?;
        if scanner.null() {
            fields.abandon(entry);
        } else {
            scanner.value_text(fields.text_mut())?;
            fields.finish(entry);
        }
    }
    Ok(fields)
}
