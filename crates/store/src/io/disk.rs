//! The real file system.

use super::{File, Io, Lock, Space};
use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise, fallocate, fcntl_lock};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev, pwritev2};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

struct DiskFile(std::fs::File);

/// The lock file. Locks of this kind belong to the process, so a list keeps its stores apart; and closing any other
/// handle of the file would give up the lock, so there never is one.
struct LockFile {
    _file: std::fs::File,
    path: PathBuf,
}

static LOCKED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

impl Io for Disk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<Box<dyn Lock>> {
        let path = std::path::absolute(path)?;
        if !LOCKED.lock().insert(path.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let lock = || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            // The whole file, which includes the byte 0 that Java locks.
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => file.write_all_at(text.as_bytes(), 0).map(|()| file),
                Err(Errno::AGAIN | Errno::ACCESS) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(io::Error::from(error)),
            }
        };
        match lock() {
            Ok(_file) => Ok(Box::new(LockFile { _file, path })),
            Err(error) => {
                LOCKED.lock().remove(&path);
                Err(error)
            }
        }
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(dir)?;
        let total = stat.f_blocks - stat.f_bfree + stat.f_bavail;
        Ok(Space { total: total * stat.f_frsize, available: stat.f_bavail * stat.f_frsize })
    }
}

impl Lock for LockFile {}

impl Drop for LockFile {
    fn drop(&mut self) {
        LOCKED.lock().remove(&self.path);
    }
}

impl DiskFile {
    /// Writes zeros over what is none yet.
    fn write_zeros(&self, mut at: u64, mut bytes: u64) -> io::Result<()> {
        const STEP: u64 = 1 << 20;
        let mut buf = Vec::new();
        while bytes > 0 {
            let step = bytes.min(STEP);
            buf.resize(step as usize, 0);
            self.0.read_exact_at(&mut buf, at)?;
            if buf.iter().any(|byte| *byte != 0) {
                buf.fill(0);
                self.0.write_all_at(&buf, at)?;
            }
            at += step;
            bytes -= step;
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn read_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<usize> {
        let wanted = buf.len();
        while !buf.is_empty() {
            match self.0.read_at(buf, at) {
                Ok(0) => break,
                Ok(n) => {
                    buf = &mut buf[n..];
                    at += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(wanted - buf.len())
    }

    fn read_now(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        match preadv2(&self.0, &mut [IoSliceMut::new(buf)], at, ReadWriteFlags::NOWAIT) {
            // Fewer bytes mean that the rest is not cached, or that the file ends; the slow way finds out which.
            Ok(n) if n == buf.len() => Ok(Some(n)),
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn without_read_ahead(&self) -> io::Result<()> {
        match fadvise(&self.0, 0, None, Advice::Random) {
            // File systems that keep everything in memory anyway, and sandboxes.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        loop {
            match pwritev(&self.0, slices, at) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn write_synced_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        loop {
            // `fdatasync` of exactly this range, which a sync of the file is not: that writes what anybody wrote to it.
            match pwritev2(&self.0, slices, at, ReadWriteFlags::DSYNC) {
                Err(Errno::INTR) => {}
                // Linux before 4.7, and sandboxes that know no flags.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    let n = self.write_at(slices, at)?;
                    return self.sync().map(|()| n);
                }
                result => return Ok(result?),
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn zero_from(&self, at: u64) -> io::Result<()> {
        let behind = self.size()?.saturating_sub(at);
        if behind == 0 {
            return Ok(());
        }
        match fallocate(&self.0, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, behind) {
            // File systems without holes.
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => self.write_zeros(at, behind),
            result => Ok(result?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_behind_a_place_leave_the_size_and_what_is_before() {
        const SIZE: u64 = (2 << 20) + 77;
        let dir = tempfile::tempdir().expect("a directory");
        for (name, holes) in [("holes", true), ("writes", false)] {
            let path = dir.path().join(name);
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("is made");
            let file = DiskFile(file);
            for at in [SIZE, SIZE - 1, (1 << 20) + 5, 4097, 0] {
                file.0.write_all_at(&vec![7; SIZE as usize], 0).expect("is written");
                if holes {
                    file.zero_from(at).expect("becomes zeros");
                } else {
                    file.write_zeros(at, SIZE - at).expect("becomes zeros");
                }
                let bytes = std::fs::read(&path).expect("is read");
                assert_eq!(bytes.len() as u64, SIZE, "{name} {at}");
                let (before, behind) = bytes.split_at(at as usize);
                assert!(before.iter().all(|byte| *byte == 7) && behind.iter().all(|byte| *byte == 0), "{name} {at}");
            }
        }
    }
}
