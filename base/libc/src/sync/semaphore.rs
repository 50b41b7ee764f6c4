//! `sem_*` (unnamed): <https://pubs.opengroup.org/onlinepubs/9799919799/functions/sem_wait.html>. The count is the futex
//! word; the second word counts sleepers, so that posting to a semaphore nobody waits for makes no system call.

use super::{FOREVER, wait, wake};
use crate::types::*;
use crate::{Errno, e, error, time};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use valence_abi::flags::CLOCK_REALTIME;

const VALUE_MAX: u32 = i32::MAX as u32;

#[repr(C)]
pub(crate) struct Semaphore {
    count: AtomicU32,
    sleepers: AtomicU32,
}

const _: () = assert!(size_of::<Semaphore>() == 8);

impl Semaphore {
    fn try_take(&self) -> bool {
        self.count
            .fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1))
            .is_ok()
    }

    fn take_until(&self, deadline: u64) -> Result<(), Errno> {
        while !self.try_take() {
            self.sleepers.fetch_add(1, SeqCst);
            let result = wait(&self.count, 0, deadline);
            self.sleepers.fetch_sub(1, SeqCst);
            if let Err(errno @ (e::ETIMEDOUT | e::EINTR)) = result {
                return Err(errno);
            }
        }
        Ok(())
    }
}

c_api! {
    fn sem_init(sem: *mut Semaphore, _shared: c_int, value: c_uint) -> c_int {
        if value > VALUE_MAX {
            return error::int(Err(e::EINVAL));
        }
        sem.write(Semaphore { count: AtomicU32::new(value), sleepers: AtomicU32::new(0) });
        0
    }
    fn sem_destroy(_sem: *mut Semaphore) -> c_int {
        0
    }
    fn sem_post(sem: *mut Semaphore) -> c_int {
        let word = &raw const (*sem).count;
        let sleepers = (*sem).sleepers.load(SeqCst);
        if (*sem).count.fetch_update(SeqCst, SeqCst, |count| (count < VALUE_MAX).then_some(count + 1)).is_err() {
            return error::int(Err(e::EOVERFLOW));
        }
        // A sleeper that came after the first look has seen the new count, or sleeps on the old one: look again.
        if sleepers != 0 || (*sem).sleepers.load(SeqCst) != 0 {
            wake(word, 1);
        }
        0
    }
    fn sem_wait(sem: *mut Semaphore) -> c_int {
        error::int((*sem).take_until(FOREVER).map(|()| 0))
    }
    fn sem_trywait(sem: *mut Semaphore) -> c_int {
        error::int(if (*sem).try_take() { Ok(0) } else { Err(e::EAGAIN) })
    }
    fn sem_timedwait(sem: *mut Semaphore, abstime: *const Timespec) -> c_int {
        sem_clockwait(sem, CLOCK_REALTIME as c_int, abstime)
    }
    fn sem_clockwait(sem: *mut Semaphore, clock: c_int, abstime: *const Timespec) -> c_int {
        error::int(time::deadline(clock, &*abstime).and_then(|deadline| (*sem).take_until(deadline)).map(|()| 0))
    }
    fn sem_getvalue(sem: *mut Semaphore, value: *mut c_int) -> c_int {
        *value = (*sem).count.load(SeqCst) as c_int;
        0
    }
}
