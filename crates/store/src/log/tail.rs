//! The newest part of the log, kept as the very memory it was written from.

use crate::limits::{CHUNK_BYTES, SPARE_CHUNKS};
use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;

/// What a small piece costs besides its bytes, roughly.
const PIECE_OVERHEAD: usize = 64;

/// Consecutive records as they were taken from a chunk. Never spans two segments, nor cuts a record.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
    /// Bytes of memory of the chunk, if this is its first piece; else 0.
    pub(crate) chunk_bytes: usize,
}

impl Piece {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// The pieces that were written last, within a budget that counts whole chunks: a small piece keeps its chunk alive.
pub(crate) struct TailCache {
    budget: usize,
    kept: RwLock<Kept>,
    /// Chunks that nobody reads any more: memory that is mapped already, for the next appends.
    spare: Mutex<Vec<BytesMut>>,
}

#[derive(Default)]
struct Kept {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl TailCache {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, kept: RwLock::default(), spare: Mutex::default() }
    }

    /// Adds what was written, and lets go of the oldest chunks.
    pub(crate) fn push(&self, pieces: impl Iterator<Item = Piece>) {
        let mut dropped: Vec<Piece> = Vec::new();
        {
            let mut kept = self.kept.write();
            for piece in pieces {
                kept.bytes += piece.chunk_bytes + PIECE_OVERHEAD;
                kept.pieces.push_back(piece);
            }
            while kept.bytes > self.budget {
                // A chunk goes as a whole, and the one in use stays.
                let next = kept.pieces.iter().skip(1).position(|piece| piece.chunk_bytes > 0);
                let Some(next) = next else { break };
                dropped.extend(kept.pieces.drain(..=next));
                kept.bytes -=
                    dropped[dropped.len() - 1 - next..].iter().map(|p| p.chunk_bytes + PIECE_OVERHEAD).sum::<usize>();
            }
        }
        self.recycle(dropped);
    }

    /// The piece that holds a byte, from that byte on.
    pub(crate) fn get(&self, offset: u64) -> Option<Bytes> {
        let kept = self.kept.read();
        let after = kept.pieces.partition_point(|piece| piece.start <= offset);
        let piece = kept.pieces.get(after.checked_sub(1)?)?;
        (offset < piece.end()).then(|| piece.bytes.slice((offset - piece.start) as usize..))
    }

    /// Memory for at least `len` bytes.
    pub(crate) fn chunk(&self, len: usize) -> BytesMut {
        if len <= CHUNK_BYTES
            && let Some(chunk) = self.spare.lock().pop()
        {
            return chunk;
        }
        BytesMut::with_capacity(len.max(CHUNK_BYTES))
    }

    fn recycle(&self, dropped: Vec<Piece>) {
        // The first piece of a chunk is its beginning; when the other pieces are gone it becomes the chunk again,
        // unless a consumer still holds a slice.
        let firsts: Vec<Bytes> =
            dropped.into_iter().filter(|piece| piece.chunk_bytes == CHUNK_BYTES).map(|piece| piece.bytes).collect();
        for first in firsts {
            if let Ok(mut chunk) = first.try_into_mut() {
                chunk.clear();
                let mut spare = self.spare.lock();
                if chunk.capacity() >= CHUNK_BYTES && spare.len() < SPARE_CHUNKS {
                    spare.push(chunk);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts a chunk into pieces as the append lock does.
    fn pieces(mut chunk: BytesMut, start: u64) -> Vec<Piece> {
        let mut chunk_bytes = chunk.capacity();
        let piece = |i| {
            chunk.extend_from_slice(&[i; 100]);
            let bytes = chunk.split().freeze();
            Piece { start: start + u64::from(i) * 100, bytes, chunk_bytes: std::mem::take(&mut chunk_bytes) }
        };
        (0..10).map(piece).collect()
    }

    #[test]
    fn chunks_leave_as_a_whole_and_their_memory_is_used_again() {
        let cache = TailCache::new(2 * CHUNK_BYTES);
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..20 {
            let chunk = cache.chunk(100);
            assert!(chunk.is_empty() && chunk.capacity() >= CHUNK_BYTES);
            seen.insert(chunk.as_ptr() as usize);
            cache.push(pieces(chunk, i * 1000).into_iter());
            assert_eq!(cache.get(i * 1000 + 950).as_deref(), Some(&[9; 50][..]));
        }
        assert!(seen.len() <= 3, "{} chunks were allocated", seen.len());
        assert_eq!((cache.get(0), cache.get(20_000)), (None, None));
    }

    #[test]
    fn a_chunk_somebody_reads_is_left_to_him() {
        let cache = TailCache::new(0);
        cache.push(pieces(cache.chunk(1), 0).into_iter());
        let slice = cache.get(150).expect("the newest chunk stays");
        (1..10).for_each(|i| cache.push(pieces(cache.chunk(1), i * 1000).into_iter()));
        assert_eq!(slice, [1; 50][..]);
    }
}
