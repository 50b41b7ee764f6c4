//! The daemon's end of a scheme: reading requests, making descriptions, fetching and passing descriptors.

use alloc::vec::Vec;

use valence_abi::errno::{EAGAIN, EBADF, EBADFD, EINVAL, ENODEV, EOPNOTSUPP, Errno};
use valence_abi::flags::{O_NONBLOCK, call};
use valence_abi::scheme::{CREATE_SCHEME, Cqe, Sqe, opcode};

use crate::kernel::{FileId, Kernel, Outcome, SchemeId, SpaceId, wait_for};
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::scheme::user::{Message, Tag, UserScheme};
use crate::task::thread::{Caller, WaitKey};

/// `CALL` on a socket: fetch descriptors that a caller passed.
const OBTAIN_FD: u64 = 0;
/// `CALL` on a socket: pass descriptors to a caller.
const MOVE_FD: u64 = 1;

/// Bytes of a request.
const SQE_SIZE: usize = size_of::<Sqe>();
/// Bytes of an answer.
pub(crate) const CQE_SIZE: usize = size_of::<Cqe>();

/// A request as the daemon reads it.
pub fn sqe_bytes(sqe: &Sqe) -> [u8; SQE_SIZE] {
    let mut bytes = [0; SQE_SIZE];
    bytes[0] = sqe.opcode;
    bytes[1] = sqe.sqe_flags;
    bytes[4..8].copy_from_slice(&sqe.tag.to_le_bytes());
    for (index, word) in sqe.args.iter().enumerate() {
        bytes[8 + index * 8..16 + index * 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes[56..].copy_from_slice(&sqe.caller.to_le_bytes());
    bytes
}

/// An answer as the daemon wrote it.
pub fn cqe_from(bytes: &[u8; CQE_SIZE]) -> Cqe {
    let [flags, a, b, c, t0, t1, t2, t3, result @ ..] = *bytes;
    Cqe {
        flags,
        extra: [a, b, c],
        tag: u32::from_le_bytes([t0, t1, t2, t3]),
        result: u64::from_le_bytes(result),
    }
}

/// Whether `args[1]` of this opcode is the buffer's address.
fn has_buffer(op: u8) -> bool {
    matches!(
        op,
        opcode::DUP
            | opcode::READ
            | opcode::WRITE
            | opcode::FPATH
            | opcode::FRENAME
            | opcode::FSTAT
            | opcode::FSTATVFS
            | opcode::FUTIMENS
            | opcode::GETDENTS
            | opcode::CALL
            | opcode::OPEN_AT
            | opcode::FLINK
            | opcode::UNLINK_AT
            | opcode::STD_FS_CALL
    )
}

impl<M: Machine> Kernel<M> {
    /// `read(socket)`: whole requests, at least one unless non-blocking.
    pub(crate) fn socket_read(&mut self, id: SchemeId, buffer: Buffer, flags: usize) -> Outcome {
        let room = buffer.len / SQE_SIZE;
        if room == 0 {
            return Err(EINVAL.into());
        }
        let Some(mut scheme) = self.take_scheme(id) else {
            return Err(ENODEV.into());
        };
        let result = self.take_messages(&mut scheme, buffer, room);
        self.put_scheme(id, scheme);
        match result {
            Ok(0) if flags & O_NONBLOCK != 0 => Err(EAGAIN.into()),
            Ok(0) => Err(wait_for(WaitKey::Socket(id))),
            Ok(count) => Ok(count * SQE_SIZE),
            Err(errno) => Err(errno.into()),
        }
    }

    fn take_messages(
        &mut self,
        scheme: &mut UserScheme,
        buffer: Buffer,
        room: usize,
    ) -> Result<usize, Errno> {
        let mut count = 0;
        while count < room {
            let Some(message) = scheme.queue.front().copied() else {
                break;
            };
            let prepared = match message {
                Message::OneWay(sqe) => Ok(Some(sqe)),
                Message::Request(tag) => self.prepare(scheme, tag, buffer.space),
            };
            let addr = buffer.addr + count * SQE_SIZE;
            let written = match prepared {
                Ok(Some(sqe)) => self
                    .copy_out(buffer.space, addr, &sqe_bytes(&sqe))
                    .map(|()| true),
                Ok(None) => Ok(false),
                Err(errno) => Err(errno),
            };
            match written {
                Ok(more) => {
                    scheme.queue.pop_front();
                    if more
                        && let Message::Request(tag) = message
                        && let Some(request) = scheme.request(tag)
                    {
                        request.taken = true;
                    }
                    count += usize::from(more);
                }
                Err(_) if count > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(count)
    }

    /// Fills in tag and buffer address for this reader. `None`: the request is gone.
    fn prepare(
        &mut self,
        scheme: &mut UserScheme,
        tag: u32,
        space: SpaceId,
    ) -> Result<Option<Sqe>, Errno> {
        let Some(request) = scheme.request(tag) else {
            return Ok(None);
        };
        let mut sqe = Sqe { tag, ..request.sqe };
        if has_buffer(sqe.opcode) {
            let mut loan = core::mem::replace(&mut request.loan, crate::scheme::lend::Loan::None);
            let shown = self.show_loan(scheme, &mut loan, space);
            if let Some(request) = scheme.request(tag) {
                request.loan = loan;
            }
            sqe.args[1] = shown?;
        }
        Ok(Some(sqe))
    }

    /// `write(socket)`: whole answers; the count of bytes accepted.
    pub(crate) fn socket_write(&mut self, who: &Caller, id: SchemeId, buffer: Buffer) -> Outcome {
        if buffer.len == 0 {
            return Ok(0);
        }
        if buffer.len < CQE_SIZE {
            return Err(EINVAL.into());
        }
        let mut done = 0;
        while buffer.len - done >= CQE_SIZE {
            let mut bytes = [0; CQE_SIZE];
            let result = self
                .copy_in(buffer.space, buffer.addr + done, &mut bytes)
                .and_then(|()| self.answer(who, id, cqe_from(&bytes)));
            match result {
                Ok(()) => done += CQE_SIZE,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(done)
    }

    /// `dup(socket)`: `NewFdParams` makes a description of the scheme.
    pub(crate) fn socket_dup(&mut self, id: SchemeId, bytes: &[u8]) -> Result<FileId, Errno> {
        if bytes == CREATE_SCHEME || self.schemes.get(id).is_none() {
            return Err(EINVAL);
        }
        self.scheme_new_fd(id, bytes)
    }

    /// `CALL` on a socket.
    pub(crate) fn socket_call(
        &mut self,
        who: &Caller,
        id: SchemeId,
        payload: Buffer,
        flags: usize,
        metadata: [u64; 3],
    ) -> Outcome {
        if flags & call::FD == 0 {
            return Err(EOPNOTSUPP.into());
        }
        let scheme = self.schemes.get(id).ok_or(ENODEV)?;
        let tag = metadata[1] as u32;
        match scheme.judge(tag) {
            Tag::Open => {}
            Tag::Answered => return Err(EINVAL.into()),
            Tag::Unknown => return Err(EBADFD.into()),
        }
        match metadata[0] {
            OBTAIN_FD if flags & call::READ != 0 => self.obtain_fds(who, id, tag, payload, flags),
            MOVE_FD if flags & call::WRITE != 0 => self.move_fds(who, id, tag, payload, flags),
            _ => Err(EINVAL.into()),
        }
    }

    fn obtain_fds(
        &mut self,
        who: &Caller,
        id: SchemeId,
        tag: u32,
        payload: Buffer,
        flags: usize,
    ) -> Outcome {
        let wanted = payload.len / 8;
        let request = self
            .schemes
            .get_mut(id)
            .and_then(|s| s.request(tag))
            .ok_or(EBADFD)?;
        if request.sqe.opcode != opcode::SENDFD || wanted == 0 {
            return Err(EINVAL.into());
        }
        let count = wanted.min(request.passed.len());
        let files: Vec<FileId> = request.passed.drain(..count).collect();
        if files.is_empty() {
            return Err(EBADF.into());
        }
        self.receive_into(who, payload, &files, flags & call::FD_CLOEXEC != 0)?;
        Ok(count * 8)
    }

    fn move_fds(
        &mut self,
        who: &Caller,
        id: SchemeId,
        tag: u32,
        payload: Buffer,
        flags: usize,
    ) -> Outcome {
        let files = self.collect_files(who, payload, flags)?;
        let count = files.len();
        match self
            .schemes
            .get_mut(id)
            .and_then(|scheme| scheme.request(tag))
        {
            Some(request) => {
                request.passed.extend(files);
                Ok(count * 8)
            }
            None => {
                files.into_iter().for_each(|file| self.file_release(file));
                Err(EBADFD.into())
            }
        }
    }
}
