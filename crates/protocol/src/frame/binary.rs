//! The `ROCKETMQ` header.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | code, signed |
//! | 1 | language |
//! | 2 | version, signed |
//! | 4 | opaque |
//! | 4 | flag |
//! | 4 + n | remark, length 0 = none |
//! | 4 + n | fields: repeated (2 + key, 4 + value) |
//!
//! Source: `RocketMQSerializable`.

use bytes::{BufMut, BytesMut};

use super::{Frame, FrameError, Head, OURS};
use crate::fields::{FieldWriter, Fields};
use crate::peer::Language;

pub(super) fn encode(head: &Head<'_>, fields: impl FnOnce(&mut FieldWriter<'_>), out: &mut BytesMut) {
    out.put_i16(head.code as i16);
    out.put_u8(OURS.0.0);
    out.put_i16(OURS.1 as i16);
    out.put_i32(head.opaque);
    out.put_i32(head.flag);
    let remark = head.remark.unwrap_or_default();
    out.put_u32(remark.len() as u32);
    out.put_slice(remark.as_bytes());
    let start = out.len();
    out.put_u32(0);
    fields(&mut FieldWriter::binary(out));
    let bytes = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
}

pub(super) fn decode(header: &[u8]) -> Result<Frame, FrameError> {
    let mut reader = Reader(header);
    let code = i32::from(reader.i16()?);
    let language = Language(reader.take(1)?[0]);
    let version = i32::from(reader.i16()?);
    let opaque = reader.i32()?;
    let flag = reader.i32()?;
    let remark_bytes = reader.i32()?;
    let remark = match reader.text(remark_bytes)? {
        "" => None,
        text => Some(text.to_owned()),
    };
    let fields_bytes = reader.length()?;
    let mut pairs = Reader(reader.take(fields_bytes)?);
    let mut fields = Fields::with_capacity(fields_bytes);
    while !pairs.0.is_empty() {
        let key_bytes = i32::from(pairs.i16()?);
        let key = pairs.text(key_bytes)?;
        let value_bytes = pairs.i32()?;
        fields.push(key, pairs.text(value_bytes)?);
    }
    Ok(Frame { code, language, version, opaque, flag, remark, fields, ..Frame::default() })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], FrameError> {
        let (head, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| FrameError::Header(format!("{bytes} bytes wanted where {} are left", self.0.len())))?;
        self.0 = rest;
        Ok(head)
    }

    fn i16(&mut self) -> Result<i16, FrameError> {
        self.take(2).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn i32(&mut self) -> Result<i32, FrameError> {
        self.take(4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn length(&mut self) -> Result<usize, FrameError> {
        let length = self.i32()?;
        usize::try_from(length).map_err(|_| FrameError::Header(format!("negative length {length}")))
    }

    fn text(&mut self, bytes: i32) -> Result<&'a str, FrameError> {
        let bytes = usize::try_from(bytes).map_err(|_| FrameError::Header(format!("negative length {bytes}")))?;
        std::str::from_utf8(self.take(bytes)?).map_err(|error| FrameError::Header(error.to_string()))
    }
}
