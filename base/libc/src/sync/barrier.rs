//! `pthread_barrier_*` and `pthread_spin_*`:
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_barrier_wait.html>.
//!
//! A spin lock here is the same sleeping lock as everywhere: with fewer processors than threads, spinning only delays
//! the holder.

use super::{FOREVER, Lock, wait, wake};
use crate::e;
use crate::types::*;
use core::sync::atomic::{AtomicU32, Ordering::*};

/// What one of the threads gets from `pthread_barrier_wait`.
const SERIAL_THREAD: c_int = -1;

#[repr(C)]
pub(crate) struct Barrier {
    lock: Lock,
    needed: AtomicU32,
    arrived: AtomicU32,
    round: AtomicU32,
    unused: [u32; 2],
}

const _: () = assert!(size_of::<Barrier>() == 24);

impl Barrier {
    fn wait(&self) -> c_int {
        self.lock.lock();
        let round = self.round.load(Relaxed);
        if self.arrived.fetch_add(1, Relaxed) + 1 == self.needed.load(Relaxed) {
            self.arrived.store(0, Relaxed);
            self.round.store(round.wrapping_add(1), Release);
            self.lock.unlock();
            wake(&raw const self.round, usize::MAX >> 1);
            return SERIAL_THREAD;
        }
        self.lock.unlock();
        while self.round.load(Acquire) == round {
            let _ = wait(&self.round, round, FOREVER);
        }
        0
    }
}

c_api! {
    fn pthread_barrier_init(barrier: *mut Barrier, _attr: *const c_void, count: c_uint) -> c_int {
        if count == 0 {
            return c_int::from(e::EINVAL.0);
        }
        let (arrived, round) = (AtomicU32::new(0), AtomicU32::new(0));
        barrier.write(Barrier { lock: Lock::new(), needed: AtomicU32::new(count), arrived, round, unused: [0; 2] });
        0
    }
    fn pthread_barrier_destroy(_barrier: *mut Barrier) -> c_int {
        0
    }
    fn pthread_barrier_wait(barrier: *mut Barrier) -> c_int {
        (*barrier).wait()
    }
    fn pthread_barrierattr_init(attr: *mut c_int) -> c_int {
        *attr = 0;
        0
    }
    fn pthread_barrierattr_destroy(_attr: *mut c_int) -> c_int {
        0
    }

    fn pthread_spin_init(lock: *mut Lock, _shared: c_int) -> c_int {
        lock.write(Lock::new());
        0
    }
    fn pthread_spin_destroy(_lock: *mut Lock) -> c_int {
        0
    }
    fn pthread_spin_lock(lock: *mut Lock) -> c_int {
        (*lock).lock();
        0
    }
    fn pthread_spin_trylock(lock: *mut Lock) -> c_int {
        if (*lock).try_lock() { 0 } else { c_int::from(e::EBUSY.0) }
    }
    fn pthread_spin_unlock(lock: *mut Lock) -> c_int {
        (*lock).unlock();
        0
    }
}
