//! The one kernel lock, and the kernel it protects.
//!
//! Interrupts are off from before `with` until after it, so a holder is never interrupted. A CPU that waits here keeps
//! answering flush requests: the holder may be waiting for just that (see `dispatch::poked`). So a flush never
//! deadlocks with the lock. After some turns it halts until it is poked (see `wait`), so that an emulator or a hypervisor
//! with fewer CPUs than it shows can run the holder.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use kernel_core::Kernel;

use super::cpu::local;
use super::dispatch;
use super::hal::Hal;
use super::wait::{self, Patience};

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
    release();
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
    release();
    result
}

fn release() {
    KERNEL.locked.store(false, Ordering::SeqCst);
    wait::poke_one_parked();
}

fn acquire() {
    let try_once = || {
        let locked = &KERNEL.locked;
        locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    };
    let mut patience = Patience::new();
    while !try_once() {
        while KERNEL.locked.load(Ordering::Relaxed) {
            dispatch::flush_if_wanted();
            if patience.is_over() {
                wait::park(|| {
                    let flush = local::this().flush_wanted().load(Ordering::SeqCst);
                    KERNEL.locked.load(Ordering::SeqCst) && !flush
                });
            }
        }
    }
}
