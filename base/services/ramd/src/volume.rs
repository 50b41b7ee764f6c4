//! Files, directories and links, and who may do what with them.

use std::collections::BTreeMap;

use valence_daemon::Caller;
use valence_daemon::syscall::data::TimeSpec;
use valence_daemon::syscall::error::{
    EACCES, EFBIG, EINVAL, EISDIR, ENOENT, ENOSPC, ENOTDIR, EPERM, Error, Result,
};
use valence_daemon::syscall::flag::{MODE_DIR, MODE_FILE, MODE_SYMLINK};

use crate::content::{Content, PAGE};
use crate::limits::{INODES_MAX, VOLUME_BYTES};

/// Number of an inode; the root directory is 1.
pub(crate) type Ino = u64;

/// The root directory.
pub(crate) const ROOT: Ino = 1;

/// Permission to read, write or search, as one digit of a mode.
pub(crate) const READ: u16 = 4;
/// See [`READ`].
pub(crate) const WRITE: u16 = 2;
/// See [`READ`].
pub(crate) const SEARCH: u16 = 1;

const STICKY: u16 = 0o1000;

pub(crate) enum Body {
    Directory {
        entries: BTreeMap<String, Ino>,
        parent: Ino,
    },
    File(Content),
    Link(String),
}

pub(crate) struct Inode {
    pub(crate) body: Body,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) handles: u32,
    pub(crate) accessed: TimeSpec,
    pub(crate) modified: TimeSpec,
    pub(crate) changed: TimeSpec,
}

impl Inode {
    /// Kind bits of the mode.
    pub(crate) fn kind(&self) -> u16 {
        match self.body {
            Body::Directory { .. } => MODE_DIR,
            Body::File(_) => MODE_FILE,
            Body::Link(_) => MODE_SYMLINK,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.body {
            Body::Directory { entries, .. } => entries.len() as u64,
            Body::File(content) => content.len() as u64,
            Body::Link(target) => target.len() as u64,
        }
    }

    pub(crate) fn footprint(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.footprint() as u64,
            _ => 0,
        }
    }
}

/// One file system in memory.
pub struct Volume {
    pub(crate) inodes: BTreeMap<Ino, Inode>,
    next: Ino,
    used: u64,
}

/// What to create.
pub(crate) enum New {
    File,
    Directory,
    Link,
}

impl Volume {
    /// An empty volume whose root anybody may write to, as in a temporary directory.
    pub fn new(now: TimeSpec) -> Self {
        let root = Inode {
            body: Body::Directory {
                entries: BTreeMap::new(),
                parent: ROOT,
            },
            mode: 0o777 | STICKY,
            uid: 0,
            gid: 0,
            links: 1,
            handles: 0,
            accessed: now,
            modified: now,
            changed: now,
        };
        Volume {
            inodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            used: 0,
        }
    }

    /// Bytes of memory that files use.
    pub fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn inode(&self, ino: Ino) -> Result<&Inode> {
        self.inodes.get(&ino).ok_or(Error::new(ENOENT))
    }

    pub(crate) fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or(Error::new(ENOENT))
    }

    /// Whether the caller may do `want` (bits of [`READ`], [`WRITE`], [`SEARCH`]).
    pub(crate) fn check(&self, ino: Ino, caller: &Caller, want: u16) -> Result<()> {
        let inode = self.inode(ino)?;
        let shift = match () {
            () if caller.uid == 0 => return Ok(()),
            () if caller.uid == inode.uid => 6,
            () if caller.gid == inode.gid => 3,
            () => 0,
        };
        if inode.mode >> shift & want == want {
            Ok(())
        } else {
            Err(Error::new(EACCES))
        }
    }

    /// Whether the caller may change mode, owner or times.
    pub(crate) fn check_owner(&self, ino: Ino, caller: &Caller) -> Result<()> {
        let owns = caller.uid == 0 || caller.uid == self.inode(ino)?.uid;
        if owns { Ok(()) } else { Err(Error::new(EPERM)) }
    }

    /// Whether the caller may remove or replace `child` in directory `dir`.
    pub(crate) fn check_removal(&self, dir: Ino, child: Ino, caller: &Caller) -> Result<()> {
        self.check(dir, caller, WRITE | SEARCH)?;
        let directory = self.inode(dir)?;
        let sticky = directory.mode & STICKY != 0;
        let owns = [directory.uid, self.inode(child)?.uid, 0].contains(&caller.uid);
        // The root directory belongs to root: in a sticky one only the owner of a file removes it.
        if sticky && !owns {
            Err(Error::new(EPERM))
        } else {
            Ok(())
        }
    }

    pub(crate) fn entries(&self, dir: Ino) -> Result<&BTreeMap<String, Ino>> {
        match &self.inode(dir)?.body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(Error::new(ENOTDIR)),
        }
    }

    pub(crate) fn entries_mut(&mut self, dir: Ino) -> Result<&mut BTreeMap<String, Ino>> {
        match &mut self.inode_mut(dir)?.body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(Error::new(ENOTDIR)),
        }
    }

    /// Makes an inode and enters it in a directory; name and permissions have been checked.
    pub(crate) fn create(
        &mut self,
        dir: Ino,
        name: &str,
        what: New,
        mode: u16,
        caller: &Caller,
        now: TimeSpec,
    ) -> Result<Ino> {
        if self.inodes.len() >= INODES_MAX {
            return Err(Error::new(ENOSPC));
        }
        let (body, mode) = match what {
            New::File => (Body::File(Content::default()), mode),
            New::Directory => (
                Body::Directory {
                    entries: BTreeMap::new(),
                    parent: dir,
                },
                mode,
            ),
            New::Link => (Body::Link(String::new()), 0o777),
        };
        let ino = self.next;
        self.entries_mut(dir)?.insert(name.to_owned(), ino);
        self.next += 1;
        let (accessed, modified, changed) = (now, now, now);
        let (uid, gid) = (caller.uid, caller.gid);
        let mode = mode & 0o7777;
        let inode = Inode {
            body,
            mode,
            uid,
            gid,
            links: 1,
            handles: 0,
            accessed,
            modified,
            changed,
        };
        self.inodes.insert(ino, inode);
        self.touch(dir, now);
        Ok(ino)
    }

    /// Marks a directory or file as modified.
    pub(crate) fn touch(&mut self, ino: Ino, now: TimeSpec) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            (inode.modified, inode.changed) = (now, now);
        }
    }

    /// Forgets an inode that has neither name nor handle nor mapping.
    pub(crate) fn collect(&mut self, ino: Ino) {
        let gone = self.inodes.get(&ino).is_some_and(|inode| {
            let mapped = matches!(&inode.body, Body::File(content) if content.is_mapped());
            inode.links == 0 && inode.handles == 0 && !mapped
        });
        if gone && let Some(inode) = self.inodes.remove(&ino) {
            self.used -= inode.footprint();
        }
    }

    /// Reads from a file or the text of a link.
    pub(crate) fn read(&mut self, ino: Ino, buf: &mut [u8], offset: u64) -> Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        match &self.inode(ino)?.body {
            Body::Directory { .. } => Err(Error::new(EISDIR)),
            Body::File(content) => Ok(content.read(offset, buf)),
            Body::Link(target) => Ok(valence_daemon::read_at(
                target.as_bytes(),
                buf,
                offset as u64,
            )),
        }
    }

    /// Writes to a file, or sets the text of a link that has none yet.
    pub(crate) fn write(
        &mut self,
        ino: Ino,
        data: &[u8],
        offset: u64,
        now: TimeSpec,
    ) -> Result<usize> {
        if let Body::Link(target) = &mut self.inode_mut(ino)?.body {
            let text = std::str::from_utf8(data).map_err(|_| Error::new(EINVAL))?;
            if !target.is_empty() || text.is_empty() {
                return Err(Error::new(EINVAL));
            }
            text.clone_into(target);
            return Ok(data.len());
        }
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or(Error::new(EFBIG))?;
        self.reserve(ino, end)?;
        self.change(ino, |content| content.write(offset as usize, data))?;
        self.touch(ino, now);
        Ok(data.len())
    }

    /// Sets the length of a file.
    pub(crate) fn resize(&mut self, ino: Ino, len: u64, now: TimeSpec) -> Result<()> {
        self.reserve(ino, len)?;
        self.change(ino, |content| content.resize(len as usize))?;
        self.touch(ino, now);
        Ok(())
    }

    /// Maps a part of a file: gives its address.
    pub(crate) fn map(&mut self, ino: Ino, offset: u64, len: usize) -> Result<usize> {
        let end = offset.checked_add(len as u64).ok_or(Error::new(EINVAL))?;
        self.reserve(ino, end)?;
        self.change(ino, |content| content.map(offset as usize, len))
    }

    /// A mapping is gone.
    pub(crate) fn unmap(&mut self, ino: Ino) -> Result<()> {
        self.change(ino, |content| {
            content.unmap();
            Ok(())
        })?;
        self.collect(ino);
        Ok(())
    }

    /// Checks that a file may take memory for `end` bytes.
    fn reserve(&self, ino: Ino, end: u64) -> Result<()> {
        let own = self.inode(ino)?.footprint();
        let wanted = end
            .checked_next_multiple_of(PAGE as u64)
            .ok_or(Error::new(EFBIG))?;
        let total = self.used - own + wanted.max(own);
        if total > VOLUME_BYTES {
            Err(Error::new(ENOSPC))
        } else {
            Ok(())
        }
    }

    /// Changes a file's content and keeps the sum of memory right.
    fn change<T>(&mut self, ino: Ino, act: impl FnOnce(&mut Content) -> Result<T>) -> Result<T> {
        let Body::File(content) = &mut self.inode_mut(ino)?.body else {
            return Err(Error::new(EISDIR));
        };
        let before = content.footprint() as u64;
        let result = act(content);
        let after = content.footprint() as u64;
        self.used = self.used - before + after;
        result
    }
}
