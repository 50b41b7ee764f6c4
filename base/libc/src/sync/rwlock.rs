//! `pthread_rwlock_*`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/pthread_rwlock_rdlock.html>.
//!
//! One word: the count of readers, or `WRITER`; the top bit says that somebody sleeps. The last one out clears the word
//! and wakes all sleepers, who then compete.

use super::{FOREVER, wait, wake};
use crate::types::*;
use crate::{Errno, e, error, time};
use core::sync::atomic::{AtomicU32, Ordering::*};
use valence_abi::flags::CLOCK_REALTIME;

const SLEEPERS: u32 = 1 << 31;
const WRITER: u32 = SLEEPERS - 1;
const READERS_MAX: u32 = WRITER - 1;

#[repr(transparent)]
pub(crate) struct Rwlock(AtomicU32);

impl Rwlock {
    fn try_change(&self, change: impl Fn(u32) -> Option<u32>) -> Result<(), u32> {
        self.0.fetch_update(Acquire, Relaxed, change).map(drop)
    }

    fn add_reader(state: u32) -> Option<u32> {
        (state & !SLEEPERS < READERS_MAX).then_some(state + 1)
    }

    fn add_writer(state: u32) -> Option<u32> {
        (state & !SLEEPERS == 0).then_some(state | WRITER)
    }

    fn lock_until(&self, change: impl Fn(u32) -> Option<u32>, deadline: u64) -> Result<(), Errno> {
        while let Err(state) = self.try_change(&change) {
            let marked = state | SLEEPERS;
            if state != marked
                && self
                    .0
                    .compare_exchange(state, marked, Relaxed, Relaxed)
                    .is_err()
            {
                continue;
            }
            if wait(&self.0, marked, deadline) == Err(e::ETIMEDOUT) {
                return Err(e::ETIMEDOUT);
            }
        }
        Ok(())
    }

    fn unlock(&self) {
        let before = self
            .0
            .fetch_update(Release, Relaxed, |state| match state & !SLEEPERS {
                WRITER | 1 => Some(0),
                0 => None,
                _ => Some(state - 1),
            });
        if let Ok(before) = before
            && before & SLEEPERS != 0
            && matches!(before & !SLEEPERS, WRITER | 1)
        {
            wake(&raw const self.0, usize::MAX >> 1);
        }
    }
}

fn outcome(result: Result<(), u32>) -> c_int {
    if result.is_ok() {
        0
    } else {
        c_int::from(e::EBUSY.0)
    }
}

c_api! {
    fn pthread_rwlock_init(lock: *mut Rwlock, _attr: *const c_void) -> c_int {
        lock.write(Rwlock(AtomicU32::new(0)));
        0
    }
    fn pthread_rwlock_destroy(_lock: *mut Rwlock) -> c_int {
        0
    }
    fn pthread_rwlock_rdlock(lock: *mut Rwlock) -> c_int {
        error::number((*lock).lock_until(Rwlock::add_reader, FOREVER).map(|()| 0))
    }
    fn pthread_rwlock_tryrdlock(lock: *mut Rwlock) -> c_int {
        outcome((*lock).try_change(Rwlock::add_reader))
    }
    fn pthread_rwlock_timedrdlock(lock: *mut Rwlock, abstime: *const Timespec) -> c_int {
        let deadline = time::deadline(CLOCK_REALTIME as c_int, &*abstime);
        error::number(deadline.and_then(|deadline| (*lock).lock_until(Rwlock::add_reader, deadline)).map(|()| 0))
    }
    fn pthread_rwlock_wrlock(lock: *mut Rwlock) -> c_int {
        error::number((*lock).lock_until(Rwlock::add_writer, FOREVER).map(|()| 0))
    }
    fn pthread_rwlock_trywrlock(lock: *mut Rwlock) -> c_int {
        outcome((*lock).try_change(Rwlock::add_writer))
    }
    fn pthread_rwlock_timedwrlock(lock: *mut Rwlock, abstime: *const Timespec) -> c_int {
        let deadline = time::deadline(CLOCK_REALTIME as c_int, &*abstime);
        error::number(deadline.and_then(|deadline| (*lock).lock_until(Rwlock::add_writer, deadline)).map(|()| 0))
    }
    fn pthread_rwlock_unlock(lock: *mut Rwlock) -> c_int {
        (*lock).unlock();
        0
    }
    fn pthread_rwlockattr_init(attr: *mut u8) -> c_int {
        *attr = 0;
        0
    }
    fn pthread_rwlockattr_destroy(_attr: *mut u8) -> c_int {
        0
    }
    fn pthread_rwlockattr_setpshared(attr: *mut u8, shared: c_int) -> c_int {
        if shared != 0 && shared != 1 {
            return c_int::from(e::EINVAL.0);
        }
        *attr = shared as u8;
        0
    }
    fn pthread_rwlockattr_getpshared(attr: *const u8, shared: *mut c_int) -> c_int {
        *shared = c_int::from(*attr);
        0
    }
}
