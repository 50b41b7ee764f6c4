//! The handle table and what every scheme answers alike.
//!
//! [`Host`] maps handle numbers to a service's nodes and forwards operations. Handle 0 is the scheme root,
//! the capability that is registered in a namespace; it opens things and is nothing else. Handle numbers
//! are never used twice, so a late message about a closed handle can hit nothing but `EBADF`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use syscall::data::Stat;
use syscall::dirent::{DirEntry, DirentBuf};
use syscall::error::{EBADF, EINVAL, EISDIR, ENAMETOOLONG, ENFILE, Error, Result};
use syscall::flag::{EventFlags, F_GETFD, F_GETFL, F_SETFD, F_SETFL, O_ACCMODE, O_NONBLOCK};

use crate::limits::{HANDLES_MAX, PATH_MAX_BYTES};
use crate::service::{Caller, Opened, Service, place};

/// Handle number of the scheme root.
pub(crate) const ROOT: usize = 0;

/// One open handle.
pub struct Handle<N> {
    /// The service's own state.
    pub node: N,
    /// Open flags, as `F_GETFL` tells and `F_SETFL` changes them.
    pub flags: usize,
    interest: EventFlags,
    posted: EventFlags,
    seen: u64,
}

/// A number and whether the kernel keeps a cursor for it.
pub struct NewHandle {
    /// Number of the handle.
    pub id: usize,
    /// Whether the kernel keeps a cursor.
    pub positioned: bool,
}

/// A service with its open handles.
pub struct Host<S: Service> {
    /// The daemon's own part.
    pub service: S,
    handles: BTreeMap<usize, Handle<S::Node>>,
    next_id: usize,
    /// Seconds since 1970 when the scheme began: the time of files that have none of their own.
    born: u64,
}

impl<S: Service> Host<S> {
    /// A host with no handle open.
    pub fn new(service: S) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Host {
            service,
            handles: BTreeMap::new(),
            next_id: ROOT + 1,
            born: now.map_or(0, |since| since.as_secs()),
        }
    }

    /// Number of open handles.
    pub fn open_handles(&self) -> usize {
        self.handles.len()
    }

    /// Opens a path below the root handle or below a directory handle.
    pub fn open(
        &mut self,
        dir: usize,
        path: &str,
        flags: usize,
        caller: &Caller,
    ) -> Result<NewHandle> {
        if path.len() > PATH_MAX_BYTES {
            return Err(Error::new(ENAMETOOLONG));
        }
        self.room()?;
        let base = base(&self.handles, dir)?;
        let opened = self.service.open(base, place(path), flags, caller)?;
        Ok(self.insert(opened, flags))
    }

    /// Opens what `what` names of an open handle.
    pub fn dup(&mut self, id: usize, what: &[u8]) -> Result<NewHandle> {
        self.room()?;
        let handle = self.handles.get(&id).ok_or(Error::new(EBADF))?;
        let flags = handle.flags;
        let opened = self.service.dup(&handle.node, what)?;
        Ok(self.insert(opened, flags))
    }

    /// Removes a name.
    pub fn unlink(&mut self, dir: usize, path: &str, flags: usize, caller: &Caller) -> Result<()> {
        let base = base(&self.handles, dir)?;
        self.service.unlink(base, place(path), flags, caller)
    }

    /// `F_GETFL` and `F_SETFL`; the descriptor flags are the kernel's and read as 0.
    pub fn fcntl(&mut self, id: usize, cmd: usize, arg: usize) -> Result<usize> {
        if id == ROOT {
            return Ok(0);
        }
        let handle = self.handles.get_mut(&id).ok_or(Error::new(EBADF))?;
        match cmd {
            F_GETFL => Ok(handle.flags),
            F_SETFL => {
                // The access mode and the creation flags are fixed when a handle is opened.
                handle.flags = handle.flags & O_ACCMODE | arg & !O_ACCMODE;
                Ok(0)
            }
            F_GETFD | F_SETFD => Ok(0),
            _ => Err(Error::new(EINVAL)),
        }
    }

    /// Writes the full path of the handle, `/scheme/NAME/REFERENCE`.
    pub fn path(&mut self, id: usize, buf: &mut [u8]) -> Result<usize> {
        let reference = match id {
            ROOT => String::new(),
            _ => self
                .service
                .path(&self.handles.get(&id).ok_or(Error::new(EBADF))?.node),
        };
        let separator = if reference.is_empty() { "" } else { "/" };
        let full = format!("/scheme/{}{separator}{reference}", self.service.name());
        let bytes = full.as_bytes();
        if bytes.len() > buf.len() {
            return Err(Error::new(ENAMETOOLONG));
        }
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Fills in the metadata of the handle.
    pub fn stat(&mut self, id: usize, stat: &mut Stat) -> Result<()> {
        *stat = Stat::default();
        (stat.st_mtime, stat.st_atime, stat.st_ctime) = (self.born, self.born, self.born);
        if id == ROOT {
            stat.st_mode = syscall::flag::MODE_DIR | 0o555;
            stat.st_nlink = 1;
            return Ok(());
        }
        let handle = self.handles.get(&id).ok_or(Error::new(EBADF))?;
        stat.st_nlink = 1;
        stat.st_blksize = 4096;
        self.service.stat(&handle.node, stat)
    }

    /// Fills `buf` with the entries after position `from`; EINVAL when not even one fits.
    pub fn getdents<'b>(
        &mut self,
        id: usize,
        mut buf: DirentBuf<&'b mut [u8]>,
        from: u64,
    ) -> Result<DirentBuf<&'b mut [u8]>> {
        let handle = self.handles.get(&id).ok_or(Error::new(EBADF))?;
        let entries = self.service.entries(&handle.node)?;
        let start = usize::try_from(from)
            .unwrap_or(usize::MAX)
            .min(entries.len());
        for (index, entry) in entries.iter().enumerate().skip(start) {
            let fits = buf.entry(DirEntry {
                inode: entry.inode,
                next_opaque_id: index as u64 + 1,
                name: &entry.name,
                kind: entry.kind,
            });
            match fits {
                Ok(()) => {}
                Err(error) if index == start => return Err(error),
                Err(_) => break,
            }
        }
        Ok(buf)
    }

    /// Registers interest and tells what is ready now.
    pub fn interest(&mut self, id: usize, wanted: EventFlags) -> Result<EventFlags> {
        let handle = self.handles.get_mut(&id).ok_or(Error::new(EBADF))?;
        handle.interest |= wanted;
        handle.seen = self.service.activity(&handle.node);
        handle.posted = self.service.ready(&handle.node) & handle.interest;
        Ok(handle.posted & wanted)
    }

    /// Events to post: handles that became ready, or were ready and got something new.
    pub fn news(&mut self) -> Vec<(usize, EventFlags)> {
        let mut news = Vec::new();
        for (id, handle) in &mut self.handles {
            if handle.interest.is_empty() {
                continue;
            }
            let ready = self.service.ready(&handle.node) & handle.interest;
            let activity = self.service.activity(&handle.node);
            let again = activity != handle.seen;
            if !ready.is_empty() && (again || !handle.posted.contains(ready)) {
                news.push((*id, ready));
            }
            handle.seen = activity;
            handle.posted = ready;
        }
        news
    }

    /// Forgets a handle.
    pub fn close(&mut self, id: usize) {
        if let Some(handle) = self.handles.remove(&id) {
            self.service.close(handle.node);
        }
    }

    /// The service and one handle, for an operation on it. The root is a directory and nothing else.
    pub fn with(&mut self, id: usize) -> Result<(&mut S, &mut Handle<S::Node>)> {
        let missing = Error::new(if id == ROOT { EISDIR } else { EBADF });
        let handle = self.handles.get_mut(&id).ok_or(missing)?;
        Ok((&mut self.service, handle))
    }

    /// Whether a request on this handle must not wait.
    pub fn nonblocking(&self, id: usize) -> bool {
        self.handles
            .get(&id)
            .is_some_and(|handle| handle.flags & O_NONBLOCK != 0)
    }

    fn room(&self) -> Result<()> {
        if self.handles.len() < HANDLES_MAX {
            Ok(())
        } else {
            Err(Error::new(ENFILE))
        }
    }

    fn insert(&mut self, opened: Opened<S::Node>, flags: usize) -> NewHandle {
        let (node, positioned) = match opened {
            Opened::Stream(node) => (node, false),
            Opened::Positioned(node) => (node, true),
        };
        let id = self.next_id;
        self.next_id += 1;
        let none = EventFlags::empty();
        let handle = Handle {
            node,
            flags,
            interest: none,
            posted: none,
            seen: 0,
        };
        self.handles.insert(id, handle);
        NewHandle { id, positioned }
    }
}

/// The node a path is relative to; none for the scheme root.
fn base<N>(handles: &BTreeMap<usize, Handle<N>>, dir: usize) -> Result<Option<&N>> {
    match dir {
        ROOT => Ok(None),
        _ => handles
            .get(&dir)
            .map(|handle| Some(&handle.node))
            .ok_or(Error::new(EBADF)),
    }
}
