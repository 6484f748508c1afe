//! The files of the commit log: `commitlog/` and 20 digits, the offset of the first byte.

use crate::error::{Doing, Error};
use crate::io::{File, Io};
use parking_lot::{Mutex, RwLock};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file of the log.
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) len: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.len
    }
}

/// All files, oldest first, one beginning where the other ends. Who reads old messages says how far: what the system
/// would read ahead on its own keeps the device from those who wait for syncs.
pub(crate) struct Segments {
    io: Arc<dyn Io>,
    dir: PathBuf,
    segment_bytes: u64,
    list: RwLock<Vec<Arc<Segment>>>,
    making: Mutex<()>,
}

impl Segments {
    /// Opens what is there. An empty last file, whose making was interrupted, is completed; files of another size than
    /// new ones will have are fine.
    pub(crate) fn open(io: Arc<dyn Io>, dir: PathBuf, segment_bytes: u64) -> Result<Self, Error> {
        io.make_dir(&dir).doing("make", &dir)?;
        let mut bases: Vec<u64> = io.list(&dir).doing("list", &dir)?.iter().filter_map(|name| base_of(name)).collect();
        bases.sort_unstable();
        let mut list: Vec<Arc<Segment>> = Vec::with_capacity(bases.len());
        for (i, &base) in bases.iter().enumerate() {
            let path = path_of(&dir, base);
            let file = io.open(&path).doing("open", &path)?;
            file.without_read_ahead().doing("open", &path)?;
            let mut len = file.size().doing("measure", &path)?;
            if i + 1 == bases.len() && len == 0 {
                file.set_len(segment_bytes).doing("extend", &path)?;
                len = segment_bytes;
            }
            if let Some(previous) = list.last()
                && previous.end() != base
            {
                let gap = format!(
                    "the log has a gap from {} to {base}: {} is too short, or files behind it are missing. Put them back, or \
                     move all files from {} on away to go on without what they hold",
                    previous.end(),
                    previous.path.display(),
                    path.display()
                );
                return Err(Error::Damaged(gap.into()));
            }
            list.push(Arc::new(Segment { base, len, path, file }));
        }
        Ok(Self { io, dir, segment_bytes, list: RwLock::new(list), making: Mutex::default() })
    }

    /// First byte of the log, and where the next new segment would begin.
    pub(crate) fn range(&self) -> (u64, u64) {
        let list = self.list.read();
        (list.first().map_or(0, |segment| segment.base), list.last().map_or(0, |segment| segment.end()))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.list.read().clone()
    }

    /// The segment that holds a byte.
    pub(crate) fn find(&self, offset: u64) -> Option<Arc<Segment>> {
        let list = self.list.read();
        let after = list.partition_point(|segment| segment.base <= offset);
        let segment = list.get(after.checked_sub(1)?)?;
        (offset < segment.end()).then(|| segment.clone())
    }

    /// The segment that holds a byte; segments up to it are made, durably. After an error the call can be repeated.
    pub(crate) fn find_or_make(&self, offset: u64) -> std::io::Result<Arc<Segment>> {
        if let Some(segment) = self.find(offset) {
            return Ok(segment);
        }
        // Readers go on while a file is made.
        let _making = self.making.lock();
        loop {
            if let Some(segment) = self.find(offset) {
                return Ok(segment);
            }
            let base = match self.range() {
                (_, 0) => offset,
                (_, end) => end,
            };
            let path = path_of(&self.dir, base);
            let file = self.io.create(&path)?;
            file.without_read_ahead()?;
            file.set_len(self.segment_bytes)?;
            file.sync()?;
            self.io.sync_dir(&self.dir)?;
            self.list.write().push(Arc::new(Segment { base, len: self.segment_bytes, path, file }));
        }
    }

    /// One more handle of a file.
    pub(crate) fn reopen(&self, segment: &Segment) -> std::io::Result<Arc<dyn File>> {
        self.io.open(&segment.path)
    }

    /// Removes the oldest file. Reads that hold it already go on.
    pub(crate) fn remove_first(&self) -> std::io::Result<Option<Arc<Segment>>> {
        let _making = self.making.lock();
        let Some(first) = self.list.read().first().cloned() else { return Ok(None) };
        self.io.remove(&first.path)?;
        self.list.write().remove(0);
        Ok(Some(first))
    }

    /// Makes removals durable.
    pub(crate) fn sync_dir(&self) -> std::io::Result<()> {
        self.io.sync_dir(&self.dir)
    }

    /// Removes all files that begin at or after `end`, newest first.
    pub(crate) fn remove_from(&self, end: u64) -> std::io::Result<usize> {
        let mut list = self.list.write();
        let mut removed = 0;
        while list.last().is_some_and(|segment| segment.base >= end) {
            let segment = list.pop().expect("there is a last one");
            self.io.remove(&segment.path)?;
            removed += 1;
        }
        if removed > 0 {
            self.io.sync_dir(&self.dir)?;
        }
        Ok(removed)
    }
}

fn path_of(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}"))
}

fn base_of(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())?
}
