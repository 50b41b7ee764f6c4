//! The volume as a scheme.

use valence_daemon::syscall::data::{Stat, StatVfs, TimeSpec};
use valence_daemon::syscall::dirent::DirentKind;
use valence_daemon::syscall::error::{
    EBADF, EEXIST, EISDIR, ELOOP, ENOENT, ENOTDIR, Error, Result,
};
use valence_daemon::syscall::flag::{
    AT_REMOVEDIR, MODE_DIR, MODE_SYMLINK, MapFlags, O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL,
    O_NOFOLLOW, O_RDONLY, O_STAT, O_SYMLINK, O_TRUNC, O_WRONLY,
};
use valence_daemon::{Caller, Entry, Opened, Service, Times};

use crate::limits::VOLUME_BYTES;
use crate::tree::Last;
use crate::volume::{Ino, New, READ, ROOT, SEARCH, Volume, WRITE};

/// An open file, directory or link.
#[derive(Debug)]
pub struct Node {
    ino: Ino,
    dir: Ino,
    name: String,
    can_read: bool,
    can_write: bool,
}

/// A volume under a scheme name.
pub struct RamScheme {
    name: String,
    volume: Volume,
    now: fn() -> TimeSpec,
}

impl RamScheme {
    /// An empty file system served as `name`; `now` is the wall clock.
    pub fn new(name: String, now: fn() -> TimeSpec) -> Self {
        RamScheme {
            name,
            volume: Volume::new(now()),
            now,
        }
    }

    /// The volume, for looking at it.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Creates what the flags ask for in the directory.
    fn make(&mut self, dir: Ino, name: &str, flags: usize, caller: &Caller) -> Result<Ino> {
        self.volume.check(dir, caller, WRITE | SEARCH)?;
        let what = match () {
            () if flags & O_DIRECTORY != 0 => New::Directory,
            () if flags & O_SYMLINK != 0 => New::Link,
            () => New::File,
        };
        self.volume
            .create(dir, name, what, flags as u16, caller, (self.now)())
    }

    /// Checks that an existing inode may be opened in this way.
    fn admit(&self, ino: Ino, flags: usize, caller: &Caller) -> Result<()> {
        let inode = self.volume.inode(ino)?;
        let kind = inode.kind();
        if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
            return Err(Error::new(EEXIST));
        }
        if flags & O_DIRECTORY != 0 && kind != MODE_DIR {
            return Err(Error::new(ENOTDIR));
        }
        if kind == MODE_SYMLINK && flags & (O_SYMLINK | O_STAT) == 0 {
            return Err(Error::new(ELOOP));
        }
        if flags & O_STAT != 0 {
            return Ok(());
        }
        if kind == MODE_DIR && flags & (O_WRONLY | O_TRUNC) != 0 {
            return Err(Error::new(EISDIR));
        }
        let mut want = 0;
        if flags & O_RDONLY != 0 && kind != MODE_SYMLINK {
            want |= READ;
        }
        if flags & (O_WRONLY | O_TRUNC) != 0 {
            want |= WRITE;
        }
        self.volume.check(ino, caller, want)
    }
}

impl Service for RamScheme {
    type Node = Node;

    fn name(&self) -> &str {
        &self.name
    }

    fn open(
        &mut self,
        base: Option<&Node>,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<Opened<Node>> {
        let keep =
            flags & (O_SYMLINK | O_NOFOLLOW) != 0 || flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
        let last = if keep { Last::Keep } else { Last::Follow };
        let found = self
            .volume
            .find(base.map_or(ROOT, |node| node.ino), path, last, caller)?;
        let ino = match found.ino {
            Some(ino) => {
                self.admit(ino, flags, caller)?;
                if flags & O_TRUNC != 0 {
                    self.volume.resize(ino, 0, (self.now)())?;
                }
                ino
            }
            None if flags & O_CREAT != 0 => self.make(found.dir, &found.name, flags, caller)?,
            None => return Err(Error::new(ENOENT)),
        };
        self.volume.inode_mut(ino)?.handles += 1;
        let content = flags & O_STAT == 0;
        Ok(Opened::Positioned(Node {
            ino,
            dir: found.dir,
            name: found.name,
            can_read: content && flags & O_RDONLY != 0,
            // A new link's text is written through the handle that made it.
            can_write: content && flags & (O_WRONLY | O_SYMLINK) != 0,
        }))
    }

    fn read(&mut self, node: &mut Node, buf: &mut [u8], offset: u64) -> Result<usize> {
        let is_link = self.volume.inode(node.ino)?.kind() == MODE_SYMLINK;
        if !node.can_read && !is_link {
            return Err(Error::new(EBADF));
        }
        let count = self.volume.read(node.ino, buf, offset)?;
        self.volume.inode_mut(node.ino)?.accessed = (self.now)();
        Ok(count)
    }

    fn write(&mut self, node: &mut Node, buf: &[u8], offset: u64, flags: usize) -> Result<usize> {
        if !node.can_write {
            return Err(Error::new(EBADF));
        }
        let offset = match flags & O_APPEND {
            0 => offset,
            _ => self.volume.inode(node.ino)?.size(),
        };
        self.volume.write(node.ino, buf, offset, (self.now)())
    }

    fn stat(&mut self, node: &Node, stat: &mut Stat) -> Result<()> {
        let inode = self.volume.inode(node.ino)?;
        stat.st_ino = node.ino;
        stat.st_mode = inode.kind() | inode.mode;
        stat.st_nlink = inode.links;
        (stat.st_uid, stat.st_gid) = (inode.uid, inode.gid);
        stat.st_size = inode.size();
        stat.st_blocks = inode.footprint() / 512;
        (stat.st_mtime, stat.st_mtime_nsec) = parts(inode.modified);
        (stat.st_atime, stat.st_atime_nsec) = parts(inode.accessed);
        (stat.st_ctime, stat.st_ctime_nsec) = parts(inode.changed);
        Ok(())
    }

    fn path(&self, node: &Node) -> String {
        if node.name.is_empty() {
            return self.volume.path_of(node.ino);
        }
        match self.volume.path_of(node.dir) {
            dir if dir.is_empty() => node.name.clone(),
            dir => format!("{dir}/{}", node.name),
        }
    }

    fn size(&mut self, node: &Node) -> Result<u64> {
        Ok(self.volume.inode(node.ino)?.size())
    }

    fn entries(&mut self, node: &Node) -> Result<Vec<Entry>> {
        let entries = self.volume.entries(node.ino)?;
        let kind = |ino: &Ino| match self.volume.inode(*ino).map(|inode| inode.kind()) {
            Ok(MODE_DIR) => DirentKind::Directory,
            Ok(MODE_SYMLINK) => DirentKind::Symlink,
            _ => DirentKind::Regular,
        };
        let entry = |(name, ino): (&String, &Ino)| Entry {
            inode: *ino,
            kind: kind(ino),
            name: name.clone(),
        };
        Ok(entries.iter().map(entry).collect())
    }

    fn unlink(
        &mut self,
        base: Option<&Node>,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<()> {
        let base = base.map_or(ROOT, |node| node.ino);
        self.volume
            .remove(base, path, flags & AT_REMOVEDIR != 0, caller, (self.now)())
    }

    fn rename(&mut self, node: &mut Node, path: &str, caller: &Caller) -> Result<()> {
        let from = (node.dir, node.name.as_str(), node.ino);
        let to = self.volume.rename(from, path, caller, (self.now)())?;
        (node.dir, node.name) = (to.dir, to.name);
        Ok(())
    }

    fn link(&mut self, node: &Node, path: &str, caller: &Caller) -> Result<()> {
        self.volume.link(node.ino, path, caller, (self.now)())
    }

    fn truncate(&mut self, node: &mut Node, len: u64) -> Result<()> {
        if !node.can_write {
            return Err(Error::new(EBADF));
        }
        self.volume.resize(node.ino, len, (self.now)())
    }

    fn set_mode(&mut self, node: &mut Node, mode: u16, caller: &Caller) -> Result<()> {
        self.volume.check_owner(node.ino, caller)?;
        let now = (self.now)();
        let inode = self.volume.inode_mut(node.ino)?;
        (inode.mode, inode.changed) = (mode & 0o7777, now);
        Ok(())
    }

    fn set_owner(&mut self, node: &mut Node, uid: u32, gid: u32, caller: &Caller) -> Result<()> {
        // Only root gives files away.
        if uid != u32::MAX && caller.uid != 0 {
            return Err(Error::new(valence_daemon::syscall::error::EPERM));
        }
        self.volume.check_owner(node.ino, caller)?;
        let now = (self.now)();
        let inode = self.volume.inode_mut(node.ino)?;
        if uid != u32::MAX {
            inode.uid = uid;
        }
        if gid != u32::MAX {
            inode.gid = gid;
        }
        inode.changed = now;
        Ok(())
    }

    fn set_times(&mut self, node: &mut Node, times: Times) -> Result<()> {
        let now = (self.now)();
        let inode = self.volume.inode_mut(node.ino)?;
        (inode.accessed, inode.modified, inode.changed) = (times.accessed, times.modified, now);
        Ok(())
    }

    fn volume(&mut self, _node: &Node, stat: &mut StatVfs) -> Result<()> {
        stat.f_bsize = 4096;
        stat.f_blocks = VOLUME_BYTES / 4096;
        stat.f_bfree = (VOLUME_BYTES - self.volume.used()) / 4096;
        stat.f_bavail = stat.f_bfree;
        Ok(())
    }

    fn map(&mut self, node: &mut Node, offset: u64, len: usize, flags: MapFlags) -> Result<usize> {
        let writes = flags.contains(MapFlags::PROT_WRITE | MapFlags::MAP_SHARED);
        if !node.can_read || writes && !node.can_write {
            return Err(Error::new(valence_daemon::syscall::error::EACCES));
        }
        self.volume.map(node.ino, offset, len)
    }

    fn unmap(&mut self, node: &mut Node, _offset: u64, _len: usize) -> Result<()> {
        self.volume.unmap(node.ino)
    }

    fn close(&mut self, node: Node) {
        if let Ok(inode) = self.volume.inode_mut(node.ino) {
            inode.handles = inode.handles.saturating_sub(1);
        }
        self.volume.collect(node.ino);
    }
}

fn parts(time: TimeSpec) -> (u64, u32) {
    (time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}
