//! The seam between the store and a file system: everything the store does to a disk goes through these two traits.
//!
//! [`Disk`] is the real one; the simulated one (feature `sim`) knows what a crash would leave. A write is durable
//! only after `sync`, a new or renamed name only after `sync_dir`; both implementations hold the store to that.

mod disk;
#[cfg(feature = "sim")]
pub mod sim;

pub use disk::Disk;

use crate::limits::{FREE_REST, FREE_STEP_BYTES, FREE_WAITS_MAX};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Io: Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Makes an empty file, replacing what had its name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Names of the files of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory and those above it; one that exists is fine.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file, replacing what had the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Open handles keep reading it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock Java's `FileChannel.tryLock(0, 1)` takes, and writes a text into its file; `WouldBlock` if
    /// somebody has it, in this process or another.
    fn lock(&self, path: &Path, text: &str) -> io::Result<Box<dyn Lock>>;
    /// How full the file system of a directory is.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// A lock that is held until the value is dropped.
pub trait Lock: Send + Sync {}

/// An open file. Reads and writes say where; there is no position.
pub trait File: Send + Sync + 'static {
    /// Reads into `buf` until it is full or the file ends, and says how much it read.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// The same without waiting for a device: `None` if that is not possible.
    fn read_now(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>>;
    /// From now on reads bring into the system's memory what they ask for, and nothing beyond it.
    fn without_read_ahead(&self) -> io::Result<()>;
    /// Writes a beginning of the slices and says how much.
    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize>;
    /// The same, and what it wrote is durable when it returns. Of other writes that tells nothing: neither does it wait
    /// for them. After an error nobody knows about these bytes either, until they are written again.
    fn write_synced_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize>;
    /// Makes what was written durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Makes everything from `at` on zeros. The file keeps its size all the while: whoever is killed in the middle of it
    /// leaves old bytes and zeros, and nothing else.
    fn zero_from(&self, at: u64) -> io::Result<()>;
    /// Cuts the file or extends it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Bytes of the file.
    fn size(&self) -> io::Result<u64>;
}

/// See [`Io::space`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the file system, without those that are reserved for the administrator.
    pub total: u64,
    /// Bytes an ordinary user may still write.
    pub available: u64,
}

impl Space {
    /// Used share, 0 to 1, as `df` and RocketMQ (`UtilAll.getDiskPartitionSpaceUsedPercent`) count it.
    pub fn used_ratio(&self) -> f64 {
        if self.total == 0 { 0.0 } else { 1.0 - self.available as f64 / self.total as f64 }
    }
}

/// Writes all of `bytes`, however many calls it takes.
pub(crate) fn write_all(file: &dyn File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = file.write_at(&[IoSlice::new(bytes)], at)?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[n..];
        at += n as u64;
    }
    Ok(())
}

/// The same, durably, so that a large file reaches the device piece by piece: one sync of all of it would keep the
/// device busy for as long as everybody else who syncs.
pub(crate) fn write_all_synced(file: &dyn File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = file.write_synced_at(&[IoSlice::new(bytes)], at)?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[n..];
        at += n as u64;
    }
    Ok(())
}

/// Gives the space of a file back that was removed, a little at a time, so that nobody waits for the device meanwhile who
/// syncs. Those who still read the file go on: it stays as it is until only `gone` holds it. If that takes long, the last
/// of them frees all of it at once.
pub(crate) fn free_slowly<T>(gone: Arc<T>, file: impl Fn(&T) -> &dyn File, hurry: impl Fn() -> bool) -> io::Result<()> {
    let mut left = file(&gone).size()?;
    let mut waits = 0;
    while left > FREE_STEP_BYTES && waits < FREE_WAITS_MAX && !hurry() {
        if Arc::strong_count(&gone) == 1 {
            left -= FREE_STEP_BYTES;
            file(&gone).set_len(left)?;
            file(&gone).sync()?;
        } else {
            waits += 1;
        }
        std::thread::sleep(FREE_REST);
    }
    Ok(())
}

/// The whole file.
pub(crate) fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.size()? as usize];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// Replaces a small file so that a crash leaves either the old or the new one; its directory is made if need be.
pub fn replace(io: &dyn Io, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    io.make_dir(dir)?;
    let temporary = dir.join(format!("{name}.tmp"));
    let file = io.create(&temporary)?;
    write_all(&*file, bytes, 0)?;
    file.sync()?;
    io.rename(&temporary, &dir.join(name))?;
    io.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_given_back_in_steps_and_only_when_nobody_reads() {
        const WHOLE: u64 = 3 * FREE_STEP_BYTES + 1;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let file = Disk.create(&path).unwrap();
        file.set_len(WHOLE).unwrap();
        Disk.remove(&path).unwrap();

        let gone = Arc::new(file.clone());
        let reader = gone.clone();
        free_slowly(gone.clone(), |file| &**file, || true).unwrap();
        assert_eq!(file.size().unwrap(), WHOLE, "in a hurry all of it goes with the last handle");
        let freeing = std::thread::spawn(move || free_slowly(gone, |file| &**file, || false));
        std::thread::sleep(FREE_REST * 4);
        assert_eq!(file.size().unwrap(), WHOLE, "it is being read");
        drop(reader);
        freeing.join().unwrap().unwrap();
        assert_eq!(file.size().unwrap(), 1);
    }
}
