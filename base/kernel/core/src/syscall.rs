//! System calls: from registers to the rules and back. One line per call.

use alloc::string::String;
use alloc::vec::Vec;

use valence_abi::errno::{EBADF, EBUSY, EINVAL, ENODEV, ENOSYS, EPERM, Errno};
use valence_abi::flags::{CLOCK_MONOTONIC, CLOCK_REALTIME, O_CLOEXEC, O_NONBLOCK, O_RDWR};
use valence_abi::scheme::opcode;
use valence_abi::signal::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
use valence_abi::syscall as nr;
use valence_abi::{PAGE_SIZE, USER_END};

use crate::io::file::{File, Target};
use crate::io::transfer::Direction;
use crate::kernel::{Kernel, NamespaceId, Outcome, QueueId, Stop};
use crate::limits::{ENTROPY_MAX, NAME_MAX, NAMESPACE_PATTERNS_MAX};
use crate::machine::Machine;
use crate::mem::copy::Buffer;
use crate::mem::fault::Access;
use crate::mem::space::Space;
use crate::scheme::kernel_scheme::Opened;
use crate::scheme::request::{Call, Completion};
use crate::task::thread::{Caller, Waiting};

impl<M: Machine> Kernel<M> {
    /// Runs the system call in the current thread's registers.
    pub(crate) fn syscall(&mut self) {
        let Some(who) = self.caller() else { return };
        let Some(thread) = self.threads.get(who.thread) else {
            return;
        };
        let r = &thread.registers;
        self.counters.calls += 1;
        let number = r.rax as usize;
        let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9].map(|word| word as usize);
        let outcome = self.dispatch(&who, number, args);
        self.conclude(who.thread, outcome);
    }

    fn dispatch(&mut self, who: &Caller, number: usize, args: [usize; 6]) -> Outcome {
        let [a, b, c, d, e, _] = args;
        match number {
            nr::READ => self.transfer(who, a, (b, c), None, Direction::Read),
            nr::WRITE => self.transfer(who, a, (b, c), None, Direction::Write),
            nr::PREAD => self.transfer(who, a, (b, c), Some(d as u64), Direction::Read),
            nr::PWRITE => self.transfer(who, a, (b, c), Some(d as u64), Direction::Write),
            nr::FUTEX_WAIT => self.futex_wait(who, a, b as u32, c as u64),
            nr::FUTEX_WAKE => self.futex_wake(who.space, a, b),
            nr::FUTEX => self.futex_raw(who, a, b, c, d),
            nr::CLOCK_GETTIME => self.clock_gettime(who, a, b),
            nr::GETPID => Ok(who.pid as usize),
            nr::GETTID => Ok(self.threads.get(who.thread).map_or(0, |t| t.tid as usize)),
            0x100..=0x119 => self.dispatch_io(who, number, args),
            nr::MMAP => self.mmap(who, (a, b), c, d, e as u64),
            nr::MUNMAP => self.munmap(who, a, b),
            nr::MPROTECT => Ok(self.protect(who.space, a, b, c).map(|()| 0)?),
            nr::MREMAP => Ok(self.remap(who.space, a, b, c, d != 0)?),
            0x300..=0x30F => self.dispatch_task(who, number, args),
            0x400..=0x408 => self.dispatch_signal(who, number, args),
            nr::NS_GET => self.ns_get(who),
            nr::NS_SET => self.ns_set(who, a),
            nr::NS_MAKE => self.ns_make(who, a, b),
            nr::NS_REGISTER => self.ns_register(who, a, (b, c), d),
            nr::SLEEP_UNTIL => self.sleep_until(a as u64),
            nr::ALARM => self.alarm(who, a as u64, b as u64, c),
            nr::ENTROPY => self.entropy(who, a, b),
            _ => Err(ENOSYS.into()),
        }
    }

    fn dispatch_io(&mut self, who: &Caller, number: usize, args: [usize; 6]) -> Outcome {
        let [a, b, c, d, e, f] = args;
        match number {
            nr::OPENAT => self.open_at(who, a, (b, c), d),
            nr::CLOSE => self.close(who, a),
            nr::DUP => self.dup(who, a, (b, c), d),
            nr::DUP2 => self.dup2(who, a, b, c),
            nr::LSEEK => self.seek(who, a, b as i64, c),
            nr::FCNTL => self.fcntl(who, a, b, c),
            nr::FSTAT => self.fstat(who, a, b),
            nr::FSTATVFS => self.fstatvfs(who, a, b),
            nr::FPATH => self.fpath(who, a, b, c),
            nr::FSYNC | nr::FTRUNCATE | nr::FCHMOD | nr::FCHOWN => {
                self.simple(who, number, [a, b, c])
            }
            nr::FUTIMENS => self.futimens(who, a, b, c),
            nr::GETDENTS => self.getdents(who, a, (b, c), d as u64),
            nr::UNLINKAT => self.unlink_at(who, a, (b, c), d),
            nr::FRENAME => self.rename(who, opcode::FRENAME, a, (b, c)),
            nr::FLINK => self.rename(who, opcode::FLINK, a, (b, c)),
            nr::CALL => self.call(who, a, (b, c), d, (e, f)),
            nr::EVENT_WAIT => self.sys_event_wait(who, a, (b, c), d as u64, e),
            nr::SOCKETPAIR => self.socketpair(who, a, b),
            nr::EVENT_QUEUE => self.event_queue(who, a),
            _ => Err(ENOSYS.into()),
        }
    }

    fn dispatch_task(&mut self, who: &Caller, number: usize, args: [usize; 6]) -> Outcome {
        let [a, b, c, d, _, _] = args;
        match number {
            nr::EXIT => self.exit(who, a),
            nr::THREAD_CREATE => self.thread_create(who, (a, b), c, d),
            nr::THREAD_EXIT => self.thread_exit(who, a, (b, c)),
            nr::FORK => self.fork(who),
            nr::EXEC => self.exec(who, a),
            nr::WAITPID => self.waitpid(who, a as isize, b, c),
            nr::GETMETA => self.getmeta(who, a, b),
            nr::SETPGID => self.setpgid(who, a, b),
            nr::SETSID => self.setsid(who),
            nr::GETSID => self.getsid(who, a),
            nr::SETRESUID => self.set_ids(who, true, [a, b, c]),
            nr::SETRESGID => self.set_ids(who, false, [a, b, c]),
            nr::SET_FS_BASE => self.set_fs_base(who, a),
            nr::YIELD => {
                if let Some(thread) = self.threads.get_mut(who.thread) {
                    thread.registers.rax = 0;
                }
                self.yield_now(who.thread);
                Err(Stop::Done)
            }
            _ => Err(ENOSYS.into()),
        }
    }

    fn dispatch_signal(&mut self, who: &Caller, number: usize, args: [usize; 6]) -> Outcome {
        let [a, b, c, ..] = args;
        match number {
            nr::SIGACTION => self.sigaction(who, a, b, c),
            nr::SIGPROCMASK => self.sigprocmask(who, a, b, c),
            nr::SIGRETURN => self.sigreturn(who),
            nr::KILL => self.kill(who, a as isize, b),
            nr::TKILL => self.tkill(who, a, b),
            nr::SIGALTSTACK => self.sigaltstack(who, a, b),
            nr::SIGSUSPEND => self.sigsuspend(who, a),
            nr::SIGPENDING => self.sigpending(who, a),
            nr::SIGWAIT => self.sigwait(who, a, b, c as u64),
            _ => Err(ENOSYS.into()),
        }
    }

    fn sys_event_wait(
        &mut self,
        who: &Caller,
        fd: usize,
        events: (usize, usize),
        deadline: u64,
        mask: usize,
    ) -> Outcome {
        let file = self.file(self.fd_file(who.process, fd)?)?;
        if file.target != Target::Kernel(self.scheme_index("event").ok_or::<Errno>(EBADF)?) {
            return Err(EBADF.into());
        }
        if mask != 0 {
            let mask = self.read_u64(who.space, mask)?;
            self.borrow_mask(who, mask);
        }
        let outcome = self.event_wait(who, QueueId::from_raw(file.handle), events, deadline);
        if !matches!(outcome, Err(Stop::Wait(..))) {
            self.return_mask(who);
        }
        outcome
    }

    /// A queue without naming the event scheme: waiting for one's own descriptors is no authority.
    fn event_queue(&mut self, who: &Caller, flags: usize) -> Outcome {
        let index = self.scheme_index("event").ok_or::<Errno>(ENODEV)?;
        let opened = self
            .with_scheme(index, |scheme, kernel| {
                scheme.open(kernel, who, crate::io::file::ROOT, "", O_RDWR)
            })
            .unwrap_or(Err(Stop::Errno(EBUSY)))?;
        let Opened::Handle { handle, .. } = opened else {
            return Err(EINVAL.into());
        };
        let status = O_RDWR | flags & O_NONBLOCK;
        let file = self.file_new(File::new(Target::Kernel(index), handle, status, false))?;
        Ok(self.fd_insert(who.process, 0, file, flags & O_CLOEXEC != 0)?)
    }

    fn socketpair(&mut self, who: &Caller, flags: usize, addr: usize) -> Outcome {
        let index = self.scheme_index("pipe").ok_or::<Errno>(ENODEV)?;
        let opened = self
            .with_scheme(index, |scheme, kernel| {
                let first = scheme.open(kernel, who, crate::io::file::ROOT, "pair", O_RDWR)?;
                let Opened::Handle { handle, .. } = first else {
                    return Err(EINVAL.into());
                };
                let second = scheme.dup(kernel, who, handle, b"other");
                if second.is_err() {
                    scheme.close(kernel, handle);
                }
                Ok((handle, second?))
            })
            .unwrap_or(Err(Stop::Errno(EBUSY)))?;
        let (first, Opened::Handle { handle: second, .. }) = opened else {
            return Err(EINVAL.into());
        };
        let (status, close) = (O_RDWR | flags & O_NONBLOCK, flags & O_CLOEXEC != 0);
        let first = self.file_new(File::new(Target::Kernel(index), first, status, false));
        let second = self.file_new(File::new(Target::Kernel(index), second, status, false));
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (first, second) => {
                first
                    .into_iter()
                    .chain(second)
                    .for_each(|file| self.file_release(file));
                return Err(valence_abi::errno::ENFILE.into());
            }
        };
        let payload = Buffer {
            space: who.space,
            addr,
            len: 16,
        };
        self.receive_into(who, payload, &[first, second], close)?;
        Ok(0)
    }

    fn mmap(
        &mut self,
        who: &Caller,
        (addr, len): (usize, usize),
        flags: usize,
        fd: usize,
        offset: u64,
    ) -> Outcome {
        if fd == usize::MAX {
            return Ok(self.map_anonymous(who.space, addr, len, flags)?);
        }
        let id = self.fd_file(who.process, fd)?;
        let file = self.file(id)?;
        crate::mem::space::Rights::from_bits(flags)?;
        if len == 0 || len > USER_END || !offset.is_multiple_of(PAGE_SIZE as u64) {
            return Err(EINVAL.into());
        }
        match file.target {
            Target::Kernel(index) => {
                let source = self
                    .with_scheme(index, |scheme, kernel| {
                        scheme.map(kernel, who, file.handle, len, offset, flags)
                    })
                    .unwrap_or(Err(EBUSY))?;
                Ok(self.map_source(who.space, addr, len, flags, source)?)
            }
            Target::User(scheme) => {
                let rounded = len.next_multiple_of(PAGE_SIZE);
                let args = [file.handle, rounded as u64, flags as u64, offset, 0, 0];
                let completion = Completion::Map {
                    file: id,
                    addr,
                    len: rounded,
                    flags,
                    offset,
                };
                self.request(
                    who,
                    scheme,
                    Call::new(opcode::MMAP_PREP, id, args, completion),
                )
            }
            Target::Socket(_) => Err(ENODEV.into()),
        }
    }

    fn munmap(&mut self, who: &Caller, addr: usize, len: usize) -> Outcome {
        let (start, pages) = Space::range(addr, len)?;
        self.unmap_range(who.space, start, pages)?;
        Ok(0)
    }

    fn set_fs_base(&mut self, who: &Caller, addr: usize) -> Outcome {
        if addr >= USER_END {
            return Err(EINVAL.into());
        }
        if let Some(thread) = self.threads.get_mut(who.thread) {
            thread.fs_base = addr as u64;
        }
        self.machine.set_fs_base(addr as u64);
        Ok(0)
    }

    fn clock_gettime(&mut self, who: &Caller, clock: usize, addr: usize) -> Outcome {
        let now = self.machine.now_ns();
        let nanos = match clock {
            CLOCK_MONOTONIC => now,
            CLOCK_REALTIME => self.machine.boot_time_ns().saturating_add(now),
            _ => return Err(EINVAL.into()),
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(nanos / 1_000_000_000).to_le_bytes());
        bytes[8..].copy_from_slice(&(nanos % 1_000_000_000).to_le_bytes());
        self.copy_out(who.space, addr, &bytes)?;
        Ok(0)
    }

    fn sleep_until(&mut self, deadline: u64) -> Outcome {
        if deadline <= self.machine.now_ns() {
            return Ok(0);
        }
        Err(Stop::Wait(Waiting::Sleep, deadline))
    }

    fn entropy(&mut self, who: &Caller, addr: usize, len: usize) -> Outcome {
        if len > ENTROPY_MAX {
            return Err(EINVAL.into());
        }
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.random_u64().to_le_bytes());
        }
        self.copy_out(who.space, addr, &bytes[..len])?;
        Ok(len)
    }

    fn ns_get(&mut self, who: &Caller) -> Outcome {
        let namespace = self
            .processes
            .get(who.process)
            .ok_or::<Errno>(EBADF)?
            .namespace;
        let file = self.namespace_file(namespace)?;
        Ok(self.fd_insert(who.process, 0, file, true)?)
    }

    fn ns_of_fd(&self, who: &Caller, fd: usize) -> Result<NamespaceId, Errno> {
        let file = self.file(self.fd_file(who.process, fd)?)?;
        let index = self.scheme_index("namespace").ok_or(ENODEV)?;
        let id = NamespaceId::from_raw(file.handle);
        let known = file.target == Target::Kernel(index) && self.namespaces.get(id).is_some();
        if known { Ok(id) } else { Err(EBADF) }
    }

    fn ns_set(&mut self, who: &Caller, fd: usize) -> Outcome {
        let id = self.ns_of_fd(who, fd)?;
        self.namespace_retain(id);
        let process = self.processes.get_mut(who.process).ok_or::<Errno>(EBADF)?;
        let old = core::mem::replace(&mut process.namespace, id);
        self.namespace_release(old);
        Ok(0)
    }

    fn ns_make(&mut self, who: &Caller, array: usize, count: usize) -> Outcome {
        if count > NAMESPACE_PATTERNS_MAX {
            return Err(EINVAL.into());
        }
        let mut patterns = Vec::new();
        for index in 0..count {
            let at = array.wrapping_add(index * 16);
            let addr = self.read_u64(who.space, at)? as usize;
            let len = self.read_u64(who.space, at.wrapping_add(8))? as usize;
            patterns.push(self.read_name(who, addr, len)?);
        }
        let above = self
            .processes
            .get(who.process)
            .ok_or::<Errno>(EBADF)?
            .namespace;
        let id = self.namespace_new(Some(above), patterns)?;
        let file = self.namespace_file(id);
        self.namespace_release(id);
        Ok(self.fd_insert(who.process, 0, file?, true)?)
    }

    fn read_name(&mut self, who: &Caller, addr: usize, len: usize) -> Result<String, Errno> {
        if len > NAME_MAX {
            return Err(EINVAL);
        }
        self.read_path(who, addr, len)
    }

    fn ns_register(
        &mut self,
        who: &Caller,
        ns_fd: usize,
        (addr, len): (usize, usize),
        fd: usize,
    ) -> Outcome {
        let name = self.read_name(who, addr, len)?;
        let target = self.ns_of_fd(who, ns_fd)?;
        let own = self
            .processes
            .get(who.process)
            .ok_or::<Errno>(EBADF)?
            .namespace;
        if !self.namespace_has_authority(own) {
            return Err(EPERM.into());
        }
        let file = self.fd_file(who.process, fd)?;
        self.file_retain(file);
        self.namespace_register(target, &name, file)?;
        Ok(0)
    }

    /// A page fault in user mode.
    pub(crate) fn page_fault(&mut self, addr: u64, write: bool, execute: bool) {
        self.counters.faults += 1;
        let Some(who) = self.caller() else { return };
        let access = match (write, execute) {
            (true, _) => Access::Write,
            (_, true) => Access::Execute,
            _ => Access::Read,
        };
        let result = usize::try_from(addr)
            .map_err(|_| valence_abi::errno::EFAULT)
            .and_then(Self::user_page)
            .and_then(|page| self.resolve(who.space, page, access).map(|_| page));
        match result {
            Ok(page) => self.fill_around(who.space, page),
            Err(valence_abi::errno::ENOMEM) => {
                self.print(format_args!("out of memory: process {} is ended", who.pid));
                self.process_terminate(who.process, valence_abi::signal::SIGKILL as i32);
            }
            Err(_) => {
                self.print_fault(&who, "page fault", addr);
                self.signal_fault(who.thread, SIGSEGV, addr as usize, 1);
            }
        }
    }

    /// Any other exception in user mode.
    pub(crate) fn exception(&mut self, vector: u8, code: u64) {
        let Some(who) = self.caller() else { return };
        let signal = match vector {
            0 | 16 | 19 => SIGFPE,
            1 | 3 => SIGTRAP,
            6 => SIGILL,
            17 => SIGBUS,
            _ => SIGSEGV,
        };
        let rip = self
            .threads
            .get(who.thread)
            .map_or(0, |thread| thread.registers.rip);
        self.print_fault(&who, "exception", u64::from(vector) << 32 | code);
        self.signal_fault(who.thread, signal, rip as usize, 0);
    }

    fn print_fault(&mut self, who: &Caller, what: &str, value: u64) {
        let Some(thread) = self.threads.get(who.thread) else {
            return;
        };
        let (rip, rsp) = (thread.registers.rip, thread.registers.rsp);
        let name = self
            .processes
            .get(who.process)
            .map_or(String::new(), |p| p.name().into());
        let pid = who.pid;
        self.print(format_args!(
            "process {pid} ({name}): {what} {value:#x} at {rip:#x}, stack {rsp:#x}"
        ));
    }
}
