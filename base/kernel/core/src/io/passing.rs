//! Passing descriptors between processes.

use alloc::vec::Vec;

use valence_abi::errno::{EBADF, EINVAL, Errno};
use valence_abi::flags::call;

use crate::kernel::{FileId, Kernel};
use crate::limits::PASSED_FDS_MAX;
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::task::thread::Caller;

impl<M: Machine> Kernel<M> {
    /// The descriptions that an array of descriptors in the caller's memory names; one reference of each comes
    /// along. Without `FD_CLONE` the descriptors are taken from the caller.
    pub(crate) fn collect_files(
        &mut self,
        who: &Caller,
        payload: Buffer,
        flags: usize,
    ) -> Result<Vec<FileId>, Errno> {
        let count = payload.len / 8;
        if count == 0 || count > PASSED_FDS_MAX || !payload.len.is_multiple_of(8) {
            return Err(EINVAL);
        }
        let mut fds = Vec::new();
        for index in 0..count {
            let fd = self.read_u64(payload.space, payload.addr.wrapping_add(index * 8))? as usize;
            let file = self.fd_file(who.process, fd)?;
            let shared = self.file(file)?.references > 1;
            if fds.contains(&fd) || flags & call::FD_EXCLUSIVE != 0 && shared {
                return Err(EBADF);
            }
            fds.push(fd);
        }
        let mut files = Vec::new();
        for fd in fds {
            if flags & call::FD_CLONE != 0 {
                let file = self.fd_file(who.process, fd)?;
                self.file_retain(file);
                files.push(file);
            } else {
                files.push(self.fd_remove(who.process, fd)?);
            }
        }
        Ok(files)
    }

    /// Gives a process descriptors for these descriptions and writes their numbers to its memory. The references are used
    /// up in any case.
    pub(crate) fn receive_into(
        &mut self,
        who: &Caller,
        payload: Buffer,
        files: &[FileId],
        close_on_exec: bool,
    ) -> Result<(), Errno> {
        let mut inserted = Vec::new();
        let mut result = if payload.len / 8 < files.len() {
            Err(EINVAL)
        } else {
            Ok(())
        };
        for (index, file) in files.iter().enumerate() {
            if result.is_err() {
                self.file_release(*file);
                continue;
            }
            result = self
                .fd_insert(who.process, 0, *file, close_on_exec)
                .and_then(|fd| {
                    inserted.push(fd);
                    self.write_u64(
                        payload.space,
                        payload.addr.wrapping_add(index * 8),
                        fd as u64,
                    )
                });
        }
        if result.is_err() {
            for fd in inserted {
                if let Ok(file) = self.fd_remove(who.process, fd) {
                    self.file_release(file);
                }
            }
        }
        result
    }
}
