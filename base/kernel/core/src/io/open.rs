//! Names: opening, duplicating, closing, removing, renaming.

use alloc::string::String;
use alloc::vec::Vec;

use valence_abi::PATH_MAX;
use valence_abi::errno::{
    EBADF, EBUSY, EINVAL, EIO, ENAMETOOLONG, ENODEV, ENOENT, EPERM, EXDEV, Errno,
};
use valence_abi::flags::{O_CLOEXEC, O_FCNTL_MASK};
use valence_abi::scheme::opcode;
use valence_abi::syscall::AT_NAMESPACE;

use crate::io::file::{File, Target};
use crate::io::table::Slot;
use crate::kernel::{FileId, Kernel, Outcome, Stop};
use crate::limits::DESCRIPTORS_MAX;
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::kernel_scheme::Opened;
use crate::scheme::request::{Call, Completion, Data};
use crate::task::group::Resource;
use crate::task::thread::Caller;

/// Whether a path has a part `..`. Programs' paths have none: the C library resolves them. A raw one could lead out of the
/// directory whose handle was granted.
pub fn goes_up(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/' || *byte == 0)
        .any(|part| part == b"..")
}

/// Splits `NAME/REF` into name and reference.
pub fn split_name(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

impl<M: Machine> Kernel<M> {
    /// A path from user memory: at most `PATH_MAX` bytes of UTF-8 without NUL and without `..`.
    pub(crate) fn read_path(
        &mut self,
        who: &Caller,
        addr: usize,
        len: usize,
    ) -> Result<String, Errno> {
        if len > PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        let bytes = self.read_buffer(Buffer {
            space: who.space,
            addr,
            len,
        })?;
        if bytes.contains(&0) {
            return Err(EINVAL);
        }
        if goes_up(&bytes) {
            return Err(EPERM);
        }
        String::from_utf8(bytes).map_err(|_| EINVAL)
    }

    /// A short word for `dup` and the like: any bytes.
    fn read_word(&mut self, who: &Caller, addr: usize, len: usize) -> Result<Vec<u8>, Errno> {
        if len > PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        self.read_buffer(Buffer {
            space: who.space,
            addr,
            len,
        })
    }

    /// The description that a path starts from, and the rest of the path.
    fn resolve_dir<'p>(
        &self,
        who: &Caller,
        dirfd: usize,
        path: &'p str,
    ) -> Result<(FileId, &'p str), Errno> {
        if dirfd != AT_NAMESPACE {
            return Ok((self.fd_file(who.process, dirfd)?, path));
        }
        let (name, reference) = split_name(path);
        let namespace = self.processes.get(who.process).ok_or(EBADF)?.namespace;
        Ok((self.namespace_find(namespace, name)?, reference))
    }

    /// `OPENAT`.
    pub(crate) fn open_at(
        &mut self,
        who: &Caller,
        dirfd: usize,
        (addr, len): (usize, usize),
        flags: usize,
    ) -> Outcome {
        let path = self.read_path(who, addr, len)?;
        if dirfd == AT_NAMESPACE && path.is_empty() {
            let namespace = self
                .processes
                .get(who.process)
                .ok_or::<Errno>(EBADF)?
                .namespace;
            let file = self.namespace_file(namespace)?;
            return Ok(self.fd_insert(who.process, 0, file, flags & O_CLOEXEC != 0)?);
        }
        let (dir, reference) = self.resolve_dir(who, dirfd, &path)?;
        let parent = self.file(dir)?;
        let close_on_exec = flags & O_CLOEXEC != 0;
        match parent.target {
            Target::Kernel(index) => {
                let opened = self
                    .with_scheme(index, |scheme, kernel| {
                        scheme.open(kernel, who, parent.handle, reference, flags)
                    })
                    .unwrap_or(Err(Stop::Errno(EBUSY)))?;
                self.finish_open(who, index, opened, flags & !O_CLOEXEC, close_on_exec)
            }
            Target::User(scheme) => {
                let bits = (flags & O_FCNTL_MASK) as u64;
                let args = [parent.handle, 0, 0, flags as u64, bits, 0];
                let completion = Completion::Open {
                    flags: flags & !O_CLOEXEC & !0xFFFF,
                    close_on_exec,
                };
                let call = Call::new(opcode::OPEN_AT, dir, args, completion);
                self.request(who, scheme, call.with(Data::Bytes(reference.as_bytes())))
            }
            Target::Socket(_) => Err(ENOENT.into()),
        }
    }

    fn finish_open(
        &mut self,
        who: &Caller,
        index: usize,
        opened: Opened,
        flags: usize,
        close_on_exec: bool,
    ) -> Outcome {
        let file = match opened {
            Opened::File(file) => file,
            Opened::Handle { handle, positioned } => {
                self.file_new(File::new(Target::Kernel(index), handle, flags, positioned))?
            }
        };
        Ok(self.fd_insert(who.process, 0, file, close_on_exec)?)
    }

    /// `DUP`.
    pub(crate) fn dup(
        &mut self,
        who: &Caller,
        fd: usize,
        (addr, len): (usize, usize),
        flags: usize,
    ) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let close_on_exec = flags & O_CLOEXEC != 0;
        if len == 0 {
            self.file_retain(id);
            return Ok(self.fd_insert(who.process, 0, id, close_on_exec)?);
        }
        let file = self.file(id)?;
        let text = self.read_word(who, addr, len)?;
        match file.target {
            Target::Kernel(index) => {
                let opened = self
                    .with_scheme(index, |scheme, kernel| {
                        scheme.dup(kernel, who, file.handle, &text)
                    })
                    .unwrap_or(Err(Stop::Errno(EBUSY)))?;
                self.finish_open(who, index, opened, file.flags, close_on_exec)
            }
            Target::User(scheme) => {
                let args = [file.handle, 0, 0, 0, 0, 0];
                let completion = Completion::Open {
                    flags: file.flags,
                    close_on_exec,
                };
                let call = Call::new(opcode::DUP, id, args, completion);
                self.request(who, scheme, call.with(Data::Bytes(&text)))
            }
            Target::Socket(scheme) => {
                let file = self.socket_dup(scheme, &text)?;
                Ok(self.fd_insert(who.process, 0, file, close_on_exec)?)
            }
        }
    }

    /// `DUP2`.
    pub(crate) fn dup2(&mut self, who: &Caller, fd: usize, new: usize, flags: usize) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        if fd == new {
            return Err(EINVAL.into());
        }
        if new >= DESCRIPTORS_MAX {
            return Err(EBADF.into());
        }
        let group = self.group_of(who.process);
        let process = self.processes.get(who.process).ok_or::<Errno>(EBADF)?;
        let fresh = process.fds.get(new).is_err();
        if fresh {
            self.charge(group, Resource::Handles, 1)?;
        }
        self.file_retain(id);
        let slot = Slot {
            file: id,
            close_on_exec: flags & O_CLOEXEC != 0,
        };
        let process = self.processes.get_mut(who.process).ok_or::<Errno>(EBADF)?;
        let old = process.fds.replace(new, slot)?;
        if let Some(old) = old {
            self.file_release(old.file);
        }
        Ok(new)
    }

    /// `CLOSE`.
    pub(crate) fn close(&mut self, who: &Caller, fd: usize) -> Outcome {
        let file = self.fd_remove(who.process, fd)?;
        self.file_release(file);
        Ok(0)
    }

    /// `UNLINKAT`.
    pub(crate) fn unlink_at(
        &mut self,
        who: &Caller,
        dirfd: usize,
        (addr, len): (usize, usize),
        flags: usize,
    ) -> Outcome {
        let path = self.read_path(who, addr, len)?;
        if dirfd == AT_NAMESPACE && !path.contains('/') {
            let namespace = self
                .processes
                .get(who.process)
                .ok_or::<Errno>(EBADF)?
                .namespace;
            if !self.namespace_has_authority(namespace) {
                return Err(EPERM.into());
            }
            self.namespace_unregister(namespace, &path)?;
            return Ok(0);
        }
        let (dir, reference) = self.resolve_dir(who, dirfd, &path)?;
        let parent = self.file(dir)?;
        match parent.target {
            Target::Kernel(index) => {
                self.with_scheme(index, |scheme, kernel| {
                    scheme.unlink(kernel, who, parent.handle, reference, flags)
                })
                .unwrap_or(Err(EBUSY))?;
                Ok(0)
            }
            Target::User(scheme) => {
                let args = [parent.handle, 0, 0, flags as u64, 0, 0];
                let call = Call::new(opcode::UNLINK_AT, dir, args, Completion::Value);
                self.request(who, scheme, call.with(Data::Bytes(reference.as_bytes())))
            }
            Target::Socket(_) => Err(ENOENT.into()),
        }
    }

    /// `FRENAME` and `FLINK`: the new name must be in the same scheme.
    pub(crate) fn rename(
        &mut self,
        who: &Caller,
        op: u8,
        fd: usize,
        (addr, len): (usize, usize),
    ) -> Outcome {
        let path = self.read_path(who, addr, len)?;
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        let (root, reference) = self.resolve_dir(who, AT_NAMESPACE, &path)?;
        if self.file(root)?.target != file.target {
            return Err(EXDEV.into());
        }
        let Target::User(scheme) = file.target else {
            return Err(EPERM.into());
        };
        let args = [file.handle, 0, 0, 0, 0, 0];
        let call = Call::new(op, id, args, Completion::Value);
        self.request(who, scheme, call.with(Data::Bytes(reference.as_bytes())))
    }

    /// A description of a namespace.
    pub(crate) fn namespace_file(
        &mut self,
        namespace: crate::kernel::NamespaceId,
    ) -> Result<FileId, Errno> {
        let index = self.scheme_index("namespace").ok_or(ENODEV)?;
        self.namespace_retain(namespace);
        let file = File::new(Target::Kernel(index), namespace.raw(), 0, true);
        self.file_new(file).map_err(|_| EIO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_ends_at_the_first_slash_and_the_rest_is_verbatim() {
        assert_eq!(split_name("file/a/b"), ("file", "a/b"));
        assert_eq!(split_name("file//a"), ("file", "/a"));
        assert_eq!(split_name("file"), ("file", ""));
        assert_eq!(split_name(""), ("", ""));
    }

    #[test]
    fn going_up_is_seen_wherever_it_stands() {
        for path in ["..", "../a", "a/..", "a/../b", "a\0../b"] {
            assert!(goes_up(path.as_bytes()), "{path:?}");
        }
        for path in ["", ".", "...", "a..", "..a/b", "a/..b"] {
            assert!(!goes_up(path.as_bytes()), "{path:?}");
        }
    }
}
