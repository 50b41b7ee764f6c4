//! Signals: sending, and what happens when a thread that has one goes back to user mode.
//!
//! A default action that ends or stops the process is carried out when the signal is sent, so a process that waits
//! for a daemon can always be killed. A handler runs when its thread next leaves the kernel; a wait it interrupts ends with
//! `EINTR`, or the call runs again for `SA_RESTART`.

use valence_abi::errno::{EINTR, encode};
use valence_abi::signal::{
    SIG_DFL, SIG_IGN, SIGCHLD, SIGCONT, SIGKILL, SIGNAL_MAX, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGWINCH, SigAction, SigInfo, sa,
};
use valence_abi::syscall;

use crate::kernel::{Kernel, ProcessId, ThreadId};
use crate::machine::Machine;
use crate::task::process::Life;
use crate::task::thread::{State, WaitKey, Waiting};

/// Details of a signal sent by a process.
pub fn info(signal: usize, pid: u32, uid: u32) -> SigInfo {
    SigInfo {
        signo: signal as i32,
        pid: pid as i32,
        uid: uid as i32,
        ..SigInfo::default()
    }
}

/// Bit of a signal in a mask.
pub const fn bit(signal: usize) -> u64 {
    1 << (signal - 1)
}

/// Signals that cannot be caught, blocked or ignored.
pub const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);
const STOPS: u64 = bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
const IGNORED: u64 = bit(SIGCHLD) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGCONT);

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Ignore,
    /// Ends the process.
    End,
    /// Stops the process.
    Stop,
    /// Runs the handler.
    Handle,
}

/// What a signal does under this action.
pub fn effect(signal: usize, action: &SigAction) -> Effect {
    match action.handler {
        _ if signal == SIGKILL => Effect::End,
        _ if signal == SIGSTOP => Effect::Stop,
        SIG_IGN => Effect::Ignore,
        SIG_DFL if IGNORED & bit(signal) != 0 => Effect::Ignore,
        SIG_DFL if STOPS & bit(signal) != 0 => Effect::Stop,
        SIG_DFL => Effect::End,
        _ => Effect::Handle,
    }
}

/// Whether an interrupted call may run again after a handler.
fn restartable(number: u64) -> bool {
    !matches!(
        number as usize,
        syscall::SLEEP_UNTIL
            | syscall::EVENT_WAIT
            | syscall::SIGSUSPEND
            | syscall::SIGWAIT
            | syscall::FUTEX
    )
}

impl<M: Machine> Kernel<M> {
    fn effect_in(&self, process: ProcessId, signal: usize) -> Effect {
        let Some(process) = self.processes.get(process) else {
            return Effect::Ignore;
        };
        let Some(action) = process.actions.get(signal.wrapping_sub(1)) else {
            return Effect::Ignore;
        };
        match effect(signal, action) {
            // The first process is only touched by signals it handles.
            Effect::End | Effect::Stop if process.pid == 1 => Effect::Ignore,
            effect => effect,
        }
    }

    /// A signal for a process.
    pub fn signal_process(&mut self, id: ProcessId, signal: usize, info: SigInfo) {
        if signal == 0 || signal > SIGNAL_MAX {
            return;
        }
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        if process.life != Life::Alive {
            return;
        }
        if signal == SIGCONT {
            process.pending &= !STOPS;
            self.process_continue(id);
        }
        let threads = self.thread_ids(id);
        let free = threads.iter().copied().find(|thread| {
            self.threads
                .get(*thread)
                .is_some_and(|thread| thread.mask & bit(signal) == 0)
        });
        let effect = self.effect_in(id, signal);
        if signal == SIGKILL && effect == Effect::End {
            return self.process_terminate(id, SIGKILL as i32);
        }
        match (free, effect) {
            (Some(_), Effect::Ignore) => return,
            (Some(_), Effect::End) => return self.process_terminate(id, signal as i32),
            (_, Effect::Stop) if free.is_some() || signal == SIGSTOP => {
                return self.process_stop(id, signal);
            }
            _ => {}
        }
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        process.pending |= bit(signal);
        process.infos.retain(|known| known.signo != info.signo);
        process.infos.push(info);
        self.wake(WaitKey::Signal(id));
        if let Some(thread) = free {
            self.poke(thread);
        }
    }

    /// A signal for one thread.
    pub fn signal_thread(&mut self, id: ThreadId, signal: usize, info: SigInfo) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        if signal == 0 || signal > SIGNAL_MAX {
            return;
        }
        let (process, blocked) = (thread.process, thread.mask & bit(signal) != 0);
        match self.effect_in(process, signal) {
            Effect::Ignore if !blocked => return,
            Effect::End if !blocked => return self.process_terminate(process, signal as i32),
            Effect::Stop if !blocked => return self.process_stop(process, signal),
            _ => {}
        }
        if let Some(thread) = self.threads.get_mut(id) {
            thread.pending |= bit(signal);
        }
        if let Some(process) = self.processes.get_mut(process) {
            process.infos.retain(|known| known.signo != info.signo);
            process.infos.push(info);
        }
        self.wake(WaitKey::Signal(process));
        if !blocked {
            self.poke(id);
        }
    }

    /// A signal that the thread on this CPU caused itself by an instruction: it cannot be put off.
    pub(crate) fn signal_fault(&mut self, id: ThreadId, signal: usize, addr: usize, code: i32) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        let (process, mask) = (thread.process, thread.mask);
        let Some(body) = self.processes.get_mut(process) else {
            return;
        };
        let handled = body
            .actions
            .get(signal.wrapping_sub(1))
            .is_some_and(|action| effect(signal, action) == Effect::Handle);
        if !handled || mask & bit(signal) != 0 {
            return self.process_terminate(process, signal as i32);
        }
        body.infos.retain(|known| known.signo != signal as i32);
        body.infos.push(SigInfo {
            addr,
            code,
            ..info(signal, 0, 0)
        });
        thread.pending |= bit(signal);
    }

    /// Makes a thread look at its signals soon.
    fn poke(&mut self, id: ThreadId) {
        match self.threads.get(id).map(|thread| thread.state) {
            Some(State::Waiting(_)) => self.interrupt_thread(id),
            Some(State::Running(cpu)) if cpu != self.cpu => self.machine.kick(cpu),
            _ => {}
        }
    }

    /// Ends a thread's wait because of a signal; or asks its daemon to.
    pub(crate) fn interrupt_thread(&mut self, id: ThreadId) {
        let Some(State::Waiting(waiting)) = self.threads.get(id).map(|thread| thread.state) else {
            return;
        };
        match waiting {
            Waiting::Futex(key) => self.futex_forget(id, key),
            Waiting::Request {
                scheme,
                tag,
                cancelled: false,
            } => {
                if !self.abandon_request(scheme, tag, false) {
                    if let Some(thread) = self.threads.get_mut(id) {
                        let cancelled = Waiting::Request {
                            scheme,
                            tag,
                            cancelled: true,
                        };
                        thread.state = State::Waiting(cancelled);
                    }
                    return;
                }
            }
            Waiting::Request { scheme, tag, .. } => {
                let open = self
                    .schemes
                    .get_mut(scheme)
                    .is_some_and(|s| s.request(tag).is_some());
                if open {
                    return;
                }
            }
            Waiting::Key(_) | Waiting::Sleep => {}
        }
        self.cancel_thread_timer(id);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.interrupted = true;
            thread.progress.len = 0;
        }
        self.make_ready(id);
    }

    /// Signals that this thread would act on now.
    fn actionable(&self, id: ThreadId) -> u64 {
        let Some(thread) = self.threads.get(id) else {
            return 0;
        };
        let Some(process) = self.processes.get(thread.process) else {
            return 0;
        };
        let mut set = (thread.pending | process.pending) & !thread.mask;
        let mut rest = set;
        while rest != 0 {
            let signal = rest.trailing_zeros() as usize + 1;
            rest &= rest - 1;
            if self.effect_in(thread.process, signal) == Effect::Ignore {
                set &= !bit(signal);
            }
        }
        set
    }

    /// Whether a wait would be interrupted at once.
    pub(crate) fn signal_waits(&self, id: ThreadId) -> bool {
        self.actionable(id) != 0
    }

    /// Acts on signals of the current thread before it goes to user mode. True: something changed, look again.
    pub(crate) fn signal_work(&mut self, id: ThreadId) -> bool {
        let Some(thread) = self.threads.get_mut(id) else {
            return true;
        };
        let process_id = thread.process;
        let Some(process) = self.processes.get_mut(process_id) else {
            return true;
        };
        if process.stopped && process.life == Life::Alive {
            thread.state = State::Parked;
            return true;
        }
        if (thread.pending | process.pending) & !thread.mask == 0 {
            return self.resume_interrupted(id);
        }
        let set = self.actionable(id);
        if set == 0 {
            self.discard_ignored(id, process_id);
            return self.resume_interrupted(id);
        }
        let signal = set.trailing_zeros() as usize + 1;
        let info = self.take_signal(id, process_id, signal);
        match self.effect_in(process_id, signal) {
            Effect::Ignore => {}
            Effect::End => self.process_terminate(process_id, signal as i32),
            Effect::Stop => self.process_stop(process_id, signal),
            Effect::Handle => {
                self.settle_interrupted(id, signal);
                self.push_frame(id, signal, info);
            }
        }
        true
    }

    /// No handler ran: a call that was interrupted runs again.
    fn resume_interrupted(&mut self, id: ThreadId) -> bool {
        match self.threads.get_mut(id) {
            Some(thread) if thread.interrupted => {
                thread.interrupted = false;
                thread.retry = true;
                true
            }
            _ => false,
        }
    }

    /// A handler runs: the interrupted call's result.
    fn settle_interrupted(&mut self, id: ThreadId, signal: usize) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        if !core::mem::take(&mut thread.interrupted) {
            return;
        }
        thread.retry = false;
        let flags = self
            .processes
            .get(thread.process)
            .and_then(|process| process.actions.get(signal - 1))
            .map_or(0, |action| action.flags);
        if flags & sa::RESTART != 0 && restartable(thread.registers.rax) {
            // The call's number is still in rax: step back over the two bytes of the instruction.
            thread.registers.rip = thread.registers.rip.wrapping_sub(2);
        } else {
            thread.registers.rax = encode(Err(EINTR)) as u64;
        }
    }

    fn discard_ignored(&mut self, id: ThreadId, process: ProcessId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        let open = !thread.mask;
        thread.pending &= !open;
        if let Some(process) = self.processes.get_mut(process) {
            process.pending &= !open;
        }
    }

    /// Takes one pending signal with its details.
    pub(crate) fn take_signal(
        &mut self,
        id: ThreadId,
        process: ProcessId,
        signal: usize,
    ) -> SigInfo {
        if let Some(thread) = self.threads.get_mut(id)
            && thread.pending & bit(signal) != 0
        {
            thread.pending &= !bit(signal);
        } else if let Some(process) = self.processes.get_mut(process) {
            process.pending &= !bit(signal);
        }
        let Some(process) = self.processes.get_mut(process) else {
            return info(signal, 0, 0);
        };
        match process
            .infos
            .iter()
            .position(|known| known.signo == signal as i32)
        {
            Some(at) => process.infos.swap_remove(at),
            None => info(signal, 0, 0),
        }
    }

    fn process_stop(&mut self, id: ProcessId, signal: usize) {
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        if process.stopped {
            return;
        }
        process.stopped = true;
        process.pending &= !bit(SIGCONT);
        process.stop_report = Some(signal as u8);
        for thread in self.thread_ids(id) {
            if let Some(State::Running(cpu)) = self.threads.get(thread).map(|t| t.state)
                && cpu != self.cpu
            {
                self.machine.kick(cpu);
            }
        }
        self.report_to_parent(id, 5, signal as i32);
    }

    fn process_continue(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(id) else {
            return;
        };
        if !process.stopped {
            return;
        }
        process.stopped = false;
        process.stop_report = None;
        process.continue_report = true;
        for thread in self.thread_ids(id) {
            if self
                .threads
                .get(thread)
                .is_some_and(|thread| thread.state == State::Parked)
            {
                self.make_ready_anywhere(thread);
            }
        }
        self.report_to_parent(id, 6, SIGCONT as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valence_abi::signal::{SIGINT, SIGTERM};

    #[test]
    fn actions_decide_except_for_kill_and_stop() {
        let action = |handler| SigAction {
            handler,
            ..SigAction::default()
        };
        assert_eq!(effect(SIGTERM, &action(SIG_DFL)), Effect::End);
        assert_eq!(effect(SIGCHLD, &action(SIG_DFL)), Effect::Ignore);
        assert_eq!(effect(SIGTSTP, &action(SIG_DFL)), Effect::Stop);
        assert_eq!(effect(SIGINT, &action(SIG_IGN)), Effect::Ignore);
        assert_eq!(effect(SIGINT, &action(0x1000)), Effect::Handle);
        assert_eq!(effect(SIGKILL, &action(SIG_IGN)), Effect::End);
        assert_eq!(effect(SIGSTOP, &action(0x1000)), Effect::Stop);
    }
}
