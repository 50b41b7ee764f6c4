//! New threads and new processes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use valence_abi::USER_END;
use valence_abi::errno::{EAGAIN, EINVAL, ENOMEM, Errno};
use valence_abi::signal::{SIGNAL_MAX, SigAction};

use crate::io::table::{FdTable, Slot};
use crate::kernel::{FileId, Kernel, NamespaceId, Outcome, ProcessId, ThreadId};
use crate::limits::{
    PROCESS_THREADS_MAX, PROCESSES_MAX, PROCESSES_RESERVED, THREADS_MAX, THREADS_RESERVED,
};
use crate::machine::{Machine, Registers};
use crate::task::exec::Program;
use crate::task::group::Resource;
use crate::task::process::{Alarm, Credentials, Life, Process};
use crate::task::thread::{Caller, Thread};

/// Largest process and thread number.
const NUMBER_MAX: u32 = 0x3FFF_FFFF;

impl<M: Machine> Kernel<M> {
    /// A number no process or thread has.
    fn new_number(&mut self) -> u32 {
        loop {
            let number = self.next_pid;
            self.next_pid = if number >= NUMBER_MAX { 2 } else { number + 1 };
            if !self.pids.contains_key(&number) {
                return number;
            }
        }
    }

    /// Whether the caller may use one more of the system's threads.
    fn may_add_thread(&self, who: &Caller) -> bool {
        let kept = if who.uid == 0 { 0 } else { THREADS_RESERVED };
        self.threads.len() < THREADS_MAX - kept
    }

    fn add_thread(&mut self, thread: Thread<M>) -> Result<ThreadId, Errno> {
        let process = thread.process;
        let group = self.group_of(process);
        self.charge(group, Resource::Threads, 1)?;
        let Some(id) = self.threads.insert(thread) else {
            self.uncharge(group, Resource::Threads, 1);
            return Err(EAGAIN);
        };
        if let Some(process) = self.processes.get_mut(process) {
            process.threads.push(id);
        }
        Ok(id)
    }

    /// `THREAD_CREATE`.
    pub(crate) fn thread_create(
        &mut self,
        who: &Caller,
        (entry, stack): (usize, usize),
        fs_base: usize,
        argument: usize,
    ) -> Outcome {
        if entry >= USER_END || stack >= USER_END || fs_base >= USER_END {
            return Err(EINVAL.into());
        }
        let count = self
            .processes
            .get(who.process)
            .map_or(0, |process| process.threads.len());
        if count >= PROCESS_THREADS_MAX || !self.may_add_thread(who) {
            return Err(EAGAIN.into());
        }
        let tid = self.new_number();
        let mut thread = Thread::new(tid, who.process, self.machine.fpu_new());
        thread.fs_base = fs_base as u64;
        thread.mask = self.threads.get(who.thread).map_or(0, |thread| thread.mask);
        thread.registers = Registers {
            rip: entry as u64,
            rsp: stack as u64,
            rdi: argument as u64,
            rflags: 0x202,
            ..Registers::default()
        };
        let id = self.add_thread(thread)?;
        self.ready.push_back(id);
        self.kick_idle();
        Ok(tid as usize)
    }

    /// `FORK`.
    pub(crate) fn fork(&mut self, who: &Caller) -> Outcome {
        let kept = if who.uid == 0 { 0 } else { PROCESSES_RESERVED };
        if self.processes.len() >= PROCESSES_MAX - kept || !self.may_add_thread(who) {
            return Err(EAGAIN.into());
        }
        let group = self.group_of(who.process);
        let handles = self
            .processes
            .get(who.process)
            .map_or(0, |process| process.fds.len());
        self.charge(group, Resource::Processes, 1)?;
        let charged = self.charge(group, Resource::Handles, handles as u64);
        let forked = charged.and_then(|()| {
            let child = self.fork_process(who);
            if child.is_err() {
                self.uncharge(group, Resource::Handles, handles as u64);
            }
            child
        });
        if forked.is_err() {
            self.uncharge(group, Resource::Processes, 1);
        } else {
            self.group_retain(group);
        }
        Ok(forked? as usize)
    }

    fn fork_process(&mut self, who: &Caller) -> Result<u32, Errno> {
        let space = self.space_fork(who.space)?;
        let pid = self.new_number();
        let Some(parent) = self.processes.get_mut(who.process) else {
            self.space_drop(space);
            return Err(EAGAIN);
        };
        let child = Process {
            pid,
            parent: parent.pid,
            pgid: parent.pgid,
            sid: parent.sid,
            credentials: parent.credentials,
            space,
            namespace: parent.namespace,
            group: parent.group,
            fds: parent.fds.clone(),
            threads: Vec::new(),
            children: Vec::new(),
            life: Life::Alive,
            stopped: false,
            stop_report: None,
            continue_report: false,
            actions: parent.actions.clone(),
            pending: 0,
            infos: Vec::new(),
            alarm: Alarm::default(),
            executed: false,
            path: parent.path.clone(),
            cpu_ns: 0,
            detach: Vec::new(),
        };
        let (files, namespace) = (child.fds.clone(), child.namespace);
        let Ok(id) = self.processes.insert(child) else {
            self.space_drop(space);
            return Err(EAGAIN);
        };
        let result = self.fork_thread(who, id, pid);
        if let Err(errno) = result {
            self.processes.remove(id);
            self.space_drop(space);
            return Err(errno);
        }
        for (_, slot) in files.iter() {
            self.file_retain(slot.file);
        }
        self.namespace_retain(namespace);
        self.pids.insert(pid, id);
        if let Some(parent) = self.processes.get_mut(who.process) {
            parent.children.push(pid);
        }
        Ok(pid)
    }

    fn fork_thread(&mut self, who: &Caller, child: ProcessId, tid: u32) -> Result<(), Errno> {
        let mut fpu = self.machine.fpu_new();
        let parent = self.threads.get_mut(who.thread).ok_or(EAGAIN)?;
        self.machine.fpu_save(&mut parent.fpu);
        self.machine
            .fpu_set_bytes(&mut fpu, self.machine.fpu_bytes(&parent.fpu));
        let mut thread = Thread::new(tid, child, fpu);
        thread.registers = Registers {
            rax: 0,
            ..parent.registers
        };
        thread.fs_base = parent.fs_base;
        thread.mask = parent.mask;
        thread.alternate = parent.alternate;
        let id = self.add_thread(thread)?;
        self.ready.push_back(id);
        self.kick_idle();
        Ok(())
    }

    /// The first process: its descriptors 0 to 2 share `console`, whose reference is taken over.
    pub fn first_process(
        &mut self,
        program: Program,
        namespace: NamespaceId,
        console: FileId,
        path: String,
    ) -> Result<ProcessId, Errno> {
        let pid = self.new_number();
        let mut fds = FdTable::default();
        for _ in 0..3 {
            self.file_retain(console);
            fds.insert(
                0,
                Slot {
                    file: console,
                    close_on_exec: false,
                },
            )?;
        }
        self.file_release(console);
        let process = Process {
            pid,
            parent: 0,
            pgid: pid,
            sid: pid,
            credentials: Credentials::default(),
            space: program.space,
            namespace,
            group: None,
            fds,
            threads: Vec::new(),
            children: Vec::new(),
            life: Life::Alive,
            stopped: false,
            stop_report: None,
            continue_report: false,
            actions: Box::new([SigAction::default(); SIGNAL_MAX]),
            pending: 0,
            infos: Vec::new(),
            alarm: Alarm::default(),
            executed: true,
            path,
            cpu_ns: 0,
            detach: Vec::new(),
        };
        let id = self.processes.insert(process).map_err(|_| ENOMEM)?;
        self.pids.insert(pid, id);
        let mut thread = Thread::new(pid, id, self.machine.fpu_new());
        thread.registers = Registers {
            rip: program.entry,
            rsp: program.sp,
            rflags: 0x202,
            ..Registers::default()
        };
        let thread = self.add_thread(thread)?;
        self.ready.push_back(thread);
        Ok(id)
    }
}
