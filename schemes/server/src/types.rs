//! The plain data of the kit: who calls, how a file is opened, what stat says.

use crate::{Errno, Result};

/// Number of an open handle, unique in the life of the daemon: never used again after close.
pub type HandleId = u64;

/// Who made a request. On Redox the kernel vouches for these; under FUSE, Linux does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Process, 0 when unknown.
    pub pid: u64,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

impl Caller {
    /// The system itself: what a daemon does on its own account.
    pub const SYSTEM: Caller = Caller {
        pid: 0,
        uid: 0,
        gid: 0,
    };
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// The handle may read.
    pub read: bool,
    /// The handle may write.
    pub write: bool,
    /// Make the file if it is not there.
    pub create: bool,
    /// With `create`: fail with EEXIST if it is there.
    pub exclusive: bool,
    /// Empty the file first. The kit has called [`crate::Service::truncate`] when `open` sees this.
    pub truncate: bool,
    /// Writes go to the end.
    pub append: bool,
    /// Requests answer EAGAIN where they would wait.
    pub nonblock: bool,
    /// Only a directory will do.
    pub directory: bool,
    /// Only stat is wanted (Redox O_STAT, Linux O_PATH): the service is not asked to open anything.
    pub stat_only: bool,
}

impl OpenFlags {
    const NONE: OpenFlags = OpenFlags {
        read: false,
        write: false,
        create: false,
        exclusive: false,
        truncate: false,
        append: false,
        nonblock: false,
        directory: false,
        stat_only: false,
    };
    /// Read only.
    pub const READ: OpenFlags = OpenFlags {
        read: true,
        ..Self::NONE
    };
    /// Write only.
    pub const WRITE: OpenFlags = OpenFlags {
        write: true,
        ..Self::NONE
    };
    /// Read and write.
    pub const READ_WRITE: OpenFlags = OpenFlags {
        read: true,
        write: true,
        ..Self::NONE
    };
    /// Write only; made if missing, emptied if there (what `>` does in a shell).
    pub const REPLACE: OpenFlags = OpenFlags {
        write: true,
        create: true,
        truncate: true,
        ..Self::NONE
    };

    /// The same with non-blocking requests.
    pub const fn nonblocking(self) -> OpenFlags {
        OpenFlags {
            nonblock: true,
            ..self
        }
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A file.
    File,
}

/// What stat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Directory or file.
    pub kind: Kind,
    /// Permission bits (0o777). A file without any write bit cannot be opened for writing even by root: the bits
    /// say what the file can do, not only who may.
    pub mode: u16,
    /// Size in bytes; 0 for streams.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change, seconds since 1970.
    pub modified_s: u64,
}

impl Stat {
    /// A directory owned by root.
    pub const fn dir(mode: u16) -> Stat {
        Stat {
            kind: Kind::Dir,
            mode,
            size: 0,
            uid: 0,
            gid: 0,
            modified_s: 0,
        }
    }

    /// A file owned by root.
    pub const fn file(mode: u16, size: u64) -> Stat {
        Stat {
            kind: Kind::File,
            mode,
            size,
            uid: 0,
            gid: 0,
            modified_s: 0,
        }
    }

    /// The same, owned by somebody else.
    pub const fn owned_by(self, uid: u32, gid: u32) -> Stat {
        Stat { uid, gid, ..self }
    }

    /// The same, changed at `seconds`.
    pub const fn modified(self, seconds: u64) -> Stat {
        Stat {
            modified_s: seconds,
            ..self
        }
    }

    /// Whether `caller` may open this for what `how` asks.
    ///
    /// # Errors
    /// EACCES where a wanted bit is missing for the caller, or for everybody.
    pub fn permit(&self, caller: &Caller, how: OpenFlags) -> Result<()> {
        let shift = match () {
            () if caller.uid == self.uid => 6,
            () if caller.gid == self.gid => 3,
            () => 0,
        };
        let granted = if caller.uid == 0 {
            (self.mode | self.mode >> 3 | self.mode >> 6) & 7
        } else {
            self.mode >> shift & 7
        };
        let wanted = u16::from(how.read) << 2 | u16::from(how.write) << 1;
        if wanted & !granted == 0 {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without a slash.
    pub name: String,
    /// Directory or file.
    pub kind: Kind,
}

impl Entry {
    /// A file of that name.
    pub fn file(name: impl Into<String>) -> Entry {
        Entry {
            name: name.into(),
            kind: Kind::File,
        }
    }

    /// A directory of that name.
    pub fn dir(name: impl Into<String>) -> Entry {
        Entry {
            name: name.into(),
            kind: Kind::Dir,
        }
    }
}

/// Which requests would not wait now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read would give bytes, an end or an error.
    pub read: bool,
    /// A write would be taken.
    pub write: bool,
}

impl Ready {
    /// Neither.
    pub const NONE: Ready = Ready {
        read: false,
        write: false,
    };
    /// Both: what a plain file says.
    pub const BOTH: Ready = Ready {
        read: true,
        write: true,
    };

    /// What is in both.
    pub fn and(self, other: Ready) -> Ready {
        Ready {
            read: self.read && other.read,
            write: self.write && other.write,
        }
    }

    /// Whether anything is ready.
    pub fn any(self) -> bool {
        self.read || self.write
    }
}
