//! `CALL`: the generic call of a scheme, descriptor passing, and standard calls in their generic form.

use alloc::vec::Vec;

use valence_abi::PATH_MAX;
use valence_abi::errno::{EBADF, EBUSY, EINVAL, ENAMETOOLONG, EOPNOTSUPP, EPERM, EXDEV, Errno};
use valence_abi::flags::call;
use valence_abi::scheme::{opcode, std_fs};

use crate::io::file::{File, Target};
use crate::io::open::goes_up;
use crate::kernel::{FileId, Kernel, Outcome, SchemeId, Stop};
use crate::limits::TRANSFER_MAX;
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::request::{Call, Completion, Data};
use crate::task::thread::Caller;

/// Metadata words that reach a scheme.
const METADATA_WORDS: usize = 3;
/// Bits of the descriptor argument that count descriptors, when it is a pointer.
const COUNT_MASK: usize = 7;

impl<M: Machine> Kernel<M> {
    /// `CALL`. With `MULTIPLE_FDS*` the descriptor argument is the address of an array, with its count in the low three bits.
    pub(crate) fn call(
        &mut self,
        who: &Caller,
        fd: usize,
        (addr, len): (usize, usize),
        flags: usize,
        (metadata, words): (usize, usize),
    ) -> Outcome {
        if len > isize::MAX as usize || words > 255 {
            return Err(EINVAL.into());
        }
        let mut meta = [0; METADATA_WORDS];
        for (index, word) in meta.iter_mut().enumerate().take(words) {
            *word = self.read_u64(who.space, metadata.wrapping_add(index * 8))?;
        }
        let (fd, second) = self.call_descriptors(who, fd, flags)?;
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        let payload = Buffer {
            space: who.space,
            addr,
            len: len.min(TRANSFER_MAX),
        };
        let outcome = match file.target {
            Target::Socket(scheme) => self.socket_call(who, scheme, payload, flags, meta),
            Target::Kernel(index) => self.call_kernel(who, index, &file, payload, flags, meta),
            Target::User(scheme) => self.call_user(who, scheme, (id, second), payload, flags, meta),
        };
        if flags & call::CONSUME != 0
            && let Ok(file) = self.fd_remove(who.process, fd)
        {
            self.file_release(file);
        }
        outcome
    }

    fn call_descriptors(
        &mut self,
        who: &Caller,
        fd: usize,
        flags: usize,
    ) -> Result<(usize, Option<FileId>), Errno> {
        if flags & (call::MULTIPLE_FDS | call::MULTIPLE_FDS2) == 0 {
            return Ok((fd, None));
        }
        let (array, count) = (fd & !COUNT_MASK, fd & COUNT_MASK);
        let first = self.read_u64(who.space, array)? as usize;
        match count {
            1 => Ok((first, None)),
            2 => {
                let second = self.read_u64(who.space, array.wrapping_add(8))? as usize;
                Ok((first, Some(self.fd_file(who.process, second)?)))
            }
            _ => Err(EINVAL),
        }
    }

    fn call_kernel(
        &mut self,
        who: &Caller,
        index: usize,
        file: &File,
        payload: Buffer,
        flags: usize,
        meta: [u64; METADATA_WORDS],
    ) -> Outcome {
        let handle = file.handle;
        if flags & call::STD_FS != 0 {
            return Err(EOPNOTSUPP.into());
        }
        if flags & call::FD == 0 {
            return self
                .with_scheme(index, |scheme, kernel| {
                    scheme.call(kernel, who, handle, payload, flags, meta)
                })
                .unwrap_or(Err(Stop::Errno(EBUSY)));
        }
        if flags & call::WRITE != 0 {
            let files = self.collect_files(who, payload, flags | call::FD_CLONE)?;
            let sent = self
                .with_scheme(index, |scheme, kernel| {
                    scheme.send_files(kernel, handle, &files)
                })
                .unwrap_or(Err(Stop::Errno(EBUSY)));
            if let Err(stop) = sent {
                files.into_iter().for_each(|file| self.file_release(file));
                return Err(stop);
            }
            if flags & call::FD_CLONE == 0 {
                let moved = self.collect_files(who, payload, flags & !call::FD_EXCLUSIVE)?;
                moved.into_iter().for_each(|file| self.file_release(file));
            }
            return Ok(payload.len);
        }
        let count = payload.len / 8;
        let files = self
            .with_scheme(index, |scheme, kernel| {
                scheme.receive_files(kernel, handle, count, file.flags)
            })
            .unwrap_or(Err(Stop::Errno(EBUSY)))?;
        self.receive_into(who, payload, &files, flags & call::FD_CLOEXEC != 0)?;
        Ok(files.len() * 8)
    }

    fn call_user(
        &mut self,
        who: &Caller,
        scheme: SchemeId,
        (id, second): (FileId, Option<FileId>),
        payload: Buffer,
        flags: usize,
        meta: [u64; METADATA_WORDS],
    ) -> Outcome {
        let file = self.file(id)?;
        if let Some(second) = second
            && self.file(second)?.target != file.target
        {
            return Err(EXDEV.into());
        }
        if flags & call::FD != 0 {
            return self.call_user_fds(who, scheme, id, payload, flags, meta);
        }
        let data = match (flags & call::READ != 0, flags & call::WRITE != 0) {
            (true, true) => Data::InOut(payload),
            (true, false) => Data::Out(payload),
            (false, true) => Data::In(payload),
            (false, false) => Data::None,
        };
        if flags & call::STD_FS != 0 {
            return self.standard_call(who, scheme, (id, second), payload, data, meta);
        }
        let last = self.last_argument(second, meta[2])?;
        let args = [file.handle, 0, 0, meta[0], meta[1], last];
        let call = Call::new(opcode::CALL, id, args, Completion::Value).with(data);
        self.request(who, scheme, Call { second, ..call })
    }

    fn last_argument(&self, second: Option<FileId>, word: u64) -> Result<u64, Errno> {
        second.map_or(Ok(word), |second| Ok(self.file(second)?.handle))
    }

    /// Standard calls in the generic form, sent in the dedicated form where one exists: daemons get the caller's
    /// identity only there.
    fn standard_call(
        &mut self,
        who: &Caller,
        scheme: SchemeId,
        (id, second): (FileId, Option<FileId>),
        payload: Buffer,
        data: Data<'_>,
        meta: [u64; METADATA_WORDS],
    ) -> Outcome {
        let handle = self.file(id)?.handle;
        let plain = |op, a, b| Call::new(op, id, [handle, a, b, 0, 0, 0], Completion::Value);
        let kind = meta[0] as u8;
        let request = match kind {
            std_fs::FCHMOD => plain(opcode::FCHMOD, meta[1], 0),
            std_fs::FCHOWN => plain(opcode::FCHOWN, meta[1], meta[2]),
            std_fs::FSYNC => plain(opcode::FSYNC, 0, 0),
            std_fs::FTRUNCATE => plain(opcode::FTRUNCATE, meta[1], 0),
            std_fs::FUTIMENS => plain(opcode::FUTIMENS, 0, 0).with(Data::In(payload)),
            std_fs::FSTATVFS => plain(opcode::FSTATVFS, 0, 0).with(Data::Out(payload)),
            std_fs::FSTAT if payload.len >= 8 => {
                let completion = Completion::Stat(payload.addr);
                Call::new(opcode::FSTAT, id, [handle, 0, 0, 0, 0, 0], completion)
                    .with(Data::Out(payload))
            }
            std_fs::GETDENTS => {
                let args = [handle, 0, 0, meta[2] & 0xFFFF, meta[1], 0];
                let completion = Completion::Count {
                    len: payload.len,
                    cursor: None,
                };
                Call::new(opcode::GETDENTS, id, args, completion).with(Data::Out(payload))
            }
            std_fs::UNLINKAT => {
                let args = [handle, 0, 0, meta[1], 0, 0];
                let path = self.read_path(who, payload.addr, payload.len)?;
                let call = Call::new(opcode::UNLINK_AT, id, args, Completion::Value);
                return self.request(who, scheme, call.with(Data::Bytes(path.as_bytes())));
            }
            std_fs::FRENAMEAT | std_fs::FLINKAT => {
                if payload.len > 2 * PATH_MAX {
                    return Err(ENAMETOOLONG.into());
                }
                let paths = self.read_buffer(payload)?;
                if goes_up(&paths) {
                    return Err(EPERM.into());
                }
                let last = self.last_argument(second, meta[2])?;
                let args = [handle, 0, 0, u64::from(kind), meta[1], last];
                let call = Call::new(opcode::STD_FS_CALL, id, args, Completion::Value);
                let call = Call {
                    second,
                    ..call.with(Data::Bytes(&paths))
                };
                return self.request(who, scheme, call);
            }
            _ => {
                let last = self.last_argument(second, meta[2])?;
                let args = [handle, 0, 0, u64::from(kind), meta[1], last];
                let call = Call::new(opcode::STD_FS_CALL, id, args, Completion::Value);
                Call {
                    second,
                    ..call.with(data)
                }
            }
        };
        self.request(who, scheme, request)
    }

    fn call_user_fds(
        &mut self,
        who: &Caller,
        scheme: SchemeId,
        id: FileId,
        payload: Buffer,
        flags: usize,
        meta: [u64; METADATA_WORDS],
    ) -> Outcome {
        let handle = self.file(id)?.handle;
        if flags & call::WRITE != 0 {
            let files = self.collect_files(who, payload, flags)?;
            let bits = u64::from(flags & call::FD_EXCLUSIVE != 0)
                | u64::from(flags & call::FD_CLONE != 0) << 1;
            let args = [handle, bits, meta[0], files.len() as u64, 0, 0];
            let call = Call::new(opcode::SENDFD, id, args, Completion::Sent);
            return self.request(
                who,
                scheme,
                Call {
                    passed: files,
                    ..call
                },
            );
        }
        let count = payload.len / 8;
        if count == 0 || count > crate::limits::PASSED_FDS_MAX {
            return Err(EBADF.into());
        }
        let close_on_exec = flags & call::FD_CLOEXEC != 0;
        let args = [handle, 0, count as u64, meta[0], meta[1], 0];
        let completion = Completion::Receive {
            payload,
            close_on_exec,
        };
        let call = Call {
            passed: Vec::new(),
            ..Call::new(opcode::RECVFD, id, args, completion)
        };
        self.request(who, scheme, call)
    }
}
