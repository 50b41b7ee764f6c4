//! The calls on signals: sending, which the sender's identity judges; actions, masks, stacks, waiting; and the alarm.

use valence_abi::errno::{EAGAIN, EINTR, EINVAL, EPERM, ESRCH, Errno};
use valence_abi::signal::{SIGCONT, SIGNAL_MAX, SigAction, SigStack, how};

use crate::kernel::{Kernel, Outcome, ProcessId, Stop};
use crate::machine::Machine;
use crate::task::process::Life;
use crate::task::sigframe::siginfo_bytes;
use crate::task::signal::{UNBLOCKABLE, info};
use crate::task::thread::{Caller, WaitKey, Waiting};

/// Smallest alternate stack.
const ALTERNATE_MIN: usize = 2048;

impl<M: Machine> Kernel<M> {
    /// `KILL`.
    pub(crate) fn kill(&mut self, who: &Caller, which: isize, signal: usize) -> Outcome {
        if signal > SIGNAL_MAX {
            return Err(EINVAL.into());
        }
        let own_group = self
            .processes
            .get(who.process)
            .map_or(0, |process| process.pgid);
        let targets: alloc::vec::Vec<ProcessId> = self
            .processes
            .iter()
            .filter(|(id, process)| match which {
                -1 => process.pid != 1 && *id != who.process,
                0 => process.pgid == own_group,
                1.. => process.pid as isize == which,
                _ => process.pgid as isize == which.wrapping_neg(),
            })
            .map(|(id, _)| id)
            .collect();
        let allowed: alloc::vec::Vec<ProcessId> = targets
            .iter()
            .copied()
            .filter(|id| self.may_signal(who, *id, signal))
            .collect();
        match (targets.is_empty(), allowed.is_empty()) {
            (true, _) => return Err(ESRCH.into()),
            (false, true) => return Err(EPERM.into()),
            _ => {}
        }
        for target in allowed {
            self.signal_process(target, signal, info(signal, who.pid, who.uid));
        }
        Ok(0)
    }

    fn may_signal(&self, who: &Caller, target: ProcessId, signal: usize) -> bool {
        let (Some(from), Some(to)) = (self.processes.get(who.process), self.processes.get(target))
        else {
            return false;
        };
        let (from_uids, to_uids) = (from.credentials.uids, to.credentials.uids);
        let same_user = from_uids[..2]
            .iter()
            .any(|uid| *uid == to_uids[0] || *uid == to_uids[2]);
        from_uids[1] == 0 || same_user || signal == SIGCONT && from.sid == to.sid
    }

    /// `TKILL`.
    pub(crate) fn tkill(&mut self, who: &Caller, tid: usize, signal: usize) -> Outcome {
        if signal > SIGNAL_MAX {
            return Err(EINVAL.into());
        }
        let threads = self.thread_ids(who.process);
        let target = threads
            .into_iter()
            .find(|id| {
                self.threads
                    .get(*id)
                    .is_some_and(|thread| thread.tid as usize == tid)
            })
            .ok_or::<Errno>(ESRCH)?;
        self.signal_thread(target, signal, info(signal, who.pid, who.uid));
        Ok(0)
    }

    /// `SIGACTION`.
    pub(crate) fn sigaction(
        &mut self,
        who: &Caller,
        signal: usize,
        new: usize,
        old: usize,
    ) -> Outcome {
        if signal == 0 || signal > SIGNAL_MAX || new != 0 && UNBLOCKABLE & 1 << (signal - 1) != 0 {
            return Err(EINVAL.into());
        }
        let mut bytes = [0; size_of::<SigAction>()];
        if new != 0 {
            self.copy_in(who.space, new, &mut bytes)?;
        }
        let process = self.processes.get(who.process).ok_or::<Errno>(ESRCH)?;
        let known = process.actions.get(signal - 1).copied().unwrap_or_default();
        if old != 0 {
            self.copy_out(who.space, old, &action_bytes(&known))?;
        }
        if new != 0
            && let Some(process) = self.processes.get_mut(who.process)
            && let Some(action) = process.actions.get_mut(signal - 1)
        {
            *action = action_from(&bytes);
        }
        Ok(0)
    }

    /// `SIGPROCMASK`.
    pub(crate) fn sigprocmask(
        &mut self,
        who: &Caller,
        operation: usize,
        new: usize,
        old: usize,
    ) -> Outcome {
        let given = if new != 0 {
            Some(self.read_u64(who.space, new)?)
        } else {
            None
        };
        let thread = self.threads.get(who.thread).ok_or::<Errno>(ESRCH)?;
        let known = thread.mask;
        let mask = match (given, operation) {
            (None, _) => known,
            (Some(set), how::BLOCK) => known | set,
            (Some(set), how::UNBLOCK) => known & !set,
            (Some(set), how::SETMASK) => set,
            _ => return Err(EINVAL.into()),
        };
        if old != 0 {
            self.write_u64(who.space, old, known)?;
        }
        if let Some(thread) = self.threads.get_mut(who.thread) {
            thread.mask = mask & !UNBLOCKABLE;
        }
        Ok(0)
    }

    /// `SIGALTSTACK`.
    pub(crate) fn sigaltstack(&mut self, who: &Caller, new: usize, old: usize) -> Outcome {
        let given = if new != 0 {
            let base = self.read_u64(who.space, new)? as usize;
            let size = self.read_u64(who.space, new.wrapping_add(8))? as usize;
            if size != 0 && (size < ALTERNATE_MIN || base.checked_add(size).is_none()) {
                return Err(EINVAL.into());
            }
            Some(SigStack { base, size })
        } else {
            None
        };
        let known = self
            .threads
            .get(who.thread)
            .ok_or::<Errno>(ESRCH)?
            .alternate;
        if old != 0 {
            self.write_u64(who.space, old, known.base as u64)?;
            self.write_u64(who.space, old.wrapping_add(8), known.size as u64)?;
        }
        if let (Some(stack), Some(thread)) = (given, self.threads.get_mut(who.thread)) {
            thread.alternate = stack;
        }
        Ok(0)
    }

    /// Uses another mask until the call ends.
    pub(crate) fn borrow_mask(&mut self, who: &Caller, mask: u64) {
        if let Some(thread) = self.threads.get_mut(who.thread) {
            thread.saved_mask.get_or_insert(thread.mask);
            thread.mask = mask & !UNBLOCKABLE;
        }
    }

    /// Back to the mask before `borrow_mask`.
    pub(crate) fn return_mask(&mut self, who: &Caller) {
        if let Some(thread) = self.threads.get_mut(who.thread)
            && let Some(mask) = thread.saved_mask.take()
        {
            thread.mask = mask;
        }
    }

    /// `SIGSUSPEND`.
    pub(crate) fn sigsuspend(&mut self, who: &Caller, mask: usize) -> Outcome {
        let mask = self.read_u64(who.space, mask)?;
        self.borrow_mask(who, mask);
        Err(Stop::Wait(
            Waiting::Key(WaitKey::Signal(who.process)),
            u64::MAX,
        ))
    }

    /// `SIGPENDING`.
    pub(crate) fn sigpending(&mut self, who: &Caller, addr: usize) -> Outcome {
        let thread = self
            .threads
            .get(who.thread)
            .map_or(0, |thread| thread.pending);
        let process = self
            .processes
            .get(who.process)
            .map_or(0, |process| process.pending);
        self.write_u64(who.space, addr, thread | process)?;
        Ok(0)
    }

    /// `SIGWAIT`.
    pub(crate) fn sigwait(
        &mut self,
        who: &Caller,
        set: usize,
        details: usize,
        deadline: u64,
    ) -> Outcome {
        let set = self.read_u64(who.space, set)?;
        let own = self
            .threads
            .get(who.thread)
            .map_or(0, |thread| thread.pending);
        let shared = self
            .processes
            .get(who.process)
            .map_or(0, |process| process.pending);
        let found = (own | shared) & set;
        if found == 0 {
            if deadline <= self.machine.now_ns() {
                return Err(EAGAIN.into());
            }
            let key = WaitKey::Signal(who.process);
            return Err(Stop::Wait(Waiting::Key(key), deadline));
        }
        let signal = found.trailing_zeros() as usize + 1;
        let taken = self.take_signal(who.thread, who.process, signal);
        if details != 0 {
            self.copy_out(who.space, details, &siginfo_bytes(&taken))?;
        }
        Ok(signal)
    }

    /// `ALARM`.
    pub(crate) fn alarm(
        &mut self,
        who: &Caller,
        deadline: u64,
        interval: u64,
        old: usize,
    ) -> Outcome {
        let now = self.machine.now_ns();
        let process = self.processes.get_mut(who.process).ok_or::<Errno>(EINTR)?;
        let remaining = process
            .alarm
            .timer
            .map_or(0, |(at, _)| at.saturating_sub(now).max(1));
        let known = process.alarm;
        if process.life != Life::Alive {
            return Err(EINTR.into());
        }
        if old != 0 {
            self.write_u64(who.space, old, remaining)?;
            self.write_u64(who.space, old.wrapping_add(8), known.interval)?;
        }
        if let Some(key) = known.timer {
            self.timer_remove(key);
        }
        let timer = (deadline != u64::MAX)
            .then(|| self.timer_add(deadline, crate::task::timer::Timer::Alarm(who.process)));
        if let Some(process) = self.processes.get_mut(who.process) {
            process.alarm.timer = timer;
            process.alarm.interval = interval;
        }
        Ok(0)
    }
}

fn action_bytes(action: &SigAction) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(action.handler as u64).to_le_bytes());
    bytes[8..12].copy_from_slice(&action.flags.to_le_bytes());
    bytes[16..24].copy_from_slice(&(action.restorer as u64).to_le_bytes());
    bytes[24..].copy_from_slice(&action.mask.to_le_bytes());
    bytes
}

fn action_from(bytes: &[u8; 32]) -> SigAction {
    let word = |at: usize| {
        let bytes = bytes
            .get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .unwrap_or([0; 8]);
        u64::from_le_bytes(bytes)
    };
    SigAction {
        handler: word(0) as usize,
        flags: word(8) as u32,
        reserved: 0,
        restorer: word(16) as usize,
        mask: word(24),
    }
}
