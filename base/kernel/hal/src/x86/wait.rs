//! Waiting for another CPU: first by turning, then by halting until it pokes.
//!
//! Who waits first says so (a flag), then looks once more at what it waits for, then halts; who ends the wait first changes
//! that, then looks at the flag and pokes. Both sides use sequentially consistent accesses, so one of them sees the other, and a
//! poke that comes early stays pending until the halt. Halting keeps interrupts other than the poke away (`halt_for_poke`), so the
//! rule that kernel code is not interrupted holds: the poke's handler touches flags and translations only.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::cpu::{local, vectors};
use super::devices::local_apic;

/// CPUs that halt, or are about to, until the kernel lock is free.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// The CPU (plus one) that halts until others have flushed; 0 for none. One at most: it holds the kernel lock.
static FLUSHER: AtomicUsize = AtomicUsize::new(0);

/// How long a CPU turns before it halts.
pub(super) struct Patience(u32);

impl Patience {
    const TURNS: u32 = 4096;
    const TURNS_PER_PAUSE: u32 = 128;

    /// A fresh wait.
    pub(super) const fn new() -> Self {
        Self(0)
    }

    /// One turn; true when it is time to halt (then the patience is fresh again).
    ///
    /// The pause instruction leaves an emulator's fast path for a global lock that the other CPU may need to get on, so
    /// it is used on few turns only.
    pub(super) fn is_over(&mut self) -> bool {
        self.0 += 1;
        if self.0.is_multiple_of(Self::TURNS_PER_PAUSE) {
            core::hint::spin_loop();
        }
        let over = self.0 == Self::TURNS;
        if over {
            self.0 = 0;
        }
        over
    }
}

/// Halts this CPU until it is poked, if it still `must_wait` once that is announced. May return early.
pub(super) fn park(must_wait: impl FnOnce() -> bool) {
    let me = local::this();
    PARKED.fetch_add(1, Ordering::SeqCst);
    me.parked().store(true, Ordering::SeqCst);
    if must_wait() {
        halt();
    }
    me.parked().store(false, Ordering::SeqCst);
    PARKED.fetch_sub(1, Ordering::SeqCst);
}

/// Wakes one CPU that [`park`]ed. It will wake the next when it releases the lock in its turn.
pub(super) fn poke_one_parked() {
    if PARKED.load(Ordering::SeqCst) == 0 {
        return;
    }
    // The next in a circle, so that no CPU is left out for ever.
    let (before, after) = local::all().split_at(local::this().index());
    let parked = after
        .iter()
        .chain(before)
        .find(|cpu| cpu.parked().load(Ordering::SeqCst));
    if let Some(cpu) = parked {
        local_apic::interrupt(cpu.apic_id(), vectors::POKE);
    }
}

/// Halts this CPU, which waits for flushes, until it is poked, if it still `must_wait` once that is announced.
pub(super) fn park_flusher(must_wait: impl FnOnce() -> bool) {
    FLUSHER.store(local::this().index() + 1, Ordering::SeqCst);
    if must_wait() {
        halt();
    }
    FLUSHER.store(0, Ordering::SeqCst);
}

/// Wakes the CPU that waits for flushes, if it halts.
pub(super) fn poke_flusher() {
    if let Some(cpu) = FLUSHER.load(Ordering::SeqCst).checked_sub(1) {
        local_apic::interrupt(local::all()[cpu].apic_id(), vectors::POKE);
    }
}

fn halt() {
    // SAFETY: GS is the kernel's; only the poke and NMIs come through, whose handlers return here and touch only atomics.
    unsafe { vectors::halt_for_poke() }
}
