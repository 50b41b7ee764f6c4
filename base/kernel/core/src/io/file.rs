//! Open descriptions and their references.
//!
//! References are held by descriptor slots, namespace entries, mappings, requests in progress and descriptions in
//! transit. The last one closes the handle at its scheme.

use valence_abi::errno::{EBADF, ENFILE, Errno};

use crate::io::table::Slot;
use crate::kernel::{FileId, Kernel, ProcessId, SchemeId};
use crate::machine::Machine;
use crate::task::group::Resource;

/// Who serves a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A scheme of the kernel, by index.
    Kernel(usize),
    /// A daemon.
    User(SchemeId),
    /// The daemon's own end of a user scheme.
    Socket(SchemeId),
}

/// An open description.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Who serves it.
    pub target: Target,
    /// The server's number for it.
    pub handle: u64,
    /// `O_*` flags.
    pub flags: usize,
    /// Cursor, when `positioned`.
    pub offset: u64,
    /// Whether it has a cursor.
    pub positioned: bool,
    /// Users of it.
    pub references: u32,
}

/// Handle of a kernel scheme's root.
pub const ROOT: u64 = u64::MAX;

impl File {
    /// A description with one reference.
    pub fn new(target: Target, handle: u64, flags: usize, positioned: bool) -> Self {
        Self {
            target,
            handle,
            flags,
            offset: 0,
            positioned,
            references: 1,
        }
    }
}

impl<M: Machine> Kernel<M> {
    /// Adds a description. When there is no room its handle is closed again.
    pub fn file_new(&mut self, file: File) -> Result<FileId, Errno> {
        self.files.insert(file).map_err(|file| {
            self.close_handle(file.target, file.handle);
            ENFILE
        })
    }

    /// One reference more.
    pub fn file_retain(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id) {
            file.references = file.references.saturating_add(1);
        }
    }

    /// One reference less; the last closes.
    pub fn file_release(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(id) else {
            return;
        };
        file.references = file.references.saturating_sub(1);
        if file.references > 0 {
            return;
        }
        if let Some(file) = self.files.remove(id) {
            self.unsubscribe_file(file.target, file.handle, id);
            self.close_handle(file.target, file.handle);
        }
    }

    fn close_handle(&mut self, target: Target, handle: u64) {
        match target {
            Target::Kernel(_) if handle == ROOT => {}
            Target::Kernel(index) => {
                if self
                    .with_scheme(index, |scheme, kernel| scheme.close(kernel, handle))
                    .is_none()
                {
                    self.deferred.push((index, handle));
                }
            }
            Target::User(scheme) => self.send_close(scheme, handle),
            Target::Socket(scheme) => self.scheme_die(scheme),
        }
    }

    /// Closes what could not be closed while its scheme was busy.
    pub(crate) fn run_deferred(&mut self) {
        while let Some((index, handle)) = self.deferred.pop() {
            self.with_scheme(index, |scheme, kernel| scheme.close(kernel, handle));
        }
    }

    /// The description behind a descriptor.
    pub fn fd_file(&self, process: ProcessId, fd: usize) -> Result<FileId, Errno> {
        Ok(self.processes.get(process).ok_or(EBADF)?.fds.get(fd)?.file)
    }

    /// A description by id, copied.
    pub fn file(&self, id: FileId) -> Result<File, Errno> {
        self.files.get(id).copied().ok_or(EBADF)
    }

    /// Gives a process a descriptor for a description; takes one reference over, also on failure.
    pub fn fd_insert(
        &mut self,
        process: ProcessId,
        least: usize,
        file: FileId,
        close_on_exec: bool,
    ) -> Result<usize, Errno> {
        let group = self.group_of(process);
        let result = self.charge(group, Resource::Handles, 1).and_then(|()| {
            let table = self
                .processes
                .get_mut(process)
                .map(|process| &mut process.fds);
            let slot = Slot {
                file,
                close_on_exec,
            };
            let fd = table
                .ok_or(EBADF)
                .and_then(|table| table.insert(least, slot));
            if fd.is_err() {
                self.uncharge(group, Resource::Handles, 1);
            }
            fd
        });
        if result.is_err() {
            self.file_release(file);
        }
        result
    }

    /// Takes a descriptor away; its reference passes to the caller.
    pub fn fd_remove(&mut self, process: ProcessId, fd: usize) -> Result<FileId, Errno> {
        let slot = self
            .processes
            .get_mut(process)
            .ok_or(EBADF)?
            .fds
            .remove(fd)?;
        let group = self.group_of(process);
        self.uncharge(group, Resource::Handles, 1);
        Ok(slot.file)
    }
}
