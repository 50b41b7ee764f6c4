//! `posix_spawn`, as fork and exec, and `system`:
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/posix_spawn.html>.
//!
//! Attributes and file actions are not supported: a call that passes any gets ENOSYS. A pipe that exec closes tells the
//! caller why the program could not be started.

use super::exec::{exec_path, exec_search};
use super::{EXIT_NO_START, exit_now, waitpid};
use crate::fs::{Fd, c_path};
use crate::types::*;
use crate::{Errno, e, environment};
use valence_abi::flags::O_CLOEXEC;

type Exec = unsafe fn(&[u8], *const *const u8, *const *const u8) -> Errno;

/// # Safety
/// As for `posix_spawn`.
unsafe fn spawn(
    path: &[u8],
    argv: *const *const u8,
    envp: *const *const u8,
    exec: Exec,
) -> Result<c_int, Errno> {
    let (read_end, write_end) = crate::fs::make_pipe(O_CLOEXEC)?;
    let (read_end, write_end) = (Fd(read_end), Fd(write_end));
    match super::fork::fork() {
        -1 => Err(e::EAGAIN),
        0 => {
            // SAFETY: the caller's arrays, copied with the rest of memory.
            let errno = unsafe { exec(path, argv, envp) };
            let _ = crate::fs::write_all(write_end.0, &errno.0.to_le_bytes());
            exit_now(EXIT_NO_START)
        }
        pid => {
            drop(write_end);
            let mut answer = [0; 2];
            match crate::fs::read_fd(read_end.0, &mut answer) {
                Ok(2) => {
                    waitpid(pid, core::ptr::null_mut(), 0);
                    Err(Errno(u16::from_le_bytes(answer)))
                }
                _ => Ok(pid),
            }
        }
    }
}

/// # Safety
/// As for `posix_spawn`.
unsafe fn checked(
    pid: *mut c_int,
    path: *const u8,
    extras: [*const c_void; 2],
    argv: *const *const u8,
    envp: *const *const u8,
    exec: Exec,
) -> c_int {
    if extras.iter().any(|extra| !extra.is_null()) {
        return c_int::from(e::ENOSYS.0);
    }
    // SAFETY: the caller's strings and arrays.
    unsafe {
        match c_path(path).and_then(|path| spawn(path, argv, envp, exec)) {
            Ok(child) => {
                if !pid.is_null() {
                    *pid = child;
                }
                0
            }
            Err(errno) => c_int::from(errno.0),
        }
    }
}

c_api! {
    fn posix_spawn(
        pid: *mut c_int, path: *const u8, actions: *const c_void, attributes: *const c_void, argv: *const *const u8,
        envp: *const *const u8,
    ) -> c_int {
        checked(pid, path, [actions, attributes], argv, envp, exec_path)
    }
    fn posix_spawnp(
        pid: *mut c_int, name: *const u8, actions: *const c_void, attributes: *const c_void, argv: *const *const u8,
        envp: *const *const u8,
    ) -> c_int {
        checked(pid, name, [actions, attributes], argv, envp, exec_search)
    }
    fn system(command: *const u8) -> c_int {
        if command.is_null() {
            return c_int::from(crate::fs::exists(b"/bin/sh"));
        }
        let argv = [c"sh".as_ptr().cast(), c"-c".as_ptr().cast(), command, core::ptr::null()];
        let envp = environment::array().cast_const().cast();
        match spawn(b"/bin/sh", argv.as_ptr(), envp, exec_path) {
            Ok(pid) => {
                let mut status = 0;
                if waitpid(pid, &raw mut status, 0) < 0 { -1 } else { status }
            }
            Err(_) => EXIT_NO_START << 8,
        }
    }
}
