//! Waiting: the futex calls, the library's own lock, and the pthread objects built on them.
//!
//! Nothing spins: a thread that cannot go on sleeps in the kernel. All objects are valid when all their bytes are zero,
//! because programs initialise them statically so.

mod barrier;
mod cond;
mod mutex;
mod once;
mod rwlock;
mod semaphore;

use crate::{Errno, e};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering::*};

/// No deadline.
pub(crate) const FOREVER: u64 = u64::MAX;

/// Sleeps while `*word == expected`, at the latest until `deadline` (monotonic nanoseconds).
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: u64) -> Result<(), Errno> {
    // SAFETY: the word outlives the call.
    unsafe { syscall!(FUTEX_WAIT, word.as_ptr(), expected, deadline) }.map(drop)
}

/// Wakes up to `count` waiters. The word may be gone already: it is not read.
pub(crate) fn wake(word: *const AtomicU32, count: usize) {
    // SAFETY: the kernel only takes the address.
    let _ = unsafe { syscall!(FUTEX_WAKE, word, count) };
}

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A lock in one word.
#[repr(transparent)]
pub(crate) struct Lock(AtomicU32);

impl Lock {
    pub(crate) const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    pub(crate) fn try_lock(&self) -> bool {
        self.0
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_ok()
    }

    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            let _ = self.lock_slow(FOREVER);
        }
    }

    /// `ETIMEDOUT` when the deadline passes first.
    pub(crate) fn lock_until(&self, deadline: u64) -> Result<(), Errno> {
        if self.try_lock() {
            Ok(())
        } else {
            self.lock_slow(deadline)
        }
    }

    /// Takes the lock and leaves it marked as contended: for a thread that slept elsewhere on this lock's behalf.
    pub(crate) fn lock_contended(&self) {
        let _ = self.lock_slow(FOREVER);
    }

    #[cold]
    fn lock_slow(&self, deadline: u64) -> Result<(), Errno> {
        while self.0.swap(CONTENDED, Acquire) != FREE {
            if wait(&self.0, CONTENDED, deadline) == Err(e::ETIMEDOUT) {
                return Err(e::ETIMEDOUT);
            }
        }
        Ok(())
    }

    pub(crate) fn unlock(&self) {
        if self.0.swap(FREE, Release) == CONTENDED {
            wake(&raw const self.0, 1);
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.0.load(Relaxed) != FREE
    }

    /// After fork in the child: the holder may not exist there.
    pub(crate) fn reset(&self) {
        self.0.store(FREE, Release);
    }
}

/// A value behind a [`Lock`].
pub(crate) struct Mutex<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the value.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex {
            lock: Lock::new(),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.lock.lock();
        Guard(self)
    }

    /// The lock itself, for fork.
    pub(crate) fn raw(&self) -> &Lock {
        &self.lock
    }
}

/// The right to use a [`Mutex`]'s value.
pub(crate) struct Guard<'a, T>(&'a Mutex<T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and `&mut self` makes this the only reference through it.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.0.lock.unlock();
    }
}
