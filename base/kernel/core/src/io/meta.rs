//! Metadata, flags and directory listings.

use alloc::vec::Vec;

use valence_abi::errno::{EBADF, EBUSY, EINVAL, EOPNOTSUPP, EPERM, Errno};
use valence_abi::flags::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL, O_CLOEXEC, O_FCNTL_MASK,
};
use valence_abi::layout::{Stat, StatVfs, dirent};
use valence_abi::scheme::opcode;
use valence_abi::syscall;

use crate::io::file::Target;
use crate::kernel::{Kernel, Outcome, Stop};
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::kernel_scheme::Entry;
use crate::scheme::request::{Call, Completion, Data};
use crate::task::thread::Caller;

/// `Stat` as bytes, padding zero.
pub fn stat_bytes(stat: &Stat) -> [u8; size_of::<Stat>()] {
    let mut bytes = [0; size_of::<Stat>()];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &stat.dev.to_le_bytes());
    put(8, &stat.ino.to_le_bytes());
    put(16, &stat.mode.to_le_bytes());
    put(20, &stat.nlink.to_le_bytes());
    put(24, &stat.uid.to_le_bytes());
    put(28, &stat.gid.to_le_bytes());
    put(32, &stat.size.to_le_bytes());
    put(40, &stat.blksize.to_le_bytes());
    put(48, &stat.blocks.to_le_bytes());
    put(56, &stat.mtime.to_le_bytes());
    put(64, &stat.mtime_nsec.to_le_bytes());
    put(72, &stat.atime.to_le_bytes());
    put(80, &stat.atime_nsec.to_le_bytes());
    put(88, &stat.ctime.to_le_bytes());
    put(96, &stat.ctime_nsec.to_le_bytes());
    bytes
}

fn statvfs_bytes(totals: &StatVfs) -> [u8; size_of::<StatVfs>()] {
    let mut bytes = [0; size_of::<StatVfs>()];
    bytes[..4].copy_from_slice(&totals.bsize.to_le_bytes());
    bytes[8..16].copy_from_slice(&totals.blocks.to_le_bytes());
    bytes[16..24].copy_from_slice(&totals.bfree.to_le_bytes());
    bytes[24..32].copy_from_slice(&totals.bavail.to_le_bytes());
    bytes
}

/// Directory records from entry number `from` on, as many as fit. `EINVAL` when not even one does.
pub fn dirent_records(entries: &[Entry], from: usize, room: usize) -> Result<Vec<u8>, Errno> {
    let mut out: Vec<u8> = Vec::new();
    for (index, entry) in entries.iter().enumerate().skip(from) {
        let len = (dirent::HEADER_SIZE + entry.name.len() + 1).next_multiple_of(8);
        if out.len() + len > room {
            if out.is_empty() {
                return Err(EINVAL);
            }
            break;
        }
        let end = out.len() + len;
        out.extend(0u64.to_le_bytes());
        out.extend((index as u64 + 1).to_le_bytes());
        out.extend((len as u16).to_le_bytes());
        out.push(entry.kind);
        out.extend(entry.name.as_bytes());
        out.resize(end, 0);
    }
    Ok(out)
}

impl<M: Machine> Kernel<M> {
    /// `FSTAT`.
    pub(crate) fn fstat(&mut self, who: &Caller, fd: usize, addr: usize) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        match file.target {
            Target::Kernel(index) => {
                let stat = self
                    .with_scheme(index, |scheme, kernel| scheme.stat(kernel, file.handle))
                    .unwrap_or(Err(EBUSY))?;
                let stat = Stat {
                    dev: index as u64 + 1,
                    ..stat
                };
                self.copy_out(who.space, addr, &stat_bytes(&stat))?;
                Ok(0)
            }
            Target::User(scheme) => {
                let buffer = Buffer {
                    space: who.space,
                    addr,
                    len: size_of::<Stat>(),
                };
                let args = [file.handle, 0, 0, 0, 0, 0];
                let call = Call::new(opcode::FSTAT, id, args, Completion::Stat(addr));
                self.request(who, scheme, call.with(Data::Out(buffer)))
            }
            Target::Socket(_) => {
                let stat = Stat {
                    mode: valence_abi::flags::MODE_SOCK | 0o600,
                    ..Stat::default()
                };
                self.copy_out(who.space, addr, &stat_bytes(&stat))?;
                Ok(0)
            }
        }
    }

    /// `FSTATVFS`.
    pub(crate) fn fstatvfs(&mut self, who: &Caller, fd: usize, addr: usize) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        match file.target {
            Target::Kernel(index) => {
                let totals = self
                    .with_scheme(index, |scheme, kernel| scheme.statvfs(kernel, file.handle))
                    .unwrap_or(Err(EBUSY))?;
                self.copy_out(who.space, addr, &statvfs_bytes(&totals))?;
                Ok(0)
            }
            Target::User(scheme) => {
                let buffer = Buffer {
                    space: who.space,
                    addr,
                    len: size_of::<StatVfs>(),
                };
                let args = [file.handle, 0, 0, 0, 0, 0];
                let call = Call::new(opcode::FSTATVFS, id, args, Completion::Value);
                self.request(who, scheme, call.with(Data::Out(buffer)))
            }
            Target::Socket(_) => Err(EOPNOTSUPP.into()),
        }
    }

    /// `FPATH`.
    pub(crate) fn fpath(&mut self, who: &Caller, fd: usize, addr: usize, len: usize) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        let buffer = Buffer {
            space: who.space,
            addr,
            len: len.min(valence_abi::PATH_MAX),
        };
        match file.target {
            Target::Kernel(index) => {
                let path = self
                    .with_scheme(index, |scheme, kernel| {
                        let path = scheme.path(kernel, file.handle)?;
                        Ok::<_, Errno>(alloc::format!("/scheme/{}/{path}", scheme.name()))
                    })
                    .unwrap_or(Err(EBUSY))?;
                Ok(self.fill_buffer(buffer, path.as_bytes())?)
            }
            Target::User(scheme) => {
                let args = [file.handle, 0, 0, 0, 0, 0];
                let completion = Completion::Count {
                    len: buffer.len,
                    cursor: None,
                };
                let call = Call::new(opcode::FPATH, id, args, completion);
                self.request(who, scheme, call.with(Data::Out(buffer)))
            }
            Target::Socket(_) => Err(EBADF.into()),
        }
    }

    /// `FSYNC`, `FTRUNCATE`, `FCHMOD`, `FCHOWN`: calls without data.
    pub(crate) fn simple(&mut self, who: &Caller, number: usize, args: [usize; 3]) -> Outcome {
        let id = self.fd_file(who.process, args[0])?;
        let file = self.file(id)?;
        let op = match number {
            syscall::FSYNC => opcode::FSYNC,
            syscall::FTRUNCATE => opcode::FTRUNCATE,
            syscall::FCHMOD => opcode::FCHMOD,
            _ => opcode::FCHOWN,
        };
        if op == opcode::FTRUNCATE && args[1] > i64::MAX as usize {
            return Err(EINVAL.into());
        }
        match file.target {
            Target::Kernel(index) => match op {
                opcode::FSYNC => Ok(0),
                opcode::FTRUNCATE => {
                    let len = args[1] as u64;
                    self.with_scheme(index, |scheme, kernel| {
                        scheme.truncate(kernel, file.handle, len)
                    })
                    .unwrap_or(Err(EBUSY))?;
                    Ok(0)
                }
                _ => Err(EPERM.into()),
            },
            Target::User(scheme) => {
                let words = [file.handle, args[1] as u64, args[2] as u64, 0, 0, 0];
                self.request(who, scheme, Call::new(op, id, words, Completion::Value))
            }
            Target::Socket(_) if op == opcode::FSYNC => Ok(0),
            Target::Socket(_) => Err(EINVAL.into()),
        }
    }

    /// `FUTIMENS`.
    pub(crate) fn futimens(
        &mut self,
        who: &Caller,
        fd: usize,
        addr: usize,
        count: usize,
    ) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        if count > 2 {
            return Err(EINVAL.into());
        }
        let Target::User(scheme) = file.target else {
            return Err(EPERM.into());
        };
        let buffer = Buffer {
            space: who.space,
            addr,
            len: count * 16,
        };
        let args = [file.handle, 0, 0, 0, 0, 0];
        let call = Call::new(opcode::FUTIMENS, id, args, Completion::Value);
        self.request(who, scheme, call.with(Data::In(buffer)))
    }

    /// `GETDENTS`.
    pub(crate) fn getdents(
        &mut self,
        who: &Caller,
        fd: usize,
        (addr, len): (usize, usize),
        opaque: u64,
    ) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        let buffer = Buffer {
            space: who.space,
            addr,
            len: len.min(crate::limits::REQUEST_BUFFER_MAX),
        };
        match file.target {
            Target::Kernel(index) => {
                let entries = self
                    .with_scheme(index, |scheme, kernel| scheme.entries(kernel, file.handle))
                    .unwrap_or(Err(EBUSY))?;
                let from = usize::try_from(opaque).unwrap_or(usize::MAX);
                let records = dirent_records(&entries, from, buffer.len)?;
                Ok(self.fill_buffer(buffer, &records)?)
            }
            Target::User(scheme) => {
                let args = [file.handle, 0, 0, dirent::HEADER_SIZE as u64, opaque, 0];
                let completion = Completion::Count {
                    len: buffer.len,
                    cursor: None,
                };
                let call = Call::new(opcode::GETDENTS, id, args, completion);
                self.request(who, scheme, call.with(Data::Out(buffer)))
            }
            Target::Socket(_) => Err(valence_abi::errno::ENOTDIR.into()),
        }
    }

    /// `FCNTL`.
    pub(crate) fn fcntl(&mut self, who: &Caller, fd: usize, cmd: usize, arg: usize) -> Outcome {
        let id = self.fd_file(who.process, fd)?;
        match cmd {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                if arg >= crate::limits::DESCRIPTORS_MAX {
                    return Err(EINVAL.into());
                }
                self.file_retain(id);
                Ok(self.fd_insert(who.process, arg, id, cmd == F_DUPFD_CLOEXEC)?)
            }
            F_GETFD | F_SETFD => {
                let process = self.processes.get_mut(who.process).ok_or::<Errno>(EBADF)?;
                let slot = process.fds.get_mut(fd)?;
                if cmd == F_GETFD {
                    return Ok(if slot.close_on_exec { O_CLOEXEC } else { 0 });
                }
                slot.close_on_exec = arg & O_CLOEXEC != 0;
                Ok(0)
            }
            F_GETFL => Ok(self.file(id)?.flags),
            F_SETFL => {
                let file = self.files.get_mut(id).ok_or::<Errno>(EBADF)?;
                file.flags = file.flags & !O_FCNTL_MASK | arg & O_FCNTL_MASK;
                let file = *file;
                let Target::User(scheme) = file.target else {
                    return Ok(0);
                };
                let args = [file.handle, cmd as u64, file.flags as u64, 0, 0, 0];
                let call = Call::new(opcode::FCNTL, id, args, Completion::Flags(0));
                self.request(who, scheme, call)
            }
            _ => {
                let file = self.file(id)?;
                let Target::User(scheme) = file.target else {
                    return Err(Stop::Errno(EINVAL));
                };
                let args = [file.handle, cmd as u64, arg as u64, 0, 0, 0];
                self.request(
                    who,
                    scheme,
                    Call::new(opcode::FCNTL, id, args, Completion::Value),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_records_are_padded_and_continue_where_they_stopped() {
        let entry = |name: &str| Entry {
            name: name.into(),
            kind: dirent::FILE,
        };
        let entries = [entry("a"), entry("bbbbb"), entry("cc")];
        let first = dirent_records(&entries, 0, 60).unwrap();
        assert_eq!(first.len(), 24 + 32);
        assert_eq!(&first[8..16], &1u64.to_le_bytes());
        assert_eq!(&first[16..18], &24u16.to_le_bytes());
        assert_eq!(&first[19..24], b"a\0\0\0\0");
        assert_eq!(dirent_records(&entries, 2, 60).unwrap().len(), 24);
        assert_eq!(dirent_records(&entries, 3, 60).unwrap().len(), 0);
        assert_eq!(dirent_records(&entries, 1, 8), Err(EINVAL));
    }
}
