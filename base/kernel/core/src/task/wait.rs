//! `WAITPID`.

use valence_abi::errno::{ECHILD, Errno};
use valence_abi::flags::{WCONTINUED, WNOHANG, WUNTRACED};

use crate::kernel::{Kernel, Outcome, ProcessId, wait_for};
use crate::machine::Machine;
use crate::task::process::{Life, Process};
use crate::task::thread::{Caller, WaitKey};

/// Low byte of the status of a stopped child.
const STOPPED: i32 = 0x7F;
/// Status of a continued child.
const CONTINUED: i32 = 0xFFFF;

fn wanted(child: &Process, which: isize, own_group: u32) -> bool {
    match which {
        -1 => true,
        0 => child.pgid == own_group,
        1.. => child.pid as isize == which,
        _ => child.pgid as isize == which.wrapping_neg(),
    }
}

fn status_of(child: &Process, options: usize) -> Option<i32> {
    match child.life {
        Life::Zombie(status) => Some(status),
        _ if options & WUNTRACED != 0 && child.stop_report.is_some() => child
            .stop_report
            .map(|signal| i32::from(signal) << 8 | STOPPED),
        _ if options & WCONTINUED != 0 && child.continue_report => Some(CONTINUED),
        _ => None,
    }
}

impl<M: Machine> Kernel<M> {
    /// `WAITPID`.
    pub(crate) fn waitpid(
        &mut self,
        who: &Caller,
        which: isize,
        status_addr: usize,
        options: usize,
    ) -> Outcome {
        let process = self.processes.get(who.process).ok_or::<Errno>(ECHILD)?;
        let mut any = false;
        let mut found: Option<(u32, ProcessId, i32)> = None;
        for pid in &process.children {
            let Some(id) = self.pids.get(pid).copied() else {
                continue;
            };
            let Some(child) = self.processes.get(id) else {
                continue;
            };
            if wanted(child, which, process.pgid) {
                any = true;
                if let Some(status) = status_of(child, options) {
                    found = Some((*pid, id, status));
                    break;
                }
            }
        }
        let Some((pid, id, status)) = found else {
            return match (any, options & WNOHANG != 0) {
                (false, _) => Err(ECHILD.into()),
                (true, true) => Ok(0),
                (true, false) => Err(wait_for(WaitKey::Child(who.process))),
            };
        };
        if status_addr != 0 {
            self.copy_out(who.space, status_addr, &status.to_le_bytes())?;
        }
        if let Some(child) = self.processes.get_mut(id) {
            match child.life {
                Life::Zombie(_) => self.forget_process(id),
                _ if status == CONTINUED => child.continue_report = false,
                _ => child.stop_report = None,
            }
        }
        Ok(pid as usize)
    }
}
