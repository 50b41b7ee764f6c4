//! `pthread_mutex_*`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_mutex_lock.html>.
//!
//! Twelve bytes: lock word, owner's thread number, kind and depth. Kinds differ between the versions of the `libc` crate
//! in one program (redox-facts 11.4): 0 and 2 are the plain mutex, 1 is error-checking or recursive depending on the
//! version, so it is given recursive locking, which is right for one and harmless for the other; 3 is recursive.
//! A plain mutex does not record its owner: relocking it blocks forever, as POSIX says for NORMAL.

use super::{FOREVER, Lock};
use crate::types::*;
use crate::{Errno, e, error, thread, time};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

const KIND_MASK: u32 = 0xF;
const DEPTH_ONE: u32 = 0x10;
const KIND_MAX: c_int = 3;
/// `PTHREAD_PROCESS_SHARED`: fine as it is, because a futex is found by physical address.
const SHARED_MAX: c_int = 1;

#[repr(C)]
pub(crate) struct PthreadMutex {
    lock: Lock,
    owner: AtomicU32,
    kind: AtomicU32,
}

const _: () = assert!(size_of::<PthreadMutex>() == 12 && align_of::<PthreadMutex>() == 4);

impl PthreadMutex {
    fn is_plain(&self) -> bool {
        matches!(self.kind.load(Relaxed) & KIND_MASK, 0 | 2)
    }

    /// For a kind that knows its owner: true if that is the caller, who then holds it once more.
    fn relock(&self) -> bool {
        let mine = self.owner.load(Relaxed) == thread::current().tid();
        if mine {
            self.kind.fetch_add(DEPTH_ONE, Relaxed);
        }
        mine
    }

    fn own(&self) {
        self.owner.store(thread::current().tid(), Relaxed);
    }

    pub(crate) fn lock_until(&self, deadline: u64) -> Result<(), Errno> {
        if self.is_plain() {
            return self.lock.lock_until(deadline);
        }
        if self.relock() {
            return Ok(());
        }
        self.lock.lock_until(deadline)?;
        self.own();
        Ok(())
    }

    fn try_lock(&self) -> bool {
        if self.is_plain() {
            return self.lock.try_lock();
        }
        if self.relock() {
            return true;
        }
        let taken = self.lock.try_lock();
        if taken {
            self.own();
        }
        taken
    }

    pub(crate) fn unlock(&self) -> Result<(), Errno> {
        if !self.is_plain() {
            if self.owner.load(Relaxed) != thread::current().tid() {
                return Err(e::EPERM);
            }
            if self.kind.load(Relaxed) >= DEPTH_ONE {
                self.kind.fetch_sub(DEPTH_ONE, Relaxed);
                return Ok(());
            }
            self.owner.store(0, Relaxed);
        }
        self.lock.unlock();
        Ok(())
    }

    /// For a condition variable: lets go entirely and returns how deep the mutex was held.
    pub(crate) fn release(&self) -> Result<u32, Errno> {
        let depth = self.kind.load(Relaxed) & !KIND_MASK;
        self.kind.fetch_sub(depth, Relaxed);
        self.unlock()?;
        Ok(depth)
    }

    /// Undoes [`PthreadMutex::release`].
    pub(crate) fn reacquire(&self, depth: u32) {
        self.lock.lock_contended();
        if !self.is_plain() {
            self.own();
            self.kind.fetch_add(depth, Relaxed);
        }
    }
}

#[repr(C)]
pub(crate) struct MutexAttr {
    kind: c_int,
    shared: c_int,
    protocol: c_int,
    ceiling: c_int,
    robust: c_int,
}

const _: () = assert!(size_of::<MutexAttr>() == 20);

c_api! {
    fn pthread_mutex_init(mutex: *mut PthreadMutex, attr: *const MutexAttr) -> c_int {
        let kind = if attr.is_null() { 0 } else { (*attr).kind };
        mutex.write(PthreadMutex { lock: Lock::new(), owner: AtomicU32::new(0), kind: AtomicU32::new(kind as u32) });
        0
    }
    fn pthread_mutex_destroy(mutex: *mut PthreadMutex) -> c_int {
        if (*mutex).lock.is_held() { c_int::from(e::EBUSY.0) } else { 0 }
    }
    fn pthread_mutex_lock(mutex: *mut PthreadMutex) -> c_int {
        error::number((*mutex).lock_until(FOREVER).map(|()| 0))
    }
    fn pthread_mutex_trylock(mutex: *mut PthreadMutex) -> c_int {
        if (*mutex).try_lock() { 0 } else { c_int::from(e::EBUSY.0) }
    }
    fn pthread_mutex_timedlock(mutex: *mut PthreadMutex, abstime: *const Timespec) -> c_int {
        pthread_mutex_clocklock(mutex, valence_abi::flags::CLOCK_REALTIME as c_int, abstime)
    }
    fn pthread_mutex_clocklock(mutex: *mut PthreadMutex, clock: c_int, abstime: *const Timespec) -> c_int {
        error::number(time::deadline(clock, &*abstime).and_then(|deadline| (*mutex).lock_until(deadline)).map(|()| 0))
    }
    fn pthread_mutex_unlock(mutex: *mut PthreadMutex) -> c_int {
        error::number((*mutex).unlock().map(|()| 0))
    }
    fn pthread_mutex_consistent(_mutex: *mut PthreadMutex) -> c_int {
        c_int::from(e::EINVAL.0)
    }

    fn pthread_mutexattr_init(attr: *mut MutexAttr) -> c_int {
        attr.write(MutexAttr { kind: 0, shared: 0, protocol: 0, ceiling: 0, robust: 0 });
        0
    }
    fn pthread_mutexattr_destroy(_attr: *mut MutexAttr) -> c_int {
        0
    }
    fn pthread_mutexattr_settype(attr: *mut MutexAttr, kind: c_int) -> c_int {
        if !(0..=KIND_MAX).contains(&kind) {
            return c_int::from(e::EINVAL.0);
        }
        (*attr).kind = kind;
        0
    }
    fn pthread_mutexattr_gettype(attr: *const MutexAttr, kind: *mut c_int) -> c_int {
        *kind = (*attr).kind;
        0
    }
    fn pthread_mutexattr_setpshared(attr: *mut MutexAttr, shared: c_int) -> c_int {
        if !(0..=SHARED_MAX).contains(&shared) {
            return c_int::from(e::EINVAL.0);
        }
        (*attr).shared = shared;
        0
    }
    fn pthread_mutexattr_getpshared(attr: *const MutexAttr, shared: *mut c_int) -> c_int {
        *shared = (*attr).shared;
        0
    }
    /// Only no protocol (0): there is no priority inheritance.
    fn pthread_mutexattr_setprotocol(_attr: *mut MutexAttr, protocol: c_int) -> c_int {
        if protocol == 0 { 0 } else { c_int::from(e::EOPNOTSUPP.0) }
    }
    /// Only stalled mutexes (`PTHREAD_MUTEX_STALLED` is 1 here): an owner's death is not noticed.
    fn pthread_mutexattr_setrobust(_attr: *mut MutexAttr, robust: c_int) -> c_int {
        if robust == 1 { 0 } else { c_int::from(e::EOPNOTSUPP.0) }
    }
}
