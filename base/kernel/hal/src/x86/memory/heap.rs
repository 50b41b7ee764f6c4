//! The kernel heap: talc over a physically contiguous share of RAM, taken while the machine starts, and over pieces that
//! `dispatch` adds between traps when little is left (decision 0204).

use core::sync::atomic::{AtomicBool, Ordering};

use talc::TalcLock;
use talc::source::Manual;

use crate::limits::HEAP_LOW;

/// A spin lock for the allocator. Interrupts are off whenever kernel code runs, so its holder always makes progress.
pub(in crate::x86) struct SpinLock(AtomicBool);

// SAFETY: `lock` returns only after it changed the flag from false to true, which one CPU at a time can do; the
// orderings make what the last holder wrote visible.
unsafe impl lock_api::RawMutex for SpinLock {
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        while !self.try_lock() {
            core::hint::spin_loop();
        }
    }

    fn try_lock(&self) -> bool {
        self.0
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[global_allocator]
static HEAP: TalcLock<SpinLock, Manual> = TalcLock::new(Manual);

/// Gives the heap memory: its first, or more.
///
/// # Safety
///
/// The range is mapped for ever and nobody else uses it.
pub(in crate::x86) unsafe fn add(base: *mut u8, len: usize) {
    // SAFETY: by the caller's promise; `Manual` allows claiming.
    let claimed = unsafe { HEAP.lock().claim(base, len) };
    assert!(claimed.is_some(), "the heap's share is too small");
}

/// Whether it is time to add memory.
pub(in crate::x86) fn is_low() -> bool {
    usage().1 < HEAP_LOW
}

/// Bytes in use and bytes free.
pub(in crate::x86) fn usage() -> (usize, usize) {
    let heap = HEAP.lock();
    let counters = heap.counters();
    (counters.allocated_bytes, counters.available_bytes)
}
