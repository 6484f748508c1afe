//! What waits to be written to a socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use protocol::code::{self, Code};
use protocol::frame::{FLAG_RESPONSE, Head, encode_head};
use protocol::header::FieldWriter;
use protocol::limits::{FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use protocol::{Encoding, Frame};

use crate::Response;
use crate::stream::Stream;

/// Pieces of a body up to this size are copied behind their header: one piece is cheaper to write than two.
const COPY_BYTES_MAX: usize = 1024;

/// Bytes of a body that fit a frame whatever its header.
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES_MAX;

/// Pieces handed to one vectored write; the kernel takes at most 1,024.
const SLICES_MAX: usize = 64;

/// Where an answer belongs.
#[derive(Debug, Clone, Copy)]
pub struct ReplyTo {
    opaque: i32,
    encoding: Encoding,
    oneway: bool,
}

impl ReplyTo {
    pub(crate) fn new(request: &Frame) -> ReplyTo {
        ReplyTo { opaque: request.opaque, encoding: request.encoding, oneway: request.is_oneway() }
    }
}

/// Encoded frames in the order in which they will be written. Log slices are kept as they are, headers share a buffer.
#[derive(Debug, Default)]
pub struct Outbox {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    chunk_bytes: usize,
}

impl Outbox {
    /// Encodes an answer without a body. Nothing is written for a oneway request.
    pub fn reply(&mut self, to: ReplyTo, code: Code, remark: Option<&str>, fields: impl FnOnce(&mut FieldWriter<'_>)) {
        if !to.oneway {
            let head = Head { code: code.0, opaque: to.opaque, flag: FLAG_RESPONSE, remark };
            encode_head(to.encoding, &head, fields, 0, &mut self.tail);
        }
    }

    /// Lets the caller append a whole frame, as he has the opaque, which is for requests in JSON only. False if he did not:
    /// then [`Outbox::reply`] does it for him.
    pub fn reply_json(&mut self, to: ReplyTo, encode: impl FnOnce(i32, &mut BytesMut) -> bool) -> bool {
        to.oneway || to.encoding == Encoding::Json && encode(to.opaque, &mut self.tail)
    }

    pub(crate) fn response(&mut self, to: ReplyTo, response: Response) {
        if to.oneway {
            return;
        }
        let body_bytes: usize = response.body.iter().map(Bytes::len).sum();
        if body_bytes > BODY_BYTES_MAX {
            // The peer would close the connection and never learn why.
            let remark = format!("the answer has {body_bytes} bytes, more than the {BODY_BYTES_MAX} that fit a frame");
            return self.response(to, Response::error(code::SYSTEM_ERROR, remark));
        }
        let head =
            Head { code: response.code.0, opaque: to.opaque, flag: FLAG_RESPONSE, remark: response.remark.as_deref() };
        let fields = |out: &mut FieldWriter<'_>| response.fields.iter().for_each(|(name, value)| out.text(name, value));
        encode_head(to.encoding, &head, fields, body_bytes, &mut self.tail);
        for piece in response.body {
            self.piece(piece);
        }
    }

    pub(crate) fn request(&mut self, frame: &Frame, opaque: i32) {
        let head = Head { code: frame.code, opaque, flag: frame.flag, remark: frame.remark.as_deref() };
        let fields = |out: &mut FieldWriter<'_>| frame.fields.iter().for_each(|(name, value)| out.text(name, value));
        encode_head(frame.encoding, &head, fields, frame.body.len(), &mut self.tail);
        self.piece(frame.body.clone());
    }

    fn piece(&mut self, piece: Bytes) {
        if piece.len() <= COPY_BYTES_MAX {
            self.tail.extend_from_slice(&piece);
            return;
        }
        self.seal();
        self.push(piece);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.push(tail);
        }
    }

    fn push(&mut self, chunk: Bytes) {
        self.chunk_bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    pub(crate) fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Writes what the socket takes now; `WouldBlock` when it takes nothing.
    pub(crate) fn try_write(&mut self, stream: &mut Stream) -> io::Result<()> {
        self.seal();
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.chunks.len().min(SLICES_MAX);
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
            }
            match stream.try_write_vectored(&slices[..count])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.written(written),
            }
        }
        stream.try_flush()
    }

    fn written(&mut self, mut bytes: usize) {
        self.chunk_bytes -= bytes;
        while let Some(first) = self.chunks.front_mut() {
            if bytes < first.len() {
                first.advance(bytes);
                return;
            }
            bytes -= first.len();
            self.chunks.pop_front();
        }
    }
}
