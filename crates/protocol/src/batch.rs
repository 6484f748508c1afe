//! Several messages in the body of one send.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | total size |
//! | 4 | magic, not read |
//! | 4 | CRC, not read |
//! | 4 | flag of the message |
//! | 4 + n | body |
//! | 2 + n | properties |
//!
//! Source: `MessageDecoder.encodeMessages`, `MessageExtEncoder`.

use bytes::{BufMut, BytesMut};

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// User's flag.
    pub flag: i32,
    /// Body.
    pub body: &'a [u8],
    /// See [`crate::properties`].
    pub properties: &'a str,
}

/// Why a batch cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("message {index} is cut short or malformed")]
pub struct BatchError {
    /// Which message, from 0.
    pub index: usize,
}

/// The messages of a batch. Ends after the first error.
pub fn iter(batch: &[u8]) -> impl Iterator<Item = Result<Part<'_>, BatchError>> {
    let mut rest = Some(batch);
    let mut index = 0;
    std::iter::from_fn(move || {
        let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let part = take(bytes).ok_or(BatchError { index });
        index += 1;
        Some(part.map(|(part, left)| {
            rest = Some(left);
            part
        }))
    })
}

fn take(bytes: &[u8]) -> Option<(Part<'_>, &[u8])> {
    let int = |bytes: &[u8]| Some(i32::from_be_bytes(*bytes.first_chunk()?));
    let flag = int(bytes.get(12..)?)?;
    let body_bytes = usize::try_from(int(bytes.get(16..)?)?).ok()?;
    let (body, rest) = bytes.get(20..)?.split_at_checked(body_bytes)?;
    let properties_bytes = usize::try_from(i16::from_be_bytes(*rest.first_chunk()?)).ok()?;
    let (properties, rest) = rest.get(2..)?.split_at_checked(properties_bytes)?;
    Some((Part { flag, body, properties: std::str::from_utf8(properties).ok()? }, rest))
}

/// Appends a message to a batch.
pub fn put(part: &Part<'_>, out: &mut BytesMut) {
    out.put_i32((22 + part.body.len() + part.properties.len()) as i32);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i32(part.flag);
    out.put_i32(part.body.len() as i32);
    out.put_slice(part.body);
    out.put_i16(part.properties.len() as i16);
    out.put_slice(part.properties.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_round_trip_and_every_cut_is_noticed() {
        let parts = [
            Part { flag: 1, body: b"one", properties: "a\u{1}1\u{2}" },
            Part { flag: -2, body: b"", properties: "" },
            Part { flag: 0, body: b"three", properties: "TAGS\u{1}x\u{2}" },
        ];
        let mut batch = BytesMut::new();
        let mut ends = vec![0];
        for part in &parts {
            put(part, &mut batch);
            ends.push(batch.len());
        }
        assert_eq!(iter(&batch).collect::<Result<Vec<_>, _>>().unwrap(), parts);
        for cut in 0..batch.len() {
            let result: Result<Vec<_>, _> = iter(&batch[..cut]).collect();
            assert_eq!(result.is_ok(), ends.contains(&cut), "cut at {cut}");
        }
    }
}
