//! Bodies are compressed by clients and decompressed by clients; brokers keep them as they are.

use std::io::{self, Read};

use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use protocol::sysflag;

use crate::limits;

/// The body in zlib form, or `None` when that is not smaller.
pub(crate) fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut compressed = Vec::with_capacity(body.len() / 2);
    let mut encoder = ZlibEncoder::new(body, Compression::new(limits::COMPRESSION_LEVEL));
    encoder.read_to_end(&mut compressed).expect("compressing memory into memory does not fail");
    (compressed.len() < body.len()).then_some(compressed)
}

/// The body before its compression, whichever algorithm the system flag names.
///
/// # Errors
/// When the bytes are not what the flag claims, or become larger than a client accepts.
pub(crate) fn decompress(sys_flag: i32, body: &[u8]) -> io::Result<Vec<u8>> {
    match sys_flag & sysflag::COMPRESSION_MASK {
        sysflag::COMPRESSION_LZ4 => read_bounded(lz4_flex::frame::FrameDecoder::new(body)),
        sysflag::COMPRESSION_ZSTD => read_bounded(zstd::stream::read::Decoder::with_buffer(body)?),
        // Clients before 5.0 set no algorithm. Source: `CompressionType.findByValue`.
        0 | sysflag::COMPRESSION_ZLIB => read_bounded(ZlibDecoder::new(body)),
        other => Err(io::Error::other(format!("unknown compression {other:#x}"))),
    }
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    reader.take(limits::DECOMPRESSED_BYTES_MAX as u64 + 1).read_to_end(&mut body)?;
    if body.len() > limits::DECOMPRESSED_BYTES_MAX {
        return Err(io::Error::other(format!("more than {} bytes", limits::DECOMPRESSED_BYTES_MAX)));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text() -> Vec<u8> {
        (0..20_000u32).flat_map(|n| n.to_string().into_bytes()).collect()
    }

    fn lz4(body: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(flag: i32, compressed: &[u8]) {
        assert!(compressed.len() < text().len());
        assert_eq!(decompress(flag | sysflag::COMPRESSED, compressed).unwrap(), text());
        assert!(decompress(flag | sysflag::COMPRESSED, &compressed[..compressed.len() / 2]).is_err());
        assert!(decompress(flag | sysflag::COMPRESSED, b"no such thing").is_err());
    }

    #[test]
    fn every_algorithm_comes_back() {
        check(sysflag::COMPRESSION_ZLIB, &compress(&text()).unwrap());
        check(0, &compress(&text()).unwrap());
        check(sysflag::COMPRESSION_LZ4, &lz4(&text()));
        check(sysflag::COMPRESSION_ZSTD, &zstd::encode_all(&text()[..], 3).unwrap());
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        assert_eq!(compress(b"all of these differ"), None);
    }

    #[test]
    fn a_small_body_that_claims_to_become_huge_is_refused() {
        let zeros = vec![0; limits::DECOMPRESSED_BYTES_MAX + 1];
        let error = decompress(sysflag::COMPRESSION_ZSTD, &zstd::encode_all(&zeros[..], 1).unwrap()).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
