//! Message ids: the offset id a broker answers with, the unique id a client makes.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// The offset message id: store host and commit log offset in upper-case hexadecimal, 32 characters (56 with IPv6).
///
/// Source: `MessageDecoder.createMessageId`.
pub fn offset_id(store_host: SocketAddr, log_offset: u64) -> String {
    OffsetId::new(store_host, log_offset).as_bytes().iter().copied().map(char::from).collect()
}

/// The text of an offset message id, without an allocation.
pub(crate) struct OffsetId {
    text: [u8; 56],
    len: usize,
}

impl OffsetId {
    pub(crate) fn new(store_host: SocketAddr, log_offset: u64) -> OffsetId {
        let mut id = OffsetId { text: [0; 56], len: 0 };
        match store_host.ip() {
            IpAddr::V4(ip) => id.put(&ip.octets()),
            IpAddr::V6(ip) => id.put(&ip.octets()),
        }
        id.put(&u32::from(store_host.port()).to_be_bytes());
        id.put(&log_offset.to_be_bytes());
        id
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        let (pairs, _) = self.text[self.len..self.len + 2 * N].as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        self.len += 2 * N;
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Store host and commit log offset of an offset message id.
pub fn parse_offset_id(id: &str) -> Option<(SocketAddr, u64)> {
    let bytes = unhex(id)?;
    let (ip, rest): (IpAddr, &[u8]) = match bytes.len() {
        16 => (<[u8; 4]>::try_from(&bytes[..4]).ok()?.into(), &bytes[4..]),
        28 => (<[u8; 16]>::try_from(&bytes[..16]).ok()?.into(), &bytes[16..]),
        _ => return None,
    };
    let port = u32::from_be_bytes(rest[..4].try_into().ok()?);
    let offset = u64::from_be_bytes(rest[4..].try_into().ok()?);
    Some((SocketAddr::new(ip, u16::try_from(port).ok()?), offset))
}

/// Makes unique ids: 16 bytes of address, process, time and a counter, in upper-case hexadecimal.
///
/// Peers compare these ids and decode a time from them only for display. Source: `MessageClientIDSetter`.
#[derive(Debug)]
pub struct UniqueIds {
    prefix: String,
    counter: AtomicU32,
}

impl UniqueIds {
    /// `seed` tells two makers of one host and process apart.
    pub fn new(ip: IpAddr, process: u32, seed: u32) -> UniqueIds {
        let mut prefix = HexText::default();
        prefix.ip(ip);
        prefix.bytes(&(process as u16).to_be_bytes());
        prefix.bytes(&seed.to_be_bytes());
        UniqueIds { prefix: prefix.0, counter: AtomicU32::new(0) }
    }

    /// The next id. `ms_of_month` is the time since the month began, in milliseconds.
    pub fn next(&self, ms_of_month: u32) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut id = HexText(String::with_capacity(self.prefix.len() + 12));
        id.0.push_str(&self.prefix);
        // The counter has 16 bits on the wire; its overflow moves the time on, so that ids stay unique at any rate.
        id.bytes(&ms_of_month.wrapping_add(count >> 16).to_be_bytes());
        id.bytes(&(count as u16).to_be_bytes());
        id.0
    }
}

#[derive(Default)]
struct HexText(String);

impl HexText {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0.push(char::from(HEX[usize::from(byte >> 4)]));
            self.0.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }

    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_round_trip() {
        let host = "127.0.0.1:10911".parse().unwrap();
        let id = offset_id(host, 0x1234);
        assert_eq!(id, "7F00000100002A9F0000000000001234");
        assert_eq!(parse_offset_id(&id), Some((host, 0x1234)));
        let host = "[::1]:10911".parse().unwrap();
        assert_eq!(parse_offset_id(&offset_id(host, 7)), Some((host, 7)));
        for bad in ["", "7F", "zz00000100002A9F0000000000001234", "7F000001FFFF2A9F0000000000001234", "日本"] {
            assert_eq!(parse_offset_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn unique_ids_differ_beyond_the_counter() {
        let ids = UniqueIds::new("10.0.0.1".parse().unwrap(), 77, 1);
        let made: std::collections::HashSet<_> = (0..70_000).map(|_| ids.next(5)).collect();
        assert_eq!(made.len(), 70_000);
        assert!(made.iter().all(|id| id.len() == 32));
    }
}
