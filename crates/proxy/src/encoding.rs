//! Bodies that are compressed. Stored ones are in the algorithms of remoting, which its clients understand; gRPC has a
//! word for gzip only, so they cross as what they were before.
//!
//! Java passes both on as they are, and a remoting consumer then cannot read what a gRPC producer compressed.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use protocol::sysflag;

use crate::limits::DECOMPRESSED_BYTES_MAX;

/// The body of a stored message, as a gRPC client reads it without being told of any encoding.
///
/// # Errors
/// The bytes are not what the flag says, or become too large.
pub(crate) fn stored(sys_flag: i32, body: Bytes) -> io::Result<Bytes> {
    if sys_flag & sysflag::COMPRESSED == 0 {
        return Ok(body);
    }
    match sys_flag & sysflag::COMPRESSION_MASK {
        sysflag::COMPRESSION_LZ4 => read(lz4_flex::frame::FrameDecoder::new(&body[..]), DECOMPRESSED_BYTES_MAX),
        sysflag::COMPRESSION_ZSTD => read(zstd::stream::read::Decoder::with_buffer(&body[..])?, DECOMPRESSED_BYTES_MAX),
        // What a Java proxy stored for a gRPC client is gzip under the same flag. Source: RFC 1952, 2.3.1.
        _ if body.starts_with(&[0x1F, 0x8B]) => gunzip(&body, DECOMPRESSED_BYTES_MAX),
        _ => read(ZlibDecoder::new(&body[..]), DECOMPRESSED_BYTES_MAX),
    }
}

/// The body that a producer compressed.
///
/// # Errors
/// It is not gzip, or becomes larger than this.
pub(crate) fn gunzip(body: &[u8], bytes_max: usize) -> io::Result<Bytes> {
    read(MultiGzDecoder::new(body), bytes_max)
}

/// Whether an error of [`gunzip`] means that the body is too large.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

fn read(reader: impl Read, bytes_max: usize) -> io::Result<Bytes> {
    let mut body = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut body)?;
    if body.len() > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it becomes more than {bytes_max} bytes")));
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_algorithm_comes_back() {
        let text = b"the same again, ".repeat(1000);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        let zlib = zlib.finish().unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&text).unwrap();
        let lz4 = lz4.finish().unwrap();
        for (flag, body) in [
            (0, zlib.clone()),
            (sysflag::COMPRESSION_ZLIB, zlib),
            (0, gzip(&text)),
            (sysflag::COMPRESSION_LZ4, lz4),
            (sysflag::COMPRESSION_ZSTD, zstd::encode_all(&text[..], 3).unwrap()),
        ] {
            assert_eq!(stored(flag | sysflag::COMPRESSED, body.into()).unwrap(), text);
        }
        assert_eq!(stored(0, Bytes::from_static(b"plain")).unwrap(), "plain");
        assert!(stored(sysflag::COMPRESSED, Bytes::from_static(b"no such thing")).is_err());
    }

    #[test]
    fn a_small_body_that_becomes_huge_is_refused() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(is_too_large(&gunzip(&bomb, 1 << 19).unwrap_err()));
        assert!(!is_too_large(&gunzip(b"no gzip", 1 << 19).unwrap_err()));
    }
}
