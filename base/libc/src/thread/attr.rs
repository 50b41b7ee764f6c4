//! `pthread_attr_*`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_attr_init.html>. 32 bytes.

use super::{Tcb, create};
use crate::e;
use crate::types::*;
use core::sync::atomic::Ordering::Relaxed;
use valence_abi::PAGE_SIZE;

const STACK_DEFAULT: usize = 2 << 20;
const STACK_MIN: usize = 4096;
const STACK_MAX: usize = 1 << 40;
const CREATE_DETACHED: c_int = 1;

#[repr(C)]
pub(super) struct Attr {
    stack: usize,
    stack_len: usize,
    guard_len: usize,
    detached: c_int,
    unused: c_int,
}

const _: () = assert!(size_of::<Attr>() == 32 && align_of::<Attr>() == 8);

impl Attr {
    pub(super) const fn new() -> Attr {
        Attr {
            stack: 0,
            stack_len: STACK_DEFAULT,
            guard_len: PAGE_SIZE,
            detached: 0,
            unused: 0,
        }
    }
    /// Bytes of stack to map: none when the program brings its own.
    pub(super) fn stack_len(&self) -> usize {
        if self.stack == 0 { self.stack_len } else { 0 }
    }
    pub(super) fn guard_len(&self) -> usize {
        if self.stack == 0 { self.guard_len } else { 0 }
    }
    pub(super) fn own_stack(&self) -> Option<(usize, usize)> {
        (self.stack != 0).then_some((self.stack, self.stack_len))
    }
    pub(super) fn is_detached(&self) -> bool {
        self.detached == CREATE_DETACHED
    }
}

fn invalid() -> c_int {
    c_int::from(e::EINVAL.0)
}

c_api! {
    fn pthread_attr_init(attr: *mut Attr) -> c_int {
        attr.write(Attr::new());
        0
    }
    fn pthread_attr_destroy(_attr: *mut Attr) -> c_int {
        0
    }
    fn pthread_attr_setstacksize(attr: *mut Attr, len: usize) -> c_int {
        if !(STACK_MIN..=STACK_MAX).contains(&len) {
            return invalid();
        }
        (*attr).stack_len = len;
        0
    }
    fn pthread_attr_getstacksize(attr: *const Attr, len: *mut usize) -> c_int {
        *len = (*attr).stack_len;
        0
    }
    fn pthread_attr_setstack(attr: *mut Attr, stack: *mut c_void, len: usize) -> c_int {
        if !(STACK_MIN..=STACK_MAX).contains(&len) || stack.is_null() {
            return invalid();
        }
        (*attr).stack = stack as usize;
        (*attr).stack_len = len;
        0
    }
    fn pthread_attr_getstack(attr: *const Attr, stack: *mut usize, len: *mut usize) -> c_int {
        *stack = (*attr).stack;
        *len = (*attr).stack_len;
        0
    }
    fn pthread_attr_setguardsize(attr: *mut Attr, len: usize) -> c_int {
        if len > STACK_MAX {
            return invalid();
        }
        (*attr).guard_len = len;
        0
    }
    fn pthread_attr_getguardsize(attr: *const Attr, len: *mut usize) -> c_int {
        *len = (*attr).guard_len;
        0
    }
    fn pthread_attr_setdetachstate(attr: *mut Attr, detached: c_int) -> c_int {
        if detached != 0 && detached != CREATE_DETACHED {
            return invalid();
        }
        (*attr).detached = detached;
        0
    }
    fn pthread_attr_getdetachstate(attr: *const Attr, detached: *mut c_int) -> c_int {
        *detached = (*attr).detached;
        0
    }
    /// Main thread: the part of the stack that start-up saw; the kernel's stack may reach lower.
    fn pthread_getattr_np(thread: *const Tcb, attr: *mut Attr) -> c_int {
        let (stack, stack_len) = (*thread).stack.get();
        if stack == 0 {
            return c_int::from(e::ENOSYS.0);
        }
        let detached = c_int::from((*thread).state.load(Relaxed) == create::state::DETACHED);
        attr.write(Attr { stack, stack_len, guard_len: PAGE_SIZE, detached, unused: 0 });
        0
    }
}
