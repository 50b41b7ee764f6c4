//! Processes: fork, exec, wait and the ways to end.

mod exec;
mod fork;
mod spawn;

use crate::types::*;
use crate::{error, signal};
use valence_abi::signal::SIGABRT;

/// Status of a program that could not be started.
pub(crate) const EXIT_NO_START: c_int = 127;
const STATUS_MASK: c_int = 0xFF;
const SIGNAL_STATUS: c_int = 128;

/// Ends the process at once.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: no pointers.
    unsafe {
        let _ = syscall!(EXIT, status & STATUS_MASK);
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Ends the process by SIGABRT, whatever the program did with that signal.
pub(crate) fn abort_process() -> ! {
    signal::unblock(SIGABRT);
    let _ = signal::raise_signal(SIGABRT);
    signal::set_default(SIGABRT);
    let _ = signal::raise_signal(SIGABRT);
    exit_now(SIGNAL_STATUS + SIGABRT as c_int)
}

c_api! {
    fn _exit(status: c_int) -> ! {
        exit_now(status)
    }
    fn _Exit(status: c_int) -> ! {
        exit_now(status)
    }
    fn abort() -> ! {
        abort_process()
    }
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int {
        error::int(syscall!(WAITPID, pid as isize, status, options))
    }
    fn wait(status: *mut c_int) -> c_int {
        waitpid(-1, status, 0)
    }
    /// What the child used is not measured: asking for it is refused.
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int {
        if !usage.is_null() {
            return error::int(Err(crate::e::ENOSYS));
        }
        waitpid(pid, status, options)
    }
    fn wait3(status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int {
        wait4(-1, status, options, usage)
    }
    fn nice(_change: c_int) -> c_int {
        error::int(Err(crate::e::ENOSYS))
    }
    fn __stack_chk_fail() -> ! {
        let _ = crate::fs::write_all(2, b"C library: stack overwritten\n");
        abort_process()
    }
    fn __assert_fail(_text: *const u8, _file: *const u8, _line: c_uint, _function: *const u8) -> ! {
        let _ = crate::fs::write_all(2, b"assertion failed: ");
        let _ = crate::fs::write_all(2, crate::string::bytes_or_empty(_text));
        let _ = crate::fs::write_all(2, b"\n");
        abort_process()
    }
}
