//! The one kernel lock, and the kernel it protects.
//!
//! Interrupts are off from before `with` until after it, so a holder is never interrupted. A CPU that waits here keeps
//! answering flush requests: the holder may be waiting for just that (see `dispatch::flush_here`). So a flush never
//! deadlocks with the lock.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use kernel_core::Kernel;

use super::dispatch;
use super::hal::Hal;

struct KernelLock {
    locked: AtomicBool,
    kernel: UnsafeCell<Option<Kernel<Hal>>>,
}

// SAFETY: `kernel` is touched by `with` and `install` alone, which hold `locked`; and the kernel may move between CPUs.
unsafe impl Sync for KernelLock where Kernel<Hal>: Send {}

static KERNEL: KernelLock = KernelLock {
    locked: AtomicBool::new(false),
    kernel: UnsafeCell::new(None),
};

/// Puts the kernel in its place. Called once, before any CPU enters it.
pub(super) fn install(kernel: Kernel<Hal>) {
    acquire();
    // SAFETY: the lock is held.
    unsafe { *KERNEL.kernel.get() = Some(kernel) };
    KERNEL.locked.store(false, Ordering::Release);
}

/// Runs `work` with the kernel. Not reentrant: nothing below the kernel calls it.
pub(super) fn with<R>(work: impl FnOnce(&mut Kernel<Hal>) -> R) -> R {
    acquire();
    // SAFETY: the lock is held, so this is the only reference.
    let kernel = unsafe { &mut *KERNEL.kernel.get() };
    let result = work(
        kernel
            .as_mut()
            .expect("trap before the kernel was installed"),
    );
    KERNEL.locked.store(false, Ordering::Release);
    result
}

/// One turn of a wait loop. The pause instruction leaves an emulator's fast path for a global lock that the other CPU
/// may need to get on, so it is used on few turns only.
pub(super) fn relax(turns: &mut u32) {
    const TURNS_PER_PAUSE: u32 = 128;
    *turns = turns.wrapping_add(1);
    if turns.is_multiple_of(TURNS_PER_PAUSE) {
        core::hint::spin_loop();
    }
}

fn acquire() {
    while KERNEL
        .locked
        .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        let mut turns = 0;
        while KERNEL.locked.load(Ordering::Relaxed) {
            dispatch::flush_if_wanted();
            relax(&mut turns);
        }
    }
}
