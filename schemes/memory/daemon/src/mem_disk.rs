//! A disk in memory: the working tier lives on it, and tests play faults with it.
//!
//! It keeps, beside what a program sees, what is durable: contents as of the last `sync`, names as of the last
//! `sync_dir`, and the writes since. [`MemDisk::crash`] makes what a power cut may leave: each unsynced write is there,
//! torn at a sector or absent, in any mixture; each unsynced name change is there or not. It can be full, stop after a
//! number of operations, and have bits flipped. The working tier switches the record keeping off.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// A torn write is cut at a multiple of this.
const SECTOR: usize = 512;

type FileId = u64;

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    tracks: bool,
    next: FileId,
    contents: BTreeMap<FileId, Content>,
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    dirs: Vec<String>,
    capacity: Option<u64>,
    operations: u64,
    stop_at: Option<u64>,
}

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(len) => bytes.resize(*len as usize, 0),
        Change::Write(at, data) => {
            let (at, end) = (*at as usize, *at as usize + data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(data);
        }
    }
}

impl MemDisk {
    /// A disk that only keeps; no faults can be played.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that knows what is durable.
    pub fn with_faults() -> Self {
        let disk = Self::default();
        disk.lock().tracks = true;
        disk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After this many more operations everything fails, until [`MemDisk::crash`].
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.lock();
        state.stop_at = Some(state.operations + operations);
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Sets how many bytes fit; `None` for any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Loses what a power cut loses; `random` gives numbers.
    pub fn crash(&self, mut random: impl FnMut() -> u64) {
        let mut state = self.lock();
        let state = &mut *state;
        state.stop_at = None;
        let all: std::collections::BTreeSet<String> = state
            .names
            .keys()
            .chain(state.durable_names.keys())
            .cloned()
            .collect();
        for name in all {
            let (now, durable) = (state.names.get(&name), state.durable_names.get(&name));
            let kept = if now == durable || random().is_multiple_of(2) {
                now
            } else {
                durable
            };
            match kept.copied() {
                Some(id) => state.durable_names.insert(name, id),
                None => state.durable_names.remove(&name),
            };
        }
        state.names.clone_from(&state.durable_names);
        for content in state.contents.values_mut() {
            for change in std::mem::take(&mut content.pending) {
                match (random() % 3, &change) {
                    (0, _) => {}
                    (1, Change::Write(at, data)) => {
                        let sectors = data.len() / SECTOR + 1;
                        let len = (random() as usize % sectors * SECTOR).min(data.len());
                        apply(
                            &mut content.durable,
                            &Change::Write(*at, data[..len].to_vec()),
                        );
                    }
                    _ => apply(&mut content.durable, &change),
                }
            }
            content.now.clone_from(&content.durable);
        }
        let used: Vec<FileId> = state.names.values().copied().collect();
        state.contents.retain(|id, _| used.contains(id));
    }

    /// Flips one bit of a file, on the medium itself.
    pub fn flip(&self, path: &str, bit: u64) {
        let mut state = self.lock();
        let Some(id) = state.names.get(path).copied() else {
            return;
        };
        let Some(content) = state.contents.get_mut(&id) else {
            return;
        };
        for bytes in [&mut content.now, &mut content.durable] {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// All bytes on the medium, file after file: to look for what must not be there.
    pub fn medium(&self) -> Vec<u8> {
        self.lock()
            .contents
            .values()
            .flat_map(|content| content.now.clone())
            .collect()
    }

    /// All file names.
    pub fn files(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.stop_at {
            Some(stop) if self.operations > stop => Err(io::Error::other("the disk has stopped")),
            _ => Ok(()),
        }
    }

    fn has_room(&self, more: u64) -> bool {
        let used: u64 = self
            .contents
            .values()
            .map(|content| content.now.len() as u64)
            .sum();
        self.capacity.is_none_or(|capacity| used + more <= capacity)
    }
}

impl Disk for MemDisk {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        if !dir.is_empty() && !state.dirs.iter().any(|known| known == dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = state
            .names
            .keys()
            .filter_map(|name| name.strip_prefix(&prefix));
        let mut names: Vec<String> = files
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect();
        let dirs = state
            .dirs
            .iter()
            .filter_map(|name| name.strip_prefix(&prefix));
        names.extend(
            dirs.filter(|n| !n.is_empty() && !n.contains('/'))
                .map(|n| format!("{n}/")),
        );
        names.sort();
        Ok(names)
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let mut path = String::new();
        for part in dir.split('/') {
            path = if path.is_empty() {
                part.to_owned()
            } else {
                format!("{path}/{part}")
            };
            if !state.dirs.contains(&path) {
                state.dirs.push(path.clone());
            }
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let prefix = format!("{dir}/");
        if state
            .names
            .keys()
            .chain(&state.dirs)
            .any(|name| name.starts_with(&prefix))
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.dirs.retain(|name| name != dir);
        Ok(())
    }

    fn open(&self, path: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.operate()?;
        let id = match state.names.get(path) {
            Some(id) => *id,
            None if create => {
                state.next += 1;
                let id = state.next;
                state.names.insert(path.to_owned(), id);
                state.contents.insert(id, Content::default());
                id
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(MemFile {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let id = state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        if !state.tracks {
            state.contents.remove(&id);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let prefix = format!("{dir}/");
        let state = &mut *state;
        state
            .durable_names
            .retain(|name, _| !name.starts_with(&prefix));
        let inside = state
            .names
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix));
        state
            .durable_names
            .extend(inside.map(|(name, id)| (name.clone(), *id)));
        Ok(())
    }
}

struct MemFile {
    disk: MemDisk,
    id: FileId,
}

impl MemFile {
    fn change(&mut self, change: Change) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.operate()?;
        let content = state
            .contents
            .get(&self.id)
            .ok_or(io::ErrorKind::NotFound)?;
        let grown = match &change {
            Change::Write(at, data) => at + data.len() as u64,
            Change::Truncate(len) => *len,
        };
        let more = grown.saturating_sub(content.now.len() as u64);
        if more > 0 && !state.has_room(more) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let tracks = state.tracks;
        let content = state
            .contents
            .get_mut(&self.id)
            .ok_or(io::ErrorKind::NotFound)?;
        apply(&mut content.now, &change);
        if tracks {
            content.pending.push(change);
        }
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn len(&mut self) -> io::Result<u64> {
        let state = self.disk.lock();
        let content = state
            .contents
            .get(&self.id)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(content.now.len() as u64)
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.operate()?;
        let content = state
            .contents
            .get(&self.id)
            .ok_or(io::ErrorKind::NotFound)?;
        let rest = content.now.get(at as usize..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(at, data.to_vec()))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.change(Change::Truncate(len))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.operate()?;
        if state.tracks {
            let content = state
                .contents
                .get_mut(&self.id)
                .ok_or(io::ErrorKind::NotFound)?;
            content.pending.clear();
            content.durable.clone_from(&content.now);
        }
        Ok(())
    }
}
