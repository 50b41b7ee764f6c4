//! Threads: the control block, static thread-local storage, and the `pthread_*` calls that make and end threads.
//!
//! Thread-local storage is variant II of the ELF TLS ABI with one module, the program itself (programs are static): the
//! block lies directly below the control block, and `%fs:0` holds the control block's own address. A thread's stack,
//! block and control block share one mapping with a guard page at its low end.

mod attr;
mod create;
mod key;
mod tls;

use crate::signal;
use crate::types::*;
use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(crate) use key::run_tls_destructors;
pub(crate) use tls::install_main;

/// Slots for `pthread_key_create`.
const KEYS_MAX: usize = 128;

/// The control block; `%fs` points at it. The first 56 bytes are what compilers know about (self pointer at 0, stack
/// protector's canary at 0x28).
#[repr(C, align(64))]
pub(crate) struct Tcb {
    this: *const Tcb,
    dtv: usize,
    unused: [usize; 3],
    canary: usize,
    guard: usize,
    errno: Cell<c_int>,
    /// The kernel's thread number; it writes 0 here when a joinable thread has ended.
    tid: AtomicU32,
    /// One of `create::state`.
    state: AtomicU32,
    /// The mapping that holds stack and block; empty for the main thread.
    mapping: Cell<(usize, usize)>,
    /// Lowest usable stack address and the length.
    stack: Cell<(usize, usize)>,
    start: Cell<Option<extern "C" fn(*mut c_void) -> *mut c_void>>,
    /// The argument at first, the result at the end.
    value: Cell<*mut c_void>,
    destructors: Cell<*mut key::Destructor>,
    keys: [Cell<key::Slot>; KEYS_MAX],
}

const _: () = assert!(core::mem::offset_of!(Tcb, canary) == 0x28);

impl Tcb {
    pub(crate) fn tid(&self) -> u32 {
        self.tid.load(Relaxed)
    }
}

/// The calling thread.
pub(crate) fn current() -> &'static Tcb {
    let tcb: *const Tcb;
    // SAFETY: start-up and thread creation put the block's own address at %fs:0 before any other code runs.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) tcb, options(nostack, readonly, preserves_flags));
        &*tcb
    }
}

/// The calling thread's `errno`.
pub(crate) fn current_errno() -> *mut c_int {
    current().errno.as_ptr()
}

/// In the child of fork: the kernel gave the thread a new number.
pub(crate) fn renew_tid() {
    // SAFETY: the call has no pointers.
    if let Ok(tid) = unsafe { syscall!(GETTID) } {
        current().tid.store(tid as u32, Relaxed);
    }
}

c_api! {
    fn pthread_self() -> *const Tcb {
        current()
    }
    fn pthread_equal(a: *const Tcb, b: *const Tcb) -> c_int {
        c_int::from(a == b)
    }
    fn pthread_kill(thread: *const Tcb, signal: c_int) -> c_int {
        crate::error::number(syscall!(TKILL, (*thread).tid(), signal))
    }
    fn pthread_sigmask(how: c_int, new: *const u64, old: *mut u64) -> c_int {
        crate::error::number(signal::change_mask(how, new, old))
    }
    /// Threads cannot be cancelled (CAVEATS.md).
    fn pthread_cancel(_thread: *const Tcb) -> c_int {
        c_int::from(crate::e::ENOSYS.0)
    }
    /// True in effect: no thread is ever cancelled.
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int {
        const DISABLE: c_int = 1;
        if !old.is_null() {
            *old = DISABLE;
        }
        if state == DISABLE { 0 } else { c_int::from(crate::e::ENOSYS.0) }
    }
    fn pthread_testcancel() {}
    fn sched_yield() -> c_int {
        crate::error::int(syscall!(YIELD))
    }
    fn gettid() -> c_int {
        current().tid() as c_int
    }
}
