//! Who a process is: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/getuid.html>.

use crate::types::*;
use crate::{Errno, e, error};
use core::slice;
use valence_abi::layout::ProcMeta;

const KEEP: u32 = u32::MAX;

/// The identities of a process; 0 is the caller.
pub(crate) fn meta(pid: usize) -> Result<ProcMeta, Errno> {
    let mut meta = ProcMeta::default();
    // SAFETY: the struct is the one the kernel writes.
    unsafe { syscall!(GETMETA, pid, &raw mut meta)? };
    Ok(meta)
}

fn own(field: impl Fn(&ProcMeta) -> u32) -> c_int {
    meta(0).map_or(-1, |meta| field(&meta) as c_int)
}

fn set_user_ids(real: u32, effective: u32, saved: u32) -> c_int {
    // SAFETY: no pointers.
    error::int(unsafe { syscall!(SETRESUID, real, effective, saved) }.map(|_| 0))
}

fn set_group_ids(real: u32, effective: u32, saved: u32) -> c_int {
    // SAFETY: no pointers.
    error::int(unsafe { syscall!(SETRESGID, real, effective, saved) }.map(|_| 0))
}

c_api! {
    fn getpid() -> c_int {
        error::int(syscall!(GETPID))
    }
    fn getppid() -> c_int {
        own(|meta| meta.ppid)
    }
    fn getuid() -> c_int {
        own(|meta| meta.ruid)
    }
    fn geteuid() -> c_int {
        own(|meta| meta.euid)
    }
    fn getgid() -> c_int {
        own(|meta| meta.rgid)
    }
    fn getegid() -> c_int {
        own(|meta| meta.egid)
    }
    fn getresuid(real: *mut u32, effective: *mut u32, saved: *mut u32) -> c_int {
        error::int(meta(0).map(|meta| {
            (*real, *effective, *saved) = (meta.ruid, meta.euid, meta.suid);
            0
        }))
    }
    fn getresgid(real: *mut u32, effective: *mut u32, saved: *mut u32) -> c_int {
        error::int(meta(0).map(|meta| {
            (*real, *effective, *saved) = (meta.rgid, meta.egid, meta.sgid);
            0
        }))
    }
    /// The superuser gives up all three identities for good, as POSIX says; others change the effective one.
    fn setuid(uid: u32) -> c_int {
        if own(|meta| meta.euid) == 0 { set_user_ids(uid, uid, uid) } else { set_user_ids(KEEP, uid, KEEP) }
    }
    fn setgid(gid: u32) -> c_int {
        if own(|meta| meta.euid) == 0 { set_group_ids(gid, gid, gid) } else { set_group_ids(KEEP, gid, KEEP) }
    }
    fn seteuid(uid: u32) -> c_int {
        set_user_ids(KEEP, uid, KEEP)
    }
    fn setegid(gid: u32) -> c_int {
        set_group_ids(KEEP, gid, KEEP)
    }
    fn setreuid(real: u32, effective: u32) -> c_int {
        set_user_ids(real, effective, if real == KEEP { KEEP } else { effective })
    }
    fn setregid(real: u32, effective: u32) -> c_int {
        set_group_ids(real, effective, if real == KEEP { KEEP } else { effective })
    }
    fn setresuid(real: u32, effective: u32, saved: u32) -> c_int {
        set_user_ids(real, effective, saved)
    }
    fn setresgid(real: u32, effective: u32, saved: u32) -> c_int {
        set_group_ids(real, effective, saved)
    }
    /// A process has one group: the list is that group.
    fn getgroups(room: c_int, list: *mut u32) -> c_int {
        error::int(meta(0).and_then(|meta| {
            match room {
                0 => {}
                1.. => slice::from_raw_parts_mut(list, 1)[0] = meta.egid,
                _ => return Err(e::EINVAL),
            }
            Ok(1)
        }))
    }
    fn setgroups(_count: usize, _list: *const u32) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn initgroups(_user: *const u8, _group: u32) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn getpgid(pid: c_int) -> c_int {
        error::int(meta(pid as usize).map(|meta| meta.pgid as usize))
    }
    fn getpgrp() -> c_int {
        getpgid(0)
    }
    fn setpgid(pid: c_int, group: c_int) -> c_int {
        error::int(syscall!(SETPGID, pid, group))
    }
    fn setpgrp() -> c_int {
        setpgid(0, 0)
    }
    fn getsid(pid: c_int) -> c_int {
        error::int(syscall!(GETSID, pid))
    }
    fn setsid() -> c_int {
        error::int(syscall!(SETSID))
    }
}
