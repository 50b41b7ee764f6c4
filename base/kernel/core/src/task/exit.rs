//! Ends of threads and processes.
//!
//! A thread on another CPU cannot be taken away at once: it is marked, its CPU is kicked, and it is reaped there. A process is
//! over when its last thread is reaped; then its descriptors, memory and names go, and its parent hears of it.

use valence_abi::signal::{
    SIG_IGN, SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, SigInfo, sa,
};

use crate::kernel::{Kernel, Outcome, ProcessId, Stop, ThreadId};
use crate::machine::{Machine, PowerAction};
use crate::mem::copy::Buffer;
use crate::mem::space::Space;
use crate::task::group::Resource;
use crate::task::process::Life;
use crate::task::thread::{Caller, State, WaitKey, Waiting};

/// `si_code` of SIGCHLD: exited, killed.
const CODE_EXITED: i32 = 1;
const CODE_KILLED: i32 = 2;

/// Signals that tell of a defect and so are worth a line in the log (bit n is signal n).
const DEFECTS: u64 = 1 << SIGILL
    | 1 << SIGTRAP
    | 1 << SIGABRT
    | 1 << SIGBUS
    | 1 << SIGFPE
    | 1 << SIGSEGV
    | 1 << SIGSYS;

impl<M: Machine> Kernel<M> {
    /// Ends a process with this wait status (low 7 bits: signal; next byte: exit code).
    pub(crate) fn process_terminate(&mut self, id: ProcessId, status: i32) {
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        if process.life != Life::Alive {
            return;
        }
        process.life = Life::Ending(status);
        process.stopped = false;
        let threads = process.threads.clone();
        if DEFECTS & 1 << (status & 0x7F) != 0 {
            let (pid, name) = (process.pid, alloc::string::String::from(process.name()));
            self.print(format_args!(
                "process {pid} ({name}) ended by signal {}",
                status & 0x7F
            ));
        }
        for thread in threads {
            self.thread_end(thread);
        }
    }

    /// Ends a thread: now, or as soon as it is off its CPU.
    pub(crate) fn thread_end(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        thread.dying = true;
        match thread.state {
            State::Running(cpu) if cpu == self.cpu => {}
            State::Running(cpu) => self.machine.kick(cpu),
            _ => self.thread_reap(id),
        }
    }

    /// Takes a thread out of every table.
    pub(crate) fn thread_reap(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(id) else {
            return;
        };
        match thread.state {
            State::Waiting(Waiting::Request { scheme, tag, .. }) => {
                self.abandon_request(scheme, tag, true);
            }
            State::Waiting(Waiting::Futex(key)) => self.futex_forget(id, key),
            _ => {}
        }
        self.cancel_thread_timer(id);
        let cpu = self.cpu;
        if self.cpus[cpu].current == Some(id) {
            self.cpus[cpu].current = None;
        }
        let Some(thread) = self.threads.remove(id) else {
            return;
        };
        let process_id = thread.process;
        let Some(process) = self.processes.get_mut(process_id) else {
            return;
        };
        process.threads.retain(|other| *other != id);
        process.cpu_ns += thread.cpu_ns;
        let group = process.group;
        let last = process.threads.is_empty();
        self.uncharge(group, Resource::Threads, 1);
        if last {
            self.process_finish(process_id);
        }
    }

    /// The last thread is gone.
    fn process_finish(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        let status = match process.life {
            Life::Ending(status) => status,
            Life::Alive => 0,
            Life::Zombie(_) => return,
        };
        process.life = Life::Zombie(status);
        let pid = process.pid;
        let slots = process.fds.drain(|_| true);
        let group = process.group;
        let (space, namespace) = (process.space, process.namespace);
        let (alarm, detach) = (
            process.alarm.timer.take(),
            core::mem::take(&mut process.detach),
        );
        let children = core::mem::take(&mut process.children);
        if let Some(key) = alarm {
            self.timer_remove(key);
        }
        // Before the handles are closed: the scheme looks its locks up by them.
        for (scheme, handle) in detach {
            let op = valence_abi::scheme::opcode::DETACH;
            self.scheme_tell(scheme, op, 0, handle, u64::from(pid));
        }
        self.uncharge(group, Resource::Handles, slots.len() as u64);
        for slot in slots {
            self.file_release(slot.file);
        }
        self.namespace_release(namespace);
        self.space_drop(space);
        self.wake_last(WaitKey::Child(id));
        self.wake_last(WaitKey::Signal(id));
        self.adopt(children);
        if pid == 1 {
            self.print(format_args!(
                "init ended with status {status:#x}: nothing is left to do"
            ));
            self.machine.power(PowerAction::Shutdown);
        }
        self.report_end(id, status);
    }

    /// Children of a process that ended become the first process's.
    fn adopt(&mut self, children: alloc::vec::Vec<u32>) {
        for pid in children {
            let Some(id) = self.pids.get(&pid).copied() else {
                continue;
            };
            let Some(child) = self.processes.get_mut(id) else {
                continue;
            };
            child.parent = 1;
            let life = child.life;
            if let Some(init) = self.pids.get(&1).copied()
                && let Some(init) = self.processes.get_mut(init)
            {
                init.children.push(pid);
            }
            if let Life::Zombie(status) = life {
                self.report_end(id, status);
            }
        }
    }

    fn report_end(&mut self, id: ProcessId, status: i32) {
        let Some(parent) = self.parent_of(id) else {
            return self.forget_process(id);
        };
        let action = self.processes.get(parent).map(|p| p.actions[SIGCHLD - 1]);
        let Some(action) = action else {
            return self.forget_process(id);
        };
        let (code, value) = match status & 0x7F {
            0 => (CODE_EXITED, status >> 8),
            signal => (CODE_KILLED, signal),
        };
        if action.handler == SIG_IGN || action.flags & sa::NOCLDWAIT != 0 {
            self.forget_process(id);
        } else {
            self.report_to_parent(id, code, value);
        }
        self.wake(WaitKey::Child(parent));
    }

    fn parent_of(&self, id: ProcessId) -> Option<ProcessId> {
        self.pids.get(&self.processes.get(id)?.parent).copied()
    }

    /// SIGCHLD with this code, and a wake-up for `WAITPID`.
    pub(crate) fn report_to_parent(&mut self, id: ProcessId, code: i32, status: i32) {
        let Some(parent) = self.parent_of(id) else {
            return;
        };
        let Some(child) = self.processes.get(id) else {
            return;
        };
        let (pid, uid) = (child.pid as i32, child.credentials.uids[0] as i32);
        let quiet = code > 2
            && self
                .processes
                .get(parent)
                .is_some_and(|parent| parent.actions[SIGCHLD - 1].flags & sa::NOCLDSTOP != 0);
        if !quiet {
            let info = SigInfo {
                signo: SIGCHLD as i32,
                code,
                pid,
                uid,
                status,
                ..SigInfo::default()
            };
            self.signal_process(parent, SIGCHLD, info);
        }
        self.wake(WaitKey::Child(parent));
    }

    /// Nothing of an ended process is needed any more.
    pub(crate) fn forget_process(&mut self, id: ProcessId) {
        let Some(process) = self.processes.remove(id) else {
            return;
        };
        self.pids.remove(&process.pid);
        self.uncharge(process.group, Resource::Processes, 1);
        self.group_release(process.group);
        if let Some(parent) = self.pids.get(&process.parent).copied()
            && let Some(parent) = self.processes.get_mut(parent)
        {
            parent.children.retain(|pid| *pid != process.pid);
        }
    }

    /// `EXIT`.
    pub(crate) fn exit(&mut self, who: &Caller, code: usize) -> Outcome {
        self.process_terminate(who.process, (code as i32 & 0xFF) << 8);
        Err(Stop::Done)
    }

    /// `THREAD_EXIT`.
    pub(crate) fn thread_exit(
        &mut self,
        who: &Caller,
        clear: usize,
        unmap: (usize, usize),
    ) -> Outcome {
        if clear != 0 {
            let word = Buffer {
                space: who.space,
                addr: clear,
                len: 4,
            };
            if self.zero_out(word).is_ok() {
                let _ = self.futex_wake(who.space, clear, usize::MAX);
            }
        }
        if unmap.1 != 0
            && let Ok((start, pages)) = Space::range(unmap.0, unmap.1)
        {
            let _ = self.unmap_range(who.space, start, pages);
        }
        self.thread_end(who.thread);
        Err(Stop::Done)
    }
}
