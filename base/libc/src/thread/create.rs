//! Making, joining, detaching and ending threads:
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_create.html>.
//!
//! Who frees a thread's mapping: the thread itself when it is detached (the kernel unmaps after the thread's last
//! instruction), else whoever joins it. `state` decides a race between the thread's end and `pthread_detach`.

use super::attr::Attr;
use super::{Tcb, current, key, renew_tid, tls};
use crate::sync;
use crate::types::*;
use crate::{Errno, e, error};
use core::ptr;
use core::sync::atomic::Ordering::*;
use valence_abi::PAGE_SIZE;
use valence_abi::flags::{MAP_PRIVATE, PROT_READ, PROT_WRITE};

/// Values of `Tcb::state`.
pub(super) mod state {
    pub(crate) const JOINABLE: u32 = 0;
    pub(crate) const DETACHED: u32 = 1;
    pub(crate) const ENDING: u32 = 2;
}

/// A function call leaves the stack pointer 8 below a multiple of 16.
const CALL_SKEW: usize = 8;

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

extern "C" fn thread_main(_argument: usize) -> ! {
    renew_tid();
    let this = current();
    let value = match this.start.get() {
        Some(start) => start(this.value.get()),
        None => ptr::null_mut(),
    };
    exit_current(value)
}

/// Runs the thread's destructors and ends it.
pub(crate) fn exit_current(value: *mut c_void) -> ! {
    let this = current();
    key::run_tls_destructors();
    key::run_key_destructors();
    this.value.set(value);
    let (base, len) = this.mapping.get();
    let joinable = this
        .state
        .compare_exchange(state::JOINABLE, state::ENDING, AcqRel, Acquire)
        .is_ok();
    // SAFETY: a joinable thread's memory is kept until the join; a detached one's is used by nobody else any more.
    unsafe {
        let _ = if joinable {
            syscall!(THREAD_EXIT, this.tid.as_ptr(), 0, 0)
        } else {
            syscall!(THREAD_EXIT, 0, base, len)
        };
    }
    unreachable!("THREAD_EXIT returned")
}

fn create(attr: &Attr, start: Start, argument: *mut c_void) -> Result<*mut Tcb, Errno> {
    let stack_len = attr.stack_len().next_multiple_of(PAGE_SIZE);
    let guard = attr.guard_len().next_multiple_of(PAGE_SIZE);
    let len = (guard + stack_len + tls::footprint()).next_multiple_of(PAGE_SIZE);
    // SAFETY: a fresh mapping that only the new thread uses; it is unmapped again when the thread cannot be made.
    unsafe {
        let base = syscall!(
            MMAP,
            0,
            len,
            PROT_READ | PROT_WRITE | MAP_PRIVATE,
            usize::MAX,
            0
        )
        .map_err(|_| e::EAGAIN)?;
        if guard > 0 {
            syscall!(MPROTECT, base, guard, 0)?;
        }
        let (tcb, block) = tls::place(base + len);
        let (stack, top) = match attr.own_stack() {
            Some((stack, len)) => ((stack, len), stack + len),
            None => ((base + guard, block - base - guard), block),
        };
        (*tcb).mapping.set((base, len));
        (*tcb).stack.set(stack);
        (*tcb).start.set(Some(start));
        (*tcb).value.set(argument);
        (*tcb).state.store(
            if attr.is_detached() {
                state::DETACHED
            } else {
                state::JOINABLE
            },
            Relaxed,
        );
        // A number that cannot be 0 until the kernel clears it: join may look before the thread has stored its own.
        (*tcb).tid.store(u32::MAX, Relaxed);
        let entry: extern "C" fn(usize) -> ! = thread_main;
        match syscall!(
            THREAD_CREATE,
            entry as usize,
            (top & !15) - CALL_SKEW,
            tcb,
            0
        ) {
            Ok(tid) => {
                // A detached thread may have ended by now and its memory be gone.
                if !attr.is_detached() {
                    let _ = (*tcb)
                        .tid
                        .compare_exchange(u32::MAX, tid as u32, Relaxed, Relaxed);
                }
                Ok(tcb)
            }
            Err(errno) => {
                let _ = syscall!(MUNMAP, base, len);
                Err(errno)
            }
        }
    }
}

fn join(thread: &Tcb) -> Result<*mut c_void, Errno> {
    if ptr::eq(thread, current()) {
        return Err(e::EDEADLK);
    }
    if thread.state.load(Acquire) == state::DETACHED {
        return Err(e::EINVAL);
    }
    loop {
        match thread.tid.load(Acquire) {
            0 => break,
            tid => drop(sync::wait(&thread.tid, tid, sync::FOREVER)),
        }
    }
    let value = thread.value.get();
    let (base, len) = thread.mapping.get();
    if len > 0 {
        // SAFETY: the thread has ended, and POSIX forbids using it after a join.
        let _ = unsafe { syscall!(MUNMAP, base, len) };
    }
    Ok(value)
}

c_api! {
    fn pthread_create(out: *mut *mut Tcb, attr: *const Attr, start: Start, argument: *mut c_void) -> c_int {
        let default = Attr::new();
        let attr = if attr.is_null() { &default } else { &*attr };
        match create(attr, start, argument) {
            Ok(tcb) => {
                // A detached thread may be gone, block and all, but its handle is only a number to the caller.
                *out = tcb;
                0
            }
            Err(errno) => c_int::from(errno.0),
        }
    }
    fn pthread_join(thread: *const Tcb, value: *mut *mut c_void) -> c_int {
        match join(&*thread) {
            Ok(result) => {
                if !value.is_null() {
                    *value = result;
                }
                0
            }
            Err(errno) => c_int::from(errno.0),
        }
    }
    fn pthread_detach(thread: *const Tcb) -> c_int {
        let thread = &*thread;
        match thread.state.compare_exchange(state::JOINABLE, state::DETACHED, AcqRel, Acquire) {
            Ok(_) => 0,
            Err(state::ENDING) => error::number(join(thread).map(|_| 0)),
            Err(_) => c_int::from(e::EINVAL.0),
        }
    }
    fn pthread_exit(value: *mut c_void) {
        exit_current(value)
    }
}
