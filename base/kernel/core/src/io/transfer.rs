//! Reading, writing and the cursor.

use valence_abi::errno::{EBADF, EBUSY, EINVAL, ESPIPE, Errno};
use valence_abi::flags::{SEEK_CUR, SEEK_END, SEEK_SET};
use valence_abi::scheme::{NO_OFFSET, opcode};

use crate::io::file::{File, Target};
use crate::kernel::{FileId, Kernel, Outcome, Stop};
use crate::limits::{REQUEST_BUFFER_MAX, TRANSFER_MAX};
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::request::{Call, Completion, Data};
use crate::task::thread::Caller;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the caller.
    Read,
    /// From the caller.
    Write,
}

impl<M: Machine> Kernel<M> {
    /// `READ`, `WRITE`, `PREAD`, `PWRITE`. `at`: an explicit offset, which leaves the cursor alone.
    pub(crate) fn transfer(
        &mut self,
        who: &Caller,
        fd: usize,
        (addr, len): (usize, usize),
        at: Option<u64>,
        direction: Direction,
    ) -> Outcome {
        if len > isize::MAX as usize {
            return Err(EINVAL.into());
        }
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        let offset = match (at, file.positioned) {
            (Some(_), false) => return Err(ESPIPE.into()),
            (Some(offset), true) if offset > i64::MAX as u64 => return Err(EINVAL.into()),
            (Some(offset), true) => offset,
            (None, true) => file.offset,
            (None, false) => NO_OFFSET,
        };
        let buffer = Buffer {
            space: who.space,
            addr,
            len: len.min(TRANSFER_MAX),
        };
        let cursor = (file.positioned && at.is_none()).then_some(id);
        match file.target {
            Target::Kernel(index) => {
                let count = self.transfer_kernel(who, index, &file, buffer, offset, direction)?;
                if let Some(file) = cursor.and_then(|id| self.files.get_mut(id)) {
                    file.offset = file.offset.saturating_add(count as u64);
                }
                Ok(count)
            }
            Target::User(scheme) => {
                let len = buffer.len.min(REQUEST_BUFFER_MAX);
                let (op, data) = match direction {
                    Direction::Read => (opcode::READ, Data::Out(buffer)),
                    Direction::Write => (opcode::WRITE, Data::In(buffer)),
                };
                let args = [file.handle, 0, 0, offset, file.flags as u64, 0];
                let call = Call::new(op, id, args, Completion::Count { len, cursor });
                self.request(who, scheme, call.with(data))
            }
            Target::Socket(scheme) => match direction {
                Direction::Read => self.socket_read(scheme, buffer, file.flags),
                Direction::Write => self.socket_write(who, scheme, buffer),
            },
        }
    }

    fn transfer_kernel(
        &mut self,
        who: &Caller,
        index: usize,
        file: &File,
        buffer: Buffer,
        offset: u64,
        direction: Direction,
    ) -> Outcome {
        let (handle, flags) = (file.handle, file.flags);
        if handle == crate::io::file::ROOT {
            return Err(EBADF.into());
        }
        self.with_scheme(index, |scheme, kernel| match direction {
            Direction::Read => scheme.read(kernel, who, handle, buffer, offset, flags),
            Direction::Write => scheme.write(kernel, who, handle, buffer, offset, flags),
        })
        .unwrap_or(Err(Stop::Errno(EBUSY)))
    }

    /// `LSEEK`.
    pub(crate) fn seek(&mut self, who: &Caller, fd: usize, offset: i64, whence: usize) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        if !file.positioned {
            return Err(ESPIPE.into());
        }
        match whence {
            SEEK_SET => self.set_cursor(id, 0, offset),
            SEEK_CUR => self.set_cursor(id, file.offset, offset),
            SEEK_END => match file.target {
                Target::Kernel(index) => {
                    let size = self
                        .with_scheme(index, |scheme, kernel| scheme.size(kernel, file.handle))
                        .unwrap_or(Err(EBUSY))?;
                    self.set_cursor(id, size, offset)
                }
                Target::User(scheme) => {
                    let args = [file.handle, 0, 0, 0, 0, 0];
                    let completion = Completion::Seek { file: id, offset };
                    self.request(who, scheme, Call::new(opcode::FSIZE, id, args, completion))
                }
                Target::Socket(_) => Err(ESPIPE.into()),
            },
            _ => Err(EINVAL.into()),
        }
    }

    fn set_cursor(&mut self, id: FileId, base: u64, offset: i64) -> Outcome {
        let position = i64::try_from(base)
            .ok()
            .and_then(|base| base.checked_add(offset))
            .filter(|position| *position >= 0)
            .ok_or::<Errno>(EINVAL)?;
        self.files.get_mut(id).ok_or::<Errno>(EBADF)?.offset = position as u64;
        Ok(position as usize)
    }
}
