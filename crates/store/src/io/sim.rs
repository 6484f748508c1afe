//! A file system in memory that knows what a crash would leave of it.
//!
//! Every file has what programs see and what is durable; the writes between the two are pending until `sync`, and
//! names are pending until `sync_dir`. A crash keeps of the pending writes a random part, in sectors of 512 bytes,
//! and of the pending names a random beginning. All chances come from one seed.

use super::{File, Io, Lock, Space};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR_BYTES: usize = 512;

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Writes find no space, some of them after a part was written.
    pub full: bool,
    /// Writes fail.
    pub write: bool,
    /// Syncs fail; what they should have made durable stays pending.
    pub sync: bool,
    /// Writes take a part of what they are given, now and then.
    pub short_writes: bool,
    /// Nothing that is read is in memory.
    pub cold: bool,
    /// After so many more changes of files and names every other one fails, as if the program had been killed there.
    pub changes_left: Option<u32>,
}

struct World {
    rng: SmallRng,
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
    locked: HashSet<PathBuf>,
    faults: Faults,
    space: Space,
    /// Grows with each crash: handles from before are dead.
    life: u64,
}

#[derive(Default)]
struct Node {
    data: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

struct SimFile {
    disk: SimDisk,
    node: usize,
    life: u64,
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            rng: SmallRng::seed_from_u64(seed),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locked: HashSet::new(),
            faults: Faults::default(),
            space: Space { total: 100, available: 100 },
            life: 0,
        })))
    }

    /// Sets what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// Sets how full the disk says it is.
    pub fn set_space(&self, space: Space) {
        self.0.lock().space = space;
    }

    /// Cuts the power. Handles from before answer errors; the disk can be opened again at once.
    pub fn crash(&self) {
        let world = &mut *self.0.lock();
        world.life += 1;
        world.locked.clear();
        world.faults = Faults::default();
        let kept_names = world.rng.random_range(0..=world.pending_names.len());
        let kept = world.pending_names.drain(..).take(kept_names).collect::<Vec<_>>();
        kept.into_iter().for_each(|change| change.apply(&mut world.durable_names));
        world.names = world.durable_names.clone();
        for node in &mut world.nodes {
            // Some crashes keep nothing, some everything, most something.
            let share = [0.0, 0.1, 0.5, 0.9, 1.0][world.rng.random_range(0..5)];
            // Lengths are in a journal, of which there is a beginning.
            let lens = node.pending.iter().filter(|change| matches!(change, Change::Len(_))).count();
            let mut lens = world.rng.random_range(0..=lens);
            for change in std::mem::take(&mut node.pending) {
                match change {
                    Change::Write { at, bytes } => {
                        let mut from = 0;
                        while from < bytes.len() {
                            let to = bytes.len().min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
                            if world.rng.random_bool(share) {
                                let sector = Change::Write { at: at + from, bytes: bytes[from..to].to_vec() };
                                sector.apply(&mut node.durable);
                            }
                            from = to;
                        }
                    }
                    len @ Change::Len(_) if lens > 0 => {
                        len.apply(&mut node.durable);
                        lens -= 1;
                    }
                    Change::Len(_) => {}
                }
            }
            node.data.clone_from(&node.durable);
        }
    }

    /// The files below a directory.
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        self.0.lock().names.keys().filter(|path| path.starts_with(dir)).cloned().collect()
    }

    /// The content of a file, to be changed by a test, durably.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let world = &mut *self.0.lock();
        let node = &mut world.nodes[world.names[path]];
        edit(&mut node.data);
        node.durable.clone_from(&node.data);
        node.pending.clear();
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let world = &mut *self.0.lock();
        let node = Node { data: bytes.clone(), durable: bytes, pending: Vec::new() };
        world.nodes.push(node);
        world.names.insert(path.to_owned(), world.nodes.len() - 1);
        world.durable_names = world.names.clone();
        world.pending_names.clear();
    }

    /// Deletes a file, durably.
    pub fn delete(&self, path: &Path) {
        let world = &mut *self.0.lock();
        world.names.remove(path);
        world.durable_names = world.names.clone();
        world.pending_names.clear();
    }

    fn handle(&self, node: usize, life: u64) -> Arc<dyn File> {
        Arc::new(SimFile { disk: self.clone(), node, life })
    }
}

impl Change {
    /// Whether it must be durable before a later write to `range` can be.
    fn concerns(&self, range: &std::ops::Range<usize>) -> bool {
        match self {
            Self::Write { at, bytes } => *at < range.end && range.start < at + bytes.len(),
            Self::Len(_) => true,
        }
    }

    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                if data.len() < at + bytes.len() {
                    data.resize(at + bytes.len(), 0);
                }
                data[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Len(len) => data.resize(*len, 0),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Unlink(path) => drop(names.remove(path)),
        }
    }
}

impl World {
    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        self.count_change()?;
        change.apply(&mut self.names);
        self.pending_names.push(change);
        Ok(())
    }

    fn change(&mut self, node: usize, change: Change) -> io::Result<()> {
        self.count_change()?;
        let node = &mut self.nodes[node];
        change.apply(&mut node.data);
        node.pending.push(change);
        Ok(())
    }

    fn count_change(&mut self) -> io::Result<()> {
        match &mut self.faults.changes_left {
            Some(0) => Err(io::Error::other("simulated: the program was killed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Io for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let world = self.0.lock();
        Ok(self.handle(world.node(path)?, world.life))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let world = &mut *self.0.lock();
        let node = match world.node(path) {
            Ok(node) => {
                world.change(node, Change::Len(0))?;
                node
            }
            Err(_) => {
                world.nodes.push(Node::default());
                let node = world.nodes.len() - 1;
                world.change_name(NameChange::Link(path.to_owned(), node))?;
                node
            }
        };
        Ok(self.handle(node, world.life))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.0.lock();
        let names = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let world = &mut *self.0.lock();
        let node = world.node(from)?;
        // One change in a journal: after a crash there is the old name or the new one. The old one staying behind
        // as well would be harmless, so the order of the two stands for it.
        world.change_name(NameChange::Link(to.to_owned(), node))?;
        world.change_name(NameChange::Unlink(from.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let world = &mut *self.0.lock();
        world.node(path)?;
        world.change_name(NameChange::Unlink(path.to_owned()))
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let world = &mut *self.0.lock();
        if world.faults.sync {
            return Err(io::Error::other("simulated: the sync failed"));
        }
        // A journal is written in order: what happened before, anywhere, is in it.
        let changes = std::mem::take(&mut world.pending_names);
        changes.iter().for_each(|change| change.apply(&mut world.durable_names));
        Ok(())
    }

    fn lock(&self, path: &Path, _text: &str) -> io::Result<Box<dyn Lock>> {
        let mut world = self.0.lock();
        if !world.locked.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), life: world.life }))
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        Ok(self.0.lock().space)
    }
}

impl SimFile {
    fn world(&self) -> io::Result<parking_lot::MutexGuard<'_, World>> {
        let world = self.disk.0.lock();
        if world.life == self.life { Ok(world) } else { Err(io::Error::other("simulated: the power was cut")) }
    }
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = self.disk.0.lock();
        if world.life == self.life {
            world.locked.remove(&self.path);
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.world()?;
        let data = world.nodes[self.node].data.get(at as usize..).unwrap_or_default();
        let n = data.len().min(buf.len());
        buf[..n].copy_from_slice(&data[..n]);
        Ok(n)
    }

    fn read_now(&self, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        let mut world = self.world()?;
        if world.rng.random_bool(0.05) || world.faults.cold {
            return Ok(None);
        }
        drop(world);
        self.read_at(buf, at).map(Some)
    }

    fn without_read_ahead(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let world = &mut *self.world()?;
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if world.faults.write {
            return Err(io::Error::other("simulated: the write failed"));
        }
        if world.faults.full {
            if bytes.len() < 2 || world.rng.random_bool(0.7) {
                return Err(ErrorKind::StorageFull.into());
            }
            bytes.truncate(world.rng.random_range(1..bytes.len()));
        } else if world.faults.short_writes && bytes.len() > 1 && world.rng.random_bool(0.3) {
            bytes.truncate(world.rng.random_range(1..bytes.len()));
        }
        let n = bytes.len();
        world.change(self.node, Change::Write { at: at as usize, bytes })?;
        Ok(n)
    }

    fn write_synced_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let n = self.write_at(slices, at)?;
        let world = &mut *self.world()?;
        if world.faults.sync {
            return Err(io::Error::other("simulated: the sync failed"));
        }
        // Earlier writes to the same bytes cannot come back, nor can those below them; and a file has its length before
        // its content.
        let node = &mut world.nodes[self.node];
        let written = at as usize..at as usize + n;
        let mut ranges = vec![written];
        let mut kept = Vec::new();
        let mut synced = Vec::new();
        for change in std::mem::take(&mut node.pending).into_iter().rev() {
            if !ranges.iter().any(|range| change.concerns(range)) {
                kept.push(change);
                continue;
            }
            if let Change::Write { at, bytes } = &change {
                ranges.push(*at..at + bytes.len());
            }
            synced.push(change);
        }
        synced.iter().rev().for_each(|change| change.apply(&mut node.durable));
        node.pending.extend(kept.into_iter().rev());
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let world = &mut *self.world()?;
        if world.faults.sync {
            return Err(io::Error::other("simulated: the sync failed"));
        }
        let node = &mut world.nodes[self.node];
        let pending = std::mem::take(&mut node.pending);
        pending.iter().for_each(|change| change.apply(&mut node.durable));
        Ok(())
    }

    fn zero_from(&self, at: u64) -> io::Result<()> {
        let behind = self.size()?.saturating_sub(at);
        let zeros = Change::Write { at: at as usize, bytes: vec![0; behind as usize] };
        self.world()?.change(self.node, zeros)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.world()?.change(self.node, Change::Len(len as usize))
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.world()?.nodes[self.node].data.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synced_write_survives_and_vouches_for_nothing_else() {
        let mut others = 0;
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let path = Path::new("/f");
            disk.put(path, vec![0; 4096]);
            let file = disk.open(path).expect("is there");
            file.write_at(&[IoSlice::new(&[1; 4096])], 0).expect("is written");
            assert_eq!(
                file.write_synced_at(&[IoSlice::new(&[2; 600]), IoSlice::new(&[3])], 100).expect("is written"),
                601
            );
            file.write_at(&[IoSlice::new(&[4; 512])], 2048).expect("is written");
            disk.crash();
            let bytes = super::super::read_all(&*disk.open(path).expect("is there")).expect("is read");
            assert_eq!((&bytes[100..700], bytes[700]), (&[2; 600][..], 3));
            others += usize::from(bytes[2048] == 4);
        }
        assert!((1..50).contains(&others), "{others}");
    }
}
