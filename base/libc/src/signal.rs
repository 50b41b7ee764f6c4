//! Signals: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/sigaction.html>.
//!
//! The kernel keeps actions and masks and builds the handler's frame; the library adds the return trampoline and C's
//! calling forms. Sets are one word: bit `n - 1` is signal `n`.

use crate::types::*;
use crate::{Errno, e, error, thread, time};
use core::arch::naked_asm;
use valence_abi::signal::*;

const SIG_ERR: usize = usize::MAX;
const SS_ONSTACK: c_int = 1;
const SS_DISABLE: c_int = 2;
/// `flags` bits that the kernel knows; older constants may set others (SA_RESTORER).
const KNOWN_FLAGS: u32 = sa::NOCLDSTOP
    | sa::NOCLDWAIT
    | sa::SIGINFO
    | sa::ONSTACK
    | sa::RESTART
    | sa::NODEFER
    | sa::RESETHAND;

/// Where a handler returns to.
///
/// # Safety
/// Only reached by a handler's return, with the kernel's frame on the stack.
#[unsafe(naked)]
unsafe extern "C" fn restorer() -> ! {
    naked_asm!("mov eax, {number}", "syscall", "ud2", number = const valence_abi::syscall::SIGRETURN)
}

fn bit(signal: c_int) -> Result<u64, Errno> {
    if (1..=SIGNAL_MAX as c_int).contains(&signal) {
        Ok(1 << (signal - 1))
    } else {
        Err(e::EINVAL)
    }
}

fn act(
    signal: usize,
    new: Option<&SigAction>,
    old: Option<&mut SigAction>,
) -> Result<usize, Errno> {
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    let old = old.map_or(core::ptr::null_mut(), core::ptr::from_mut);
    // SAFETY: both are null or the kernel's struct; the restorer is this library's.
    unsafe { syscall!(SIGACTION, signal, new, old) }
}

fn action(handler: usize, flags: u32, mask: u64) -> SigAction {
    let restorer = restorer as *const () as usize;
    SigAction {
        handler,
        flags: flags & KNOWN_FLAGS,
        reserved: 0,
        restorer,
        mask,
    }
}

/// # Safety
/// `new` and `old` must be null or valid.
pub(crate) unsafe fn change_action(
    signal: usize,
    new: *const CSigaction,
    old: *mut CSigaction,
) -> Result<usize, Errno> {
    // SAFETY: the caller's structs.
    unsafe {
        let wanted = new
            .as_ref()
            .map(|new| action(new.handler, new.flags, new.mask));
        let mut before = SigAction::default();
        act(signal, wanted.as_ref(), Some(&mut before))?;
        if !old.is_null() {
            let SigAction {
                handler,
                flags,
                restorer,
                mask,
                ..
            } = before;
            old.write(CSigaction {
                handler,
                flags,
                flags_high: 0,
                restorer,
                mask,
            });
        }
    }
    Ok(0)
}

/// Back to the default action.
pub(crate) fn set_default(signal: usize) {
    let _ = act(signal, Some(&action(SIG_DFL, 0, 0)), None);
}

pub(crate) fn unblock(signal: usize) {
    let set = 1u64 << (signal - 1);
    // SAFETY: one word.
    let _ = unsafe { syscall!(SIGPROCMASK, how::UNBLOCK, &raw const set, 0) };
}

/// # Safety
/// `new` and `old` must be null or valid.
pub(crate) unsafe fn change_mask(
    how: c_int,
    new: *const u64,
    old: *mut u64,
) -> Result<usize, Errno> {
    // SAFETY: the caller's words.
    unsafe { syscall!(SIGPROCMASK, how, new, old) }
}

pub(crate) fn raise_signal(signal: usize) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    unsafe { syscall!(TKILL, thread::current().tid(), signal) }
}

/// # Safety
/// `set` must be valid.
unsafe fn set_bit(set: *mut u64, signal: c_int, on: bool) -> c_int {
    error::int(bit(signal).map(|bit| {
        // SAFETY: the caller's word.
        unsafe { *set = if on { *set | bit } else { *set & !bit } };
        0
    }))
}

/// C's `siginfo_t` is 48 bytes in one version of the `libc` crate and 128 in another: only 48 are written.
///
/// # Safety
/// `set` must be valid, `info` null or valid.
unsafe fn wait_for(set: *const u64, info: *mut SigInfo, deadline: u64) -> Result<usize, Errno> {
    // SAFETY: the caller's pointers.
    unsafe { syscall!(SIGWAIT, set, info, deadline) }
}

c_api! {
    fn sigaction(signal: c_int, new: *const CSigaction, old: *mut CSigaction) -> c_int {
        error::int(change_action(signal as usize, new, old))
    }
    /// As BSD's: the handler stays, calls are restarted.
    fn signal(signal: c_int, handler: usize) -> usize {
        let mut before = SigAction::default();
        match act(signal as usize, Some(&action(handler, sa::RESTART, 0)), Some(&mut before)) {
            Ok(_) => before.handler,
            Err(errno) => {
                error::set(errno);
                SIG_ERR
            }
        }
    }
    fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int {
        let mut now = SigAction::default();
        error::int(act(signal as usize, None, Some(&mut now)).and_then(|_| {
            let flags = if interrupts != 0 { now.flags & !sa::RESTART } else { now.flags | sa::RESTART };
            act(signal as usize, Some(&SigAction { flags, ..now }), None)
        }))
    }
    fn sigprocmask(how: c_int, new: *const u64, old: *mut u64) -> c_int {
        error::int(change_mask(how, new, old))
    }
    fn sigpending(out: *mut u64) -> c_int {
        error::int(syscall!(SIGPENDING, out))
    }
    fn sigsuspend(mask: *const u64) -> c_int {
        error::int(syscall!(SIGSUSPEND, mask))
    }
    fn pause() -> c_int {
        let mut mask = 0u64;
        let read = change_mask(how::BLOCK as c_int, core::ptr::null(), &raw mut mask);
        error::int(read.and_then(|_| syscall!(SIGSUSPEND, &raw const mask)))
    }
    fn sigwait(set: *const u64, out: *mut c_int) -> c_int {
        loop {
            match wait_for(set, core::ptr::null_mut(), crate::sync::FOREVER) {
                Ok(signal) => {
                    *out = signal as c_int;
                    return 0;
                }
                Err(e::EINTR) => {}
                Err(errno) => return c_int::from(errno.0),
            }
        }
    }
    fn sigwaitinfo(set: *const u64, info: *mut SigInfo) -> c_int {
        error::int(wait_for(set, info, crate::sync::FOREVER))
    }
    fn sigtimedwait(set: *const u64, info: *mut SigInfo, timeout: *const Timespec) -> c_int {
        error::int(time::relative_deadline(timeout).and_then(|deadline| wait_for(set, info, deadline)))
    }
    fn sigaltstack(new: *const StackT, old: *mut StackT) -> c_int {
        let wanted = new.as_ref().map(|new| {
            if new.flags & SS_DISABLE != 0 { SigStack::default() } else { SigStack { base: new.sp, size: new.size } }
        });
        let mut before = SigStack::default();
        let wanted = wanted.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
        error::int(syscall!(SIGALTSTACK, wanted, &raw mut before).map(|_| {
            if !old.is_null() {
                let here = (&raw const before) as usize;
                let running_there = here.wrapping_sub(before.base) < before.size;
                let flags = match (before.size, running_there) {
                    (0, _) => SS_DISABLE,
                    (_, true) => SS_ONSTACK,
                    _ => 0,
                };
                old.write(StackT { sp: before.base, flags, size: before.size });
            }
            0
        }))
    }
    fn raise(signal: c_int) -> c_int {
        error::int(raise_signal(signal as usize))
    }
    fn kill(pid: c_int, signal: c_int) -> c_int {
        error::int(syscall!(KILL, pid as isize, signal))
    }
    fn killpg(group: c_int, signal: c_int) -> c_int {
        if group < 0 {
            return error::int(Err(e::EINVAL));
        }
        error::int(syscall!(KILL, -(group as isize), signal))
    }
    fn sigqueue(_pid: c_int, _signal: c_int, _value: usize) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn sigemptyset(set: *mut u64) -> c_int {
        *set = 0;
        0
    }
    fn sigfillset(set: *mut u64) -> c_int {
        *set = u64::MAX;
        0
    }
    fn sigaddset(set: *mut u64, signal: c_int) -> c_int {
        set_bit(set, signal, true)
    }
    fn sigdelset(set: *mut u64, signal: c_int) -> c_int {
        set_bit(set, signal, false)
    }
    fn sigismember(set: *const u64, signal: c_int) -> c_int {
        error::int(bit(signal).map(|bit| usize::from(*set & bit != 0)))
    }
    fn strsignal(signal: c_int) -> *const c_char {
        const NAMES: [&core::ffi::CStr; 32] = [
            c"Unknown signal", c"Hangup", c"Interrupt", c"Quit", c"Illegal instruction", c"Trace/breakpoint trap",
            c"Aborted", c"Bus error", c"Floating point exception", c"Killed", c"User defined signal 1",
            c"Segmentation fault", c"User defined signal 2", c"Broken pipe", c"Alarm clock", c"Terminated",
            c"Stack fault", c"Child exited", c"Continued", c"Stopped (signal)", c"Stopped", c"Stopped (tty input)",
            c"Stopped (tty output)", c"Urgent I/O condition", c"CPU time limit exceeded", c"File size limit exceeded",
            c"Virtual timer expired", c"Profiling timer expired", c"Window changed", c"I/O possible",
            c"Power failure", c"Bad system call",
        ];
        usize::try_from(signal).ok().and_then(|signal| NAMES.get(signal)).unwrap_or(&NAMES[0]).as_ptr()
    }
}
