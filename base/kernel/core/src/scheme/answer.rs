//! Answers of daemons: what each kind of request gives its caller.
//!
//! A daemon may answer anything; nothing here trusts a number from it. Answers to callers that are gone are dropped, and a
//! handle that was opened for nobody is closed again.

use alloc::vec::Vec;

use valence_abi::PAGE_SIZE;
use valence_abi::errno::{
    EBADFD, ECANCELED, EINTR, EINVAL, EIO, ENOMEM, ENOSYS, EOPNOTSUPP, ESPIPE, Errno, decode,
    encode,
};
use valence_abi::flags::MAP_SHARED;
use valence_abi::scheme::{Cqe, POSITIONED, opcode, reply};

use crate::io::file::{File, Target};
use crate::kernel::{FileId, Kernel, SchemeId, ThreadId};
use crate::limits::MAPPING_PAGES_MAX;
use crate::machine::Machine;
use crate::mem::fault::Access;
use crate::mem::space::{Kind, Mapping, Region, Rights};
use crate::scheme::request::{Completion, Request};
use crate::scheme::user::Tag;
use crate::task::thread::{Caller, State, Waiting};

impl<M: Machine> Kernel<M> {
    /// One answer record.
    pub(crate) fn answer(&mut self, who: &Caller, id: SchemeId, cqe: Cqe) -> Result<(), Errno> {
        let kind = cqe.flags & 7;
        if kind == reply::SEND_FEVENT {
            self.notify(Target::User(id), cqe.result, cqe.tag as usize);
            return Ok(());
        }
        match self.schemes.get(id).map(|scheme| scheme.judge(cqe.tag)) {
            Some(Tag::Open) => {}
            Some(Tag::Answered) => return Err(EINVAL),
            _ => return Err(EBADFD),
        }
        let with_fd = match kind {
            reply::WITH_FD => Some(self.fd_file(who.process, cqe.result as usize)?),
            reply::OBTAIN_FD => return Err(EINVAL),
            6.. => return Err(EINVAL),
            _ => None,
        };
        if let Some(file) = with_fd {
            self.file_retain(file);
        }
        let Some(mut scheme) = self.take_scheme(id) else {
            return Err(EBADFD);
        };
        let mut request = scheme.remove(cqe.tag);
        if let Some(request) = &mut request {
            let shown = Self::bytes_to_copy(request, &cqe);
            if request.caller.is_some() && shown > 0 {
                // The caller may have unmapped its buffer meanwhile: then the bytes are lost, as on any system.
                let _ = self.copy_back(&scheme, &request.loan, shown);
            }
            let loan = core::mem::replace(&mut request.loan, crate::scheme::lend::Loan::None);
            self.end_loan(&mut scheme, loan);
        }
        self.put_scheme(id, scheme);
        if let Some(request) = request {
            self.complete(who, id, request, &cqe, with_fd);
        }
        Ok(())
    }

    /// How many bytes of an output buffer are the caller's.
    fn bytes_to_copy(request: &Request, cqe: &Cqe) -> usize {
        let Ok(value) = decode(cqe.result as usize) else {
            return 0;
        };
        match request.sqe.opcode {
            opcode::READ | opcode::GETDENTS | opcode::FPATH => value.min(request.loan.len()),
            _ => request.loan.len(),
        }
    }

    fn complete(
        &mut self,
        who: &Caller,
        id: SchemeId,
        mut request: Request,
        cqe: &Cqe,
        with_fd: Option<FileId>,
    ) {
        let kind = cqe.flags & 7;
        if kind == reply::AND_NOTIFY_ON_DETACH
            && let Some(process) = self.pids.get(&request.pid).copied()
            && let Some(process) = self.processes.get_mut(process)
            && process.detach.len() < crate::limits::DESCRIPTORS_MAX
            && !process.detach.contains(&(id, request.sqe.args[0]))
        {
            process.detach.push((id, request.sqe.args[0]));
        }
        let passed = core::mem::take(&mut request.passed);
        let caller = request
            .caller
            .filter(|thread| self.waits_for(*thread, id, cqe.tag));
        let result = match (caller.and_then(|thread| self.caller_of(thread)), caller) {
            (Some(caller), Some(thread)) => {
                let cancelled = self.was_cancelled(thread);
                let result = match decode(cqe.result as usize) {
                    _ if with_fd.is_some() => Ok(0),
                    Err(ECANCELED) if cancelled => Err(EINTR),
                    Err(EINTR) if !cancelled => Err(EIO),
                    other => other,
                };
                let result =
                    self.give_result(&caller, who, id, &request, cqe, result, with_fd, passed);
                Some((thread, result, cancelled))
            }
            _ => {
                with_fd
                    .into_iter()
                    .chain(passed)
                    .for_each(|file| self.file_release(file));
                self.drop_result(id, &request, cqe, with_fd.is_some());
                None
            }
        };
        for file in request.file.into_iter().chain(request.second) {
            self.file_release(file);
        }
        if let Some((thread, result, cancelled)) = result {
            if cancelled && result == Err(EINTR) {
                self.interrupt_thread(thread);
            } else {
                self.finish_wait(thread, encode(result));
            }
        }
    }

    fn waits_for(&self, thread: ThreadId, id: SchemeId, wanted: u32) -> bool {
        self.threads
            .get(thread)
            .is_some_and(|thread| match thread.state {
                State::Waiting(Waiting::Request { scheme, tag, .. }) => {
                    scheme == id && tag == wanted
                }
                _ => false,
            })
    }

    fn was_cancelled(&self, thread: ThreadId) -> bool {
        self.threads.get(thread).is_some_and(|thread| {
            matches!(
                thread.state,
                State::Waiting(Waiting::Request {
                    cancelled: true,
                    ..
                })
            )
        })
    }

    /// An answer for nobody: a handle that was opened is closed.
    fn drop_result(&mut self, id: SchemeId, request: &Request, cqe: &Cqe, with_fd: bool) {
        let opens = matches!(request.completion, Completion::Open { .. });
        if opens
            && !with_fd
            && cqe.flags & 7 == reply::REGULAR
            && let Ok(handle) = decode(cqe.result as usize)
        {
            self.send_close(id, handle as u64);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one place where all parts of an answer meet"
    )]
    fn give_result(
        &mut self,
        caller: &Caller,
        daemon: &Caller,
        id: SchemeId,
        request: &Request,
        cqe: &Cqe,
        result: Result<usize, Errno>,
        with_fd: Option<FileId>,
        passed: Vec<FileId>,
    ) -> Result<usize, Errno> {
        match request.completion {
            Completion::Open {
                flags,
                close_on_exec,
            } => {
                passed.into_iter().for_each(|file| self.file_release(file));
                let file = match with_fd {
                    Some(file) => file,
                    None => {
                        let positioned = cqe.extra[0] & POSITIONED != 0;
                        let handle = result? as u64;
                        self.file_new(File::new(Target::User(id), handle, flags, positioned))?
                    }
                };
                self.fd_insert(caller.process, 0, file, close_on_exec)
            }
            Completion::Receive {
                payload,
                close_on_exec,
            } => {
                let files: Vec<FileId> = with_fd.into_iter().chain(passed).collect();
                let count = files.len() * 8;
                if let Err(errno) = result {
                    files.into_iter().for_each(|file| self.file_release(file));
                    return Err(errno);
                }
                self.receive_into(caller, payload, &files, close_on_exec)?;
                Ok(count)
            }
            _ => {
                with_fd
                    .into_iter()
                    .chain(passed)
                    .for_each(|file| self.file_release(file));
                if with_fd.is_some() {
                    return Err(EIO);
                }
                self.give_value(caller, daemon, request, result)
            }
        }
    }

    fn give_value(
        &mut self,
        caller: &Caller,
        daemon: &Caller,
        request: &Request,
        result: Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        match request.completion {
            Completion::Count { len, cursor } => {
                let count = result?;
                if count > len {
                    return Err(EIO);
                }
                if let Some(file) = cursor.and_then(|file| self.files.get_mut(file)) {
                    file.offset = file.offset.saturating_add(count as u64);
                }
                Ok(count)
            }
            Completion::Seek { file, offset } => {
                let size = i64::try_from(result?).map_err(|_| ESPIPE)?;
                let position = size
                    .checked_add(offset)
                    .filter(|at| *at >= 0)
                    .ok_or(EINVAL)?;
                self.files.get_mut(file).ok_or(EIO)?.offset = position as u64;
                Ok(position as usize)
            }
            Completion::Stat(addr) => {
                result?;
                let device = self.device_of(request.file);
                self.write_u64(caller.space, addr, device)?;
                Ok(0)
            }
            Completion::Subscribe {
                queue,
                file,
                event,
                value,
            } => {
                self.complete_subscribe(queue, file, event, result)?;
                Ok(value)
            }
            Completion::Flags(value) => match result {
                Ok(_) | Err(EOPNOTSUPP | ENOSYS) => Ok(value),
                Err(errno) => Err(errno),
            },
            Completion::Map {
                file,
                addr,
                len,
                flags,
                offset,
            } => {
                let at = result?;
                self.complete_map(caller, daemon, (at, len), (addr, flags), (file, offset))
            }
            _ => result,
        }
    }

    fn device_of(&self, file: Option<FileId>) -> u64 {
        match file
            .and_then(|file| self.files.get(file))
            .map(|file| file.target)
        {
            Some(Target::User(id)) => self.schemes.get(id).map_or(0, |scheme| scheme.number),
            Some(Target::Kernel(index)) => index as u64 + 1,
            _ => 0,
        }
    }

    /// Maps what lies at `from` in the daemon into the caller.
    fn complete_map(
        &mut self,
        caller: &Caller,
        daemon: &Caller,
        (from, len): (usize, usize),
        (addr, flags): (usize, usize),
        (file, offset): (FileId, u64),
    ) -> Result<usize, Errno> {
        if from % PAGE_SIZE != 0 {
            return Err(EINVAL);
        }
        let shared = flags & MAP_SHARED != 0;
        let rights = Rights::from_bits(flags)?;
        let pages = len.div_ceil(PAGE_SIZE) as u64;
        let first = (from / PAGE_SIZE) as u64;
        let access = if shared && rights.write {
            Access::Write
        } else {
            Access::Read
        };
        if shared && daemon.space == caller.space {
            return Err(valence_abi::errno::EBUSY);
        }
        let mut frames = Vec::new();
        if pages as usize > MAPPING_PAGES_MAX || frames.try_reserve_exact(pages as usize).is_err() {
            return Err(ENOMEM);
        }
        let mut failed = None;
        for page in first..first.saturating_add(pages) {
            let frame = Self::user_page(page as usize * PAGE_SIZE).and_then(|page| {
                self.resolve(daemon.space, page, Access::Write)
                    .or_else(|_| self.resolve(daemon.space, page, access))
            });
            match frame {
                Ok(frame) => {
                    self.frames.retain(frame);
                    frames.push(frame);
                }
                Err(errno) => {
                    failed = Some(errno);
                    break;
                }
            }
        }
        let place = match failed {
            Some(errno) => Err(errno),
            None => self
                .share_source(daemon, first, pages)
                .and_then(|()| self.place(caller.space, addr, len, flags)),
        };
        let start = match place {
            Ok(start) => start,
            Err(errno) => {
                frames
                    .into_iter()
                    .for_each(|frame| self.frames.release(frame));
                return Err(errno);
            }
        };
        let mapping = Mapping {
            file,
            offset,
            len: len as u64,
            flags,
            references: 1,
        };
        let mapping = self.mappings.insert(mapping).ok();
        if mapping.is_some() {
            self.file_retain(file);
        }
        let kind = if shared { Kind::Shared } else { Kind::Private };
        let region = Region {
            kind,
            mapping,
            ..Region::private(pages, rights)
        };
        let result = self.map_frames(caller.space, start, region, &frames);
        result.map(|()| start as usize * PAGE_SIZE)
    }

    /// Memory that a daemon gave out must stay the same frames when the daemon forks.
    fn share_source(&mut self, daemon: &Caller, first: u64, pages: u64) -> Result<(), Errno> {
        self.split_range(daemon.space, first, pages)?;
        let space = self.space_mut(daemon.space)?;
        for (_, region) in space.regions.range_mut(first..first + pages) {
            if region.kind == Kind::Private {
                region.kind = Kind::Shared;
            }
        }
        Ok(())
    }
}
