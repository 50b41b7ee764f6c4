//! Numbers of processes, groups, sessions and users; and the calls that send signals, which are judged by them.

use valence_abi::errno::{EACCES, EAGAIN, EINTR, EINVAL, EPERM, ESRCH, Errno};
use valence_abi::layout::ProcMeta;
use valence_abi::signal::{SIGCONT, SIGNAL_MAX, SigAction, SigStack, how};

use crate::kernel::{Kernel, Outcome, ProcessId, Stop};
use crate::machine::Machine;
use crate::task::process::{Credentials, Life};
use crate::task::sigframe::siginfo_bytes;
use crate::task::signal::{UNBLOCKABLE, info};
use crate::task::thread::{Caller, WaitKey, Waiting};

/// "Keep" for user and group numbers.
const KEEP: u32 = u32::MAX;
/// Smallest alternate stack.
const ALTERNATE_MIN: usize = 2048;

/// New values for three ids. `EPERM` unless privileged or each is one of the old three.
fn change(old: [u32; 3], new: [u32; 3], privileged: bool) -> Result<[u32; 3], Errno> {
    let mut result = old;
    for (slot, value) in result.iter_mut().zip(new) {
        if value != KEEP {
            if !privileged && !old.contains(&value) {
                return Err(EPERM);
            }
            *slot = value;
        }
    }
    Ok(result)
}

impl<M: Machine> Kernel<M> {
    /// A process by number; 0 is the caller's.
    fn process_by_pid(&self, who: &Caller, pid: usize) -> Result<ProcessId, Errno> {
        if pid == 0 {
            return Ok(who.process);
        }
        let pid = u32::try_from(pid).map_err(|_| ESRCH)?;
        self.pids.get(&pid).copied().ok_or(ESRCH)
    }

    /// `GETMETA`.
    pub(crate) fn getmeta(&mut self, who: &Caller, pid: usize, addr: usize) -> Outcome {
        let meta = self.process_meta(self.process_by_pid(who, pid)?)?;
        self.copy_out(who.space, addr, &meta_bytes(&meta))?;
        Ok(0)
    }

    /// Identities of a process.
    pub fn process_meta(&self, id: ProcessId) -> Result<ProcMeta, Errno> {
        let process = self.processes.get(id).ok_or(ESRCH)?;
        let Credentials { uids, gids } = process.credentials;
        let namespace = process.namespace.raw() as u32;
        Ok(ProcMeta {
            pid: process.pid,
            pgid: process.pgid,
            ppid: process.parent,
            ruid: uids[0],
            euid: uids[1],
            suid: uids[2],
            rgid: gids[0],
            egid: gids[1],
            sgid: gids[2],
            ens: namespace,
            rns: namespace,
        })
    }

    /// `SETPGID`.
    pub(crate) fn setpgid(&mut self, who: &Caller, pid: usize, group: usize) -> Outcome {
        let id = self.process_by_pid(who, pid)?;
        let own_sid = self.processes.get(who.process).ok_or::<Errno>(ESRCH)?.sid;
        let process = self.processes.get(id).ok_or::<Errno>(ESRCH)?;
        if id != who.process && process.parent != who.pid {
            return Err(ESRCH.into());
        }
        if id != who.process && process.executed {
            return Err(EACCES.into());
        }
        if process.sid != own_sid || process.sid == process.pid {
            return Err(EPERM.into());
        }
        let target = if group == 0 {
            process.pid
        } else {
            group.try_into().map_err::<Errno, _>(|_| EINVAL)?
        };
        let sid = process.sid;
        let exists = target == process.pid
            || self
                .processes
                .iter()
                .any(|(_, other)| other.pgid == target && other.sid == sid);
        if !exists {
            return Err(EPERM.into());
        }
        if let Some(process) = self.processes.get_mut(id) {
            process.pgid = target;
        }
        Ok(0)
    }

    /// `SETSID`.
    pub(crate) fn setsid(&mut self, who: &Caller) -> Outcome {
        let process = self.processes.get_mut(who.process).ok_or::<Errno>(ESRCH)?;
        if process.pgid == process.pid {
            return Err(EPERM.into());
        }
        process.pgid = process.pid;
        process.sid = process.pid;
        Ok(process.pid as usize)
    }

    /// `GETSID`.
    pub(crate) fn getsid(&mut self, who: &Caller, pid: usize) -> Outcome {
        let id = self.process_by_pid(who, pid)?;
        Ok(self.processes.get(id).ok_or::<Errno>(ESRCH)?.sid as usize)
    }

    /// `SETRESUID` (`users`) and `SETRESGID`.
    pub(crate) fn set_ids(&mut self, who: &Caller, users: bool, new: [usize; 3]) -> Outcome {
        let process = self.processes.get_mut(who.process).ok_or::<Errno>(ESRCH)?;
        let privileged = process.credentials.uids[1] == 0;
        let new = new.map(|value| value as u32);
        let ids = if users {
            &mut process.credentials.uids
        } else {
            &mut process.credentials.gids
        };
        *ids = change(*ids, new, privileged)?;
        Ok(0)
    }

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

/// `ProcMeta` as bytes.
pub fn meta_bytes(meta: &ProcMeta) -> [u8; size_of::<ProcMeta>()] {
    let words = [
        meta.pid, meta.pgid, meta.ppid, meta.ruid, meta.euid, meta.suid, meta.rgid, meta.egid,
        meta.sgid, meta.ens, meta.rns,
    ];
    let mut bytes = [0; size_of::<ProcMeta>()];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_change_freely_only_for_the_privileged() {
        assert_eq!(change([0, 0, 0], [5, 6, KEEP], true), Ok([5, 6, 0]));
        assert_eq!(change([5, 6, 7], [7, KEEP, 5], false), Ok([7, 6, 5]));
        assert_eq!(change([5, 6, 7], [0, KEEP, KEEP], false), Err(EPERM));
    }
}
