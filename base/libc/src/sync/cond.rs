//! `pthread_cond_*`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_cond_wait.html>.
//!
//! Eight bytes: a counter that every wake-up advances, and the count of waiters with the clock in its top bit. A waiter
//! announces itself and reads the counter while it still holds the mutex, so a signal sent after it let go of the mutex
//! either finds the counter changed or finds it asleep.

use super::mutex::PthreadMutex;
use super::{FOREVER, wait, wake};
use crate::types::*;
use crate::{Errno, e, error, time};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use valence_abi::flags::{CLOCK_MONOTONIC, CLOCK_REALTIME};

const MONOTONIC_BIT: u32 = 1 << 31;

#[repr(C)]
pub(crate) struct PthreadCond {
    sequence: AtomicU32,
    waiters: AtomicU32,
}

#[repr(C)]
pub(crate) struct CondAttr {
    clock: c_int,
    shared: c_int,
}

const _: () = assert!(size_of::<PthreadCond>() == 8 && size_of::<CondAttr>() == 8);

impl PthreadCond {
    fn clock(&self) -> c_int {
        let monotonic = self.waiters.load(SeqCst) & MONOTONIC_BIT != 0;
        (if monotonic {
            CLOCK_MONOTONIC
        } else {
            CLOCK_REALTIME
        }) as c_int
    }

    fn wait_until(&self, mutex: &PthreadMutex, deadline: u64) -> Result<(), Errno> {
        self.waiters.fetch_add(1, SeqCst);
        let seen = self.sequence.load(SeqCst);
        let depth = match mutex.release() {
            Ok(depth) => depth,
            Err(errno) => {
                self.waiters.fetch_sub(1, SeqCst);
                return Err(errno);
            }
        };
        let result = wait(&self.sequence, seen, deadline);
        self.waiters.fetch_sub(1, SeqCst);
        mutex.reacquire(depth);
        // Woken by chance (a changed counter, a signal handler) is allowed; only the time-out is told.
        if result == Err(e::ETIMEDOUT) {
            Err(e::ETIMEDOUT)
        } else {
            Ok(())
        }
    }

    fn notify(&self, count: usize) {
        if self.waiters.load(SeqCst) & !MONOTONIC_BIT != 0 {
            self.sequence.fetch_add(1, SeqCst);
            wake(&raw const self.sequence, count);
        }
    }
}

c_api! {
    fn pthread_cond_init(cond: *mut PthreadCond, attr: *const CondAttr) -> c_int {
        let monotonic = !attr.is_null() && (*attr).clock == CLOCK_MONOTONIC as c_int;
        let waiters = if monotonic { MONOTONIC_BIT } else { 0 };
        cond.write(PthreadCond { sequence: AtomicU32::new(0), waiters: AtomicU32::new(waiters) });
        0
    }
    fn pthread_cond_destroy(_cond: *mut PthreadCond) -> c_int {
        0
    }
    fn pthread_cond_wait(cond: *mut PthreadCond, mutex: *mut PthreadMutex) -> c_int {
        error::number((*cond).wait_until(&*mutex, FOREVER).map(|()| 0))
    }
    fn pthread_cond_timedwait(cond: *mut PthreadCond, mutex: *mut PthreadMutex, abstime: *const Timespec) -> c_int {
        pthread_cond_clockwait(cond, mutex, (*cond).clock(), abstime)
    }
    fn pthread_cond_clockwait(
        cond: *mut PthreadCond, mutex: *mut PthreadMutex, clock: c_int, abstime: *const Timespec,
    ) -> c_int {
        let result = time::deadline(clock, &*abstime).and_then(|deadline| (*cond).wait_until(&*mutex, deadline));
        error::number(result.map(|()| 0))
    }
    fn pthread_cond_signal(cond: *mut PthreadCond) -> c_int {
        (*cond).notify(1);
        0
    }
    fn pthread_cond_broadcast(cond: *mut PthreadCond) -> c_int {
        (*cond).notify(usize::MAX >> 1);
        0
    }
    fn pthread_condattr_init(attr: *mut CondAttr) -> c_int {
        attr.write(CondAttr { clock: CLOCK_REALTIME as c_int, shared: 0 });
        0
    }
    fn pthread_condattr_destroy(_attr: *mut CondAttr) -> c_int {
        0
    }
    fn pthread_condattr_setclock(attr: *mut CondAttr, clock: c_int) -> c_int {
        if clock != CLOCK_REALTIME as c_int && clock != CLOCK_MONOTONIC as c_int {
            return c_int::from(e::EINVAL.0);
        }
        (*attr).clock = clock;
        0
    }
    fn pthread_condattr_getclock(attr: *const CondAttr, clock: *mut c_int) -> c_int {
        *clock = (*attr).clock;
        0
    }
    fn pthread_condattr_setpshared(attr: *mut CondAttr, shared: c_int) -> c_int {
        if shared != 0 && shared != 1 {
            return c_int::from(e::EINVAL.0);
        }
        (*attr).shared = shared;
        0
    }
    fn pthread_condattr_getpshared(attr: *const CondAttr, shared: *mut c_int) -> c_int {
        *shared = (*attr).shared;
        0
    }
}
