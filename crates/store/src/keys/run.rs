//! A run: sorted keys in a file `keys/<from>-<to>`, both 20 digits, the part of the log it covers.
//!
//! ```text
//! keys     count * (hash 8 | log offset 8), ascending
//! fences   hash 8 of every 256th key
//! footer   magic "RMQKEYS1" 8 | count 8 | earliest 8 | latest 8 (store times, ms) | crc of fences and footer 4 | zero 4
//! ```
//!
//! Little endian. Fences stay in memory: finding a key reads the pages that may hold it, usually one.

use super::{Key, Times};
use crate::error::{Doing, Error};
use crate::io::{self, File, Io};
use std::io::Result as IoResult;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const KEY_BYTES: usize = 16;
/// A page is 4 KiB.
pub(super) const PAGE_KEYS: u64 = 256;
const FOOTER_BYTES: usize = 40;
const MAGIC: &[u8; 8] = b"RMQKEYS1";
const WRITE_BYTES: usize = 1 << 20;

pub(crate) struct Run {
    /// The run holds the keys of all records that begin in `from..to`.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) count: u64,
    pub(super) times: Times,
    pub(super) fences: Vec<u64>,
}

impl Run {
    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    /// The pages that may hold a hash.
    pub(super) fn pages(&self, hash: u64) -> std::ops::Range<u64> {
        let from = self.fences.partition_point(|fence| *fence < hash).saturating_sub(1);
        let to = self.fences.partition_point(|fence| *fence <= hash);
        from as u64..to as u64
    }

    /// Where the keys of a page lie in the file.
    pub(super) fn page(&self, page: u64) -> (u64, usize) {
        let first = page * PAGE_KEYS;
        let keys = PAGE_KEYS.min(self.count - first);
        (first * KEY_BYTES as u64, keys as usize * KEY_BYTES)
    }
}

impl Key {
    pub(super) fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let (hash, log) = bytes.split_at(8);
        Self {
            hash: u64::from_le_bytes(hash.try_into().expect("eight bytes")),
            log: u64::from_le_bytes(log.try_into().expect("eight bytes")),
        }
    }
}

/// Writes a run of sorted keys; it exists once this returns.
pub(super) fn write(
    io: &dyn Io,
    dir: &Path,
    from: u64,
    to: u64,
    times: Times,
    keys: impl Iterator<Item = IoResult<Key>>,
) -> Result<Run, Error> {
    let name = name(from, to);
    let path = dir.join(&name);
    let temporary = dir.join(format!("{name}.tmp"));
    let write = || {
        let file = io.create(&temporary)?;
        let (count, fences) = write_to(&*file, times, keys)?;
        file.sync()?;
        io.rename(&temporary, &path)?;
        io.sync_dir(dir)?;
        Ok((file, count, fences))
    };
    let (file, count, fences) = write().doing("write", &path)?;
    Ok(Run { from, to, path, file, count, times, fences })
}

fn write_to(file: &dyn File, times: Times, keys: impl Iterator<Item = IoResult<Key>>) -> IoResult<(u64, Vec<u64>)> {
    let mut fences = Vec::new();
    let mut count = 0;
    let mut at = 0;
    let mut buffer = Vec::with_capacity(WRITE_BYTES + KEY_BYTES);
    for key in keys {
        let key = key?;
        if count % PAGE_KEYS == 0 {
            fences.push(key.hash);
        }
        buffer.extend_from_slice(&key.hash.to_le_bytes());
        buffer.extend_from_slice(&key.log.to_le_bytes());
        count += 1;
        if buffer.len() >= WRITE_BYTES {
            io::write_all_synced(file, &buffer, at)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
    }
    let fences_at = buffer.len();
    fences.iter().for_each(|fence: &u64| buffer.extend_from_slice(&fence.to_le_bytes()));
    buffer.extend_from_slice(MAGIC);
    buffer.extend_from_slice(&count.to_le_bytes());
    buffer.extend_from_slice(&times.min.to_le_bytes());
    buffer.extend_from_slice(&times.max.to_le_bytes());
    let crc = crc32fast::hash(&buffer[fences_at..]);
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    io::write_all(file, &buffer, at)?;
    fences.shrink_to_fit();
    Ok((count, fences))
}

/// Opens the runs that together cover the log from `log_min` on. What is damaged, superseded by a merged run, or
/// does not fit, is deleted: the log has it all.
pub(super) fn open_all(io: &dyn Io, dir: &Path, log_min: u64) -> Result<Vec<Arc<Run>>, Error> {
    let names = io.list(dir).doing("list", dir)?;
    let mut ranges: Vec<(u64, u64)> = names.iter().filter_map(|name| range(name)).collect();
    // Of runs that begin together the longest comes first: it was merged from the others.
    ranges.sort_unstable_by_key(|&(from, to)| (from, std::cmp::Reverse(to)));
    let mut runs: Vec<Arc<Run>> = Vec::new();
    let mut kept = Vec::new();
    for (from, to) in ranges {
        let fits = match runs.last() {
            Some(last) => from == last.to,
            None => from <= log_min,
        };
        let fits = fits && to > log_min;
        if fits && let Some(run) = open(io, dir, from, to)? {
            kept.push(name(from, to));
            runs.push(Arc::new(run));
        }
    }
    for name in names.iter().filter(|name| !kept.contains(name)) {
        let path = dir.join(name);
        io.remove(&path).doing("delete", &path)?;
    }
    Ok(runs)
}

/// `None` if the file is not a complete run.
fn open(io: &dyn Io, dir: &Path, from: u64, to: u64) -> Result<Option<Run>, Error> {
    let path = dir.join(name(from, to));
    let file = io.open(&path).doing("open", &path)?;
    let len = file.size().doing("measure", &path)?;
    let read = |at: u64, bytes: usize| {
        let mut buffer = vec![0; bytes];
        file.read_at(&mut buffer, at).doing("read", &path).map(|_| buffer)
    };
    let Some(footer_at) = len.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    let footer = read(footer_at, FOOTER_BYTES)?;
    let number = |at: usize| u64::from_le_bytes(footer[at..at + 8].try_into().expect("eight bytes"));
    let count = number(8);
    let fences_at = count.checked_mul(KEY_BYTES as u64);
    let fences_bytes = count.div_ceil(PAGE_KEYS) * 8;
    if footer[..8] != *MAGIC || fences_at.and_then(|at| at.checked_add(fences_bytes)) != Some(footer_at) {
        return Ok(None);
    }
    let fences = read(footer_at - fences_bytes, fences_bytes as usize)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&fences);
    crc.update(&footer[..32]);
    if crc.finalize().to_le_bytes() != footer[32..36] {
        return Ok(None);
    }
    let times = Times { min: number(16).cast_signed(), max: number(24).cast_signed() };
    let fences = fences.as_chunks().0.iter().map(|fence| u64::from_le_bytes(*fence)).collect();
    Ok(Some(Run { from, to, path, file, count, times, fences }))
}

fn name(from: u64, to: u64) -> String {
    format!("{from:020}-{to:020}")
}

fn range(name: &str) -> Option<(u64, u64)> {
    let (from, to) = name.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}
