//! The trait a daemon implements, and the types that cross it.
//!
//! Every method has a default that is the errno of a file that cannot do this, so a daemon writes down only
//! what it can do. Errors are errno values; a client's mistake must come back as one and never panic.

use syscall::data::{Stat, StatVfs, TimeSpec};
use syscall::dirent::DirentKind;
use syscall::error::{EBADF, EINVAL, ENOTDIR, EOPNOTSUPP, EPERM, ESPIPE, EXDEV, Error, Result};
use syscall::flag::{EventFlags, MapFlags};

/// Who asks. The kernel fills it; 0 where it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Process id.
    pub pid: usize,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// What an open or dup gives.
#[derive(Debug)]
pub enum Opened<N> {
    /// A stream: the kernel keeps no offset for it.
    Stream(N),
    /// A file with positions: the kernel keeps the cursor and passes real offsets.
    Positioned(N),
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Inode number, 0 when the scheme has none.
    pub inode: u64,
    /// Kind of file, for `d_type`.
    pub kind: DirentKind,
    /// Name, one path component.
    pub name: String,
}

/// Access and modification time to set.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Last access.
    pub accessed: TimeSpec,
    /// Last modification.
    pub modified: TimeSpec,
}

/// One scheme. See the module text; `Node` is what one open handle stands for.
pub trait Service {
    /// What an open handle stands for.
    type Node;

    /// Name of the scheme, as registered.
    fn name(&self) -> &str;

    /// Opens `path` (no leading slash) below the scheme root, or below `base` when that is a directory.
    fn open(
        &mut self,
        base: Option<&Self::Node>,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<Opened<Self::Node>>;

    /// Opens something else that belongs to an open handle.
    fn dup(&mut self, _node: &Self::Node, _what: &[u8]) -> Result<Opened<Self::Node>> {
        Err(Error::new(EINVAL))
    }

    /// Reads at `offset` (all ones for a stream).
    fn read(&mut self, _node: &mut Self::Node, _buf: &mut [u8], _offset: u64) -> Result<usize> {
        Err(Error::new(EBADF))
    }

    /// Writes at `offset` (all ones for a stream); `flags` are the effective open flags.
    fn write(
        &mut self,
        _node: &mut Self::Node,
        _buf: &[u8],
        _offset: u64,
        _flags: usize,
    ) -> Result<usize> {
        Err(Error::new(EBADF))
    }

    /// Fills in the metadata; `stat` arrives zeroed.
    fn stat(&mut self, node: &Self::Node, stat: &mut Stat) -> Result<()>;

    /// Path of the node below the scheme root, for `fpath`.
    fn path(&self, node: &Self::Node) -> String;

    /// Size in bytes, for seeking from the end.
    fn size(&mut self, _node: &Self::Node) -> Result<u64> {
        Err(Error::new(ESPIPE))
    }

    /// Names in a directory, in a stable order.
    fn entries(&mut self, _node: &Self::Node) -> Result<Vec<Entry>> {
        Err(Error::new(ENOTDIR))
    }

    /// Which of reading and writing would not block now.
    fn ready(&mut self, _node: &Self::Node) -> EventFlags {
        EventFlags::EVENT_READ | EventFlags::EVENT_WRITE
    }

    /// A number that changes whenever something new happened to the node; makes an event be posted again.
    fn activity(&self, _node: &Self::Node) -> u64 {
        0
    }

    /// Removes a name; `flags` tell a directory from a file (`AT_REMOVEDIR`).
    fn unlink(
        &mut self,
        _base: Option<&Self::Node>,
        _path: &str,
        _flags: usize,
        _caller: &Caller,
    ) -> Result<()> {
        Err(Error::new(EPERM))
    }

    /// Gives the node a new path below the scheme root.
    fn rename(&mut self, _node: &mut Self::Node, _path: &str, _caller: &Caller) -> Result<()> {
        Err(Error::new(EXDEV))
    }

    /// Gives the node a second name.
    fn link(&mut self, _node: &Self::Node, _path: &str, _caller: &Caller) -> Result<()> {
        Err(Error::new(EXDEV))
    }

    /// Sets the length of a file.
    fn truncate(&mut self, _node: &mut Self::Node, _len: u64) -> Result<()> {
        Err(Error::new(EINVAL))
    }

    /// Sets the permission bits.
    fn set_mode(&mut self, _node: &mut Self::Node, _mode: u16, _caller: &Caller) -> Result<()> {
        Err(Error::new(EPERM))
    }

    /// Sets owner and group; all ones leaves one as it is.
    fn set_owner(
        &mut self,
        _node: &mut Self::Node,
        _uid: u32,
        _gid: u32,
        _caller: &Caller,
    ) -> Result<()> {
        Err(Error::new(EPERM))
    }

    /// Sets the times.
    fn set_times(&mut self, _node: &mut Self::Node, _times: Times) -> Result<()> {
        Err(Error::new(EPERM))
    }

    /// Makes written data durable.
    fn sync(&mut self, _node: &mut Self::Node) -> Result<()> {
        Ok(())
    }

    /// Sizes of the whole file system.
    fn volume(&mut self, _node: &Self::Node, _stat: &mut StatVfs) -> Result<()> {
        Err(Error::new(EOPNOTSUPP))
    }

    /// Address, in this process, of memory that holds `len` bytes of the node from `offset`; it must stay
    /// there until as many [`unmap`](Self::unmap) calls came.
    fn map(
        &mut self,
        _node: &mut Self::Node,
        _offset: u64,
        _len: usize,
        _flags: MapFlags,
    ) -> Result<usize> {
        Err(Error::new(EOPNOTSUPP))
    }

    /// A mapping is gone.
    fn unmap(&mut self, _node: &mut Self::Node, _offset: u64, _len: usize) -> Result<()> {
        Ok(())
    }

    /// The last handle of this node was closed.
    fn close(&mut self, _node: Self::Node) {}

    /// File descriptors whose readiness the event loop reports to [`on_source`](Self::on_source).
    fn sources(&self) -> Vec<usize> {
        Vec::new()
    }

    /// One of the sources became readable.
    fn on_source(&mut self, _fd: usize) {}

    /// Monotonic time, in milliseconds, at which [`on_clock`](Self::on_clock) wants to run.
    fn deadline_ms(&self) -> Option<u64> {
        None
    }

    /// The clock reached a deadline (it may also come early); also called before each batch of requests
    /// when the service uses the clock.
    fn on_clock(&mut self, _now_ms: u64) {}

    /// Whether the service uses deadlines at all.
    fn uses_clock(&self) -> bool {
        false
    }

    /// Called after each batch: the place for effects that the service collected.
    fn settle(&mut self) {}
}

/// Copies what `data` holds from `offset` on into `buf`; the read of every small generated file.
pub fn read_at(data: &[u8], buf: &mut [u8], offset: u64) -> usize {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(data.len());
    let count = buf.len().min(data.len() - start);
    buf[..count].copy_from_slice(&data[start..start + count]);
    count
}

/// A path as clients spell it (`/chat`, `chat/`) without the slashes around it.
pub fn place(path: &str) -> &str {
    path.trim_matches('/')
}
