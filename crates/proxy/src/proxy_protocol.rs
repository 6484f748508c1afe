//! The PROXY protocol: a balancer in front says, before anything else, whose connection it is.
//!
//! Source: "The PROXY protocol", versions 1 and 2, by HAProxy.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A line of version 1, its end included.
const LINE_BYTES_MAX: usize = 107;

/// Pause before another look, where the first bytes came one by one.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Reads the header, if there is one, and leaves what is behind it. The answer is the client's address, if the header
/// tells one.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut seen = [0; V2.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let seen = &seen[..count];
        // "PRI", with which HTTP/2 begins, differs from both in its third byte, TLS in its first.
        match [V1, V2].into_iter().find(|sign| sign.starts_with(&seen[..count.min(sign.len())])) {
            None => return Ok(None),
            Some(_) if count == 0 => return Ok(None),
            Some(sign) if count < sign.len() => tokio::time::sleep(LOOK_AGAIN).await,
            Some(V1) => return read_v1(stream).await,
            Some(_) => return read_v2(stream).await,
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("PROXY protocol: {what}"))
}

async fn read_v1(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_BYTES_MAX {
            return Err(broken("the line does not end"));
        }
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).map_err(|_| broken("the line is no text"))?;
    parse_v1(text).ok_or_else(|| broken("the line is not readable"))
}

/// `PROXY TCP4 <source> <destination> <source port> <destination port>`, or `PROXY UNKNOWN` and anything.
fn parse_v1(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.trim_end().split(' ').skip(1);
    match words.next()? {
        "UNKNOWN" => Some(None),
        "TCP4" | "TCP6" => {
            let ip: IpAddr = words.next()?.parse().ok()?;
            let port = words.nth(1)?.parse().ok()?;
            Some(Some(SocketAddr::new(ip, port)))
        }
        _ => None,
    }
}

async fn read_v2(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let length = u16::from_be_bytes([head[14], head[15]]);
    let mut rest = vec![0; usize::from(length)];
    stream.read_exact(&mut rest).await?;
    parse_v2(head[12], head[13], &rest).ok_or_else(|| broken("the header is not readable"))
}

/// | byte | |
/// |---|---|
/// | 12 | version 2 above, command below: 0 the balancer's own connection, 1 a client's |
/// | 13 | family above: 1 IPv4, 2 IPv6 |
/// | 14 | length of the rest: source, destination, their ports, more that is not read |
fn parse_v2(version_command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match (version_command, family >> 4) {
        (0x20, _) | (0x21, 0 | 3) => Some(None),
        (0x21, 1) => {
            let ip: [u8; 4] = *rest.first_chunk()?;
            let port = u16::from_be_bytes(*rest.get(8..)?.first_chunk()?);
            Some(Some(SocketAddr::from((ip, port))))
        }
        (0x21, 2) => {
            let ip: [u8; 16] = *rest.first_chunk()?;
            let port = u16::from_be_bytes(*rest.get(32..)?.first_chunk()?);
            Some(Some(SocketAddr::from((Ipv6Addr::from(ip), port))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// What is read of these bytes, sent one by one, and what is left of them.
    async fn check(sent: &[u8], address: Result<Option<&str>, ()>, left: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let writing = async {
            for byte in sent {
                // The other side may have given up.
                let _ = client.write_all(&[*byte]).await;
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
        };
        let reading = async {
            let read = read(&mut stream).await;
            let mut rest = Vec::new();
            if read.is_ok() {
                stream.read_to_end(&mut rest).await.unwrap();
            }
            (read, rest)
        };
        let ((), (read, rest)) = tokio::join!(writing, reading);
        let wanted = address.map(|address| address.map(|address| address.parse().unwrap()));
        assert_eq!(read.map_err(drop), wanted, "{}", sent.escape_ascii());
        assert_eq!(rest, left, "{}", sent.escape_ascii());
    }

    fn v2(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [V2, &[version_command, family], &(rest.len() as u16).to_be_bytes(), rest, b"PRI *"].concat()
    }

    #[tokio::test]
    async fn headers_of_both_versions_are_read() {
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 8081\r\nPRI *", Ok(Some("192.0.2.1:4000")), b"PRI *").await;
        check(b"PROXY TCP6 2001:db8::1 ::1 4000 8081\r\nx", Ok(Some("[2001:db8::1]:4000")), b"x").await;
        check(b"PROXY UNKNOWN\r\nx", Ok(None), b"x").await;
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0x0f, 0xa0, 0, 80];
        check(&v2(0x21, 0x11, &[&four[..], b"\x04\0\x01x"].concat()), Ok(Some("192.0.2.1:4000")), b"PRI *").await;
        let six = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 16], &[0x0f, 0xa0, 0, 80]].concat();
        check(&v2(0x21, 0x21, &six), Ok(Some("[::1]:4000")), b"PRI *").await;
        check(&v2(0x20, 0, b""), Ok(None), b"PRI *").await;
    }

    #[tokio::test]
    async fn other_connections_are_left_alone_and_broken_headers_refused() {
        check(b"PRI * HTTP/2.0", Ok(None), b"PRI * HTTP/2.0").await;
        check(b"\x16\x03\x01", Ok(None), b"\x16\x03\x01").await;
        check(b"", Ok(None), b"").await;
        check(b"PROXY TCP4 here there 1 2\r\n", Err(()), b"").await;
        check(&[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(), Err(()), b"").await;
        check(&v2(0x31, 0x11, b""), Err(()), b"").await;
        check(&v2(0x21, 0x11, &[1, 2]), Err(()), b"").await;
    }
}
