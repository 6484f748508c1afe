//! Places for queue entries in files that all queues share.
//!
//! There is one file per size class, `queues/extents-<entries>`, cut into slots of that many entries; an extent is a
//! slot owned by one queue. A queue begins with the smallest class and takes the next larger one each time, so a
//! quiet queue uses 160 bytes and a busy one few, long extents.

use super::SLOT_BYTES;
use crate::error::{Doing, Error};
use crate::io::{self, File, Io};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// Entries of an extent, by class.
pub(crate) const CLASS_ENTRIES: [u32; 5] = [8, 64, 512, 4096, 32_768];

/// A run of entries of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Queue offset of the first entry.
    pub(crate) first: u64,
    /// Log offset of the first entry.
    pub(crate) first_log: u64,
    pub(crate) slot: u32,
    pub(crate) class: u8,
}

impl Extent {
    pub(crate) fn entries(&self) -> u64 {
        u64::from(CLASS_ENTRIES[usize::from(self.class)])
    }

    /// Where the entry of a queue offset lies in the file of the class.
    pub(crate) fn position(&self, queue_offset: u64) -> u64 {
        (u64::from(self.slot) * self.entries() + (queue_offset - self.first)) * SLOT_BYTES as u64
    }
}

/// The files and what is free in them.
pub(crate) struct Extents {
    files: [Arc<dyn File>; CLASS_ENTRIES.len()],
    space: Mutex<[Space; CLASS_ENTRIES.len()]>,
}

#[derive(Debug, Default)]
struct Space {
    /// Slots from here on were never used.
    end: u32,
    free: Vec<u32>,
    /// Free once the checkpoint that no longer mentions them is durable: the one before may still be needed.
    freed: Vec<u32>,
}

impl Extents {
    /// Opens the files or makes them. All slots are taken for free until [`Extents::occupied`] was told otherwise.
    pub(crate) fn open(io: &dyn Io, dir: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        for entries in CLASS_ENTRIES {
            let path = dir.join(format!("extents-{entries}"));
            let file = match io.open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => io.create(&path),
                file => file,
            };
            files.push(file.doing("open", &path)?);
        }
        io.sync_dir(dir).doing("sync", dir)?;
        let files = files.try_into().ok().expect("one file per class");
        Ok(Self { files, space: Mutex::default() })
    }

    /// Says which slots the rows that were loaded own. False if a file is too short to hold them.
    pub(crate) fn occupy(&self, used: [Vec<u32>; CLASS_ENTRIES.len()]) -> Result<bool, Error> {
        for (class, mut used) in used.into_iter().enumerate() {
            used.sort_unstable();
            let Some(&last) = used.last() else { continue };
            let len = self.files[class].size().doing("measure", Path::new("extents"))?;
            if u64::from(last) * u64::from(CLASS_ENTRIES[class]) * SLOT_BYTES as u64 >= len {
                return Ok(false);
            }
            let space = &mut self.space.lock()[class];
            space.end = last + 1;
            space.free = (0..last).rev().filter(|slot| used.binary_search(slot).is_err()).collect();
        }
        Ok(true)
    }

    /// Takes all slots for free.
    pub(crate) fn clear(&self) {
        *self.space.lock() = Default::default();
    }

    pub(crate) fn file(&self, class: u8) -> &Arc<dyn File> {
        &self.files[usize::from(class)]
    }

    /// A slot of a class.
    pub(crate) fn take(&self, class: u8) -> u32 {
        let space = &mut self.space.lock()[usize::from(class)];
        space.free.pop().unwrap_or_else(|| {
            space.end += 1;
            space.end - 1
        })
    }

    /// Frees a slot with the next [`Extents::checkpointed`].
    pub(crate) fn free_later(&self, extent: &Extent) {
        self.space.lock()[usize::from(extent.class)].freed.push(extent.slot);
    }

    /// The rows that are durable now do not mention the slots freed before they were gathered.
    pub(crate) fn checkpointed(&self) {
        for space in self.space.lock().iter_mut() {
            space.free.append(&mut space.freed);
        }
    }

    pub(crate) fn write(&self, extent: &Extent, queue_offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        io::write_all(&**self.file(extent.class), bytes, extent.position(queue_offset))
    }
}
