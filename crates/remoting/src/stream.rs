//! A socket, plaintext until its first byte says TLS.

use std::io::{self, BufRead as _, IoSlice, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::{IoState, ServerConfig, ServerConnection};
use tokio::net::TcpStream;

use crate::limits::READ_BYTES;

pub(crate) struct Stream {
    socket: TcpStream,
    session: Option<Box<ServerConnection>>,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Stream { socket, session: None }
    }

    /// From here on everything is encrypted, and what was read already was.
    pub(crate) fn start_tls(&mut self, config: Arc<ServerConfig>, read: &mut BytesMut) -> io::Result<()> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let session = self.session.insert(Box::new(session));
        let encrypted = std::mem::take(read);
        decrypt(session, &self.socket, &encrypted, read)?;
        Ok(())
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Appends what has come; 0 bytes are the end. `WouldBlock` when there is nothing, or only a part of a TLS record.
    pub(crate) fn try_read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        let Some(session) = &mut self.session else {
            into.reserve(READ_BYTES);
            return self.socket.try_read_buf(into);
        };
        let before = into.len();
        let mut encrypted = BytesMut::with_capacity(READ_BYTES);
        loop {
            if self.socket.try_read_buf(&mut encrypted)? == 0 {
                return Ok(0);
            }
            let state = decrypt(session, &self.socket, &encrypted, into)?;
            // Nothing decrypted stays behind in the session: the socket alone says when there is more.
            if into.len() > before || state.peer_has_closed() {
                return Ok(into.len() - before);
            }
            encrypted.clear();
        }
    }

    /// Whether something is encrypted and not yet sent.
    pub(crate) fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Takes what fits; `WouldBlock` when nothing does.
    pub(crate) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.socket.try_write_vectored(slices) };
        send(session, &self.socket)?;
        let taken = session.writer().write_vectored(slices)?;
        match send(session, &self.socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what is encrypted; `WouldBlock` when some of it has to stay.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        self.session.as_mut().map_or(Ok(()), |session| send(session, &self.socket))
    }

    /// Says that this is the end, where that has to be said, and does not wait for it.
    pub(crate) fn close(&mut self) {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
            let _ = send(session, &self.socket);
        }
    }
}

/// Appends what came encrypted, and lets the session answer what is its own.
fn decrypt(
    session: &mut ServerConnection,
    socket: &TcpStream,
    mut encrypted: &[u8],
    into: &mut BytesMut,
) -> io::Result<IoState> {
    loop {
        let taken = session.read_tls(&mut encrypted)?;
        let state = session.process_new_packets().map_err(|error| {
            // The peer is told why, if it listens.
            let _ = send(session, socket);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        let mut reader = session.reader();
        while let Some(bytes) = reader.fill_buf().ok().filter(|bytes| !bytes.is_empty()) {
            into.extend_from_slice(bytes);
            let taken = bytes.len();
            reader.consume(taken);
        }
        if encrypted.is_empty() || taken == 0 {
            return Ok(state);
        }
    }
}

fn send(session: &mut ServerConnection, socket: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(&mut Socket(socket))?;
    }
    Ok(())
}

/// A socket for those who neither wait nor know of readiness.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
