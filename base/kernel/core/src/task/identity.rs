//! Numbers of processes, groups, sessions and users.

use valence_abi::errno::{EACCES, EINVAL, EPERM, ESRCH, Errno};
use valence_abi::layout::ProcMeta;

use crate::kernel::{Kernel, Outcome, ProcessId};
use crate::machine::Machine;
use crate::task::process::Credentials;
use crate::task::thread::Caller;

/// "Keep" for user and group numbers.
const KEEP: u32 = u32::MAX;

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
