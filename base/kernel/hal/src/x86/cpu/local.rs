//! Data of each CPU, reached through GS in the kernel.
//!
//! `swapgs` on every entry from user mode makes GS point to the CPU's own `Local`; the first three fields are at offsets
//! that `vectors` relies on. Everything is atomic: other CPUs read and set flags here.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::{GsBase, KernelGsBase};

use super::descriptors::Tables;
use crate::limits::MAX_CPUS;

/// Data of one CPU.
#[repr(C, align(64))]
pub(in crate::x86) struct Local {
    /// Where the entry code keeps the user stack pointer for two instructions.
    scratch: AtomicU64,
    /// End of the kernel stack.
    stack_top: AtomicU64,
    index: AtomicUsize,
    apic_id: AtomicU32,
    /// The CPU has reached the kernel.
    online: AtomicBool,
    /// Another CPU waits for this one to drop its translations.
    flush_wanted: AtomicBool,
    /// It halts, or is about to, until it is poked (see `wait`).
    parked: AtomicBool,
    /// When the kernel wants `Trap::Timer`, in monotonic nanoseconds.
    pub(in crate::x86) timer_wanted: AtomicU64,
    /// When the timer will interrupt.
    pub(in crate::x86) timer_armed: AtomicU64,
    /// Descriptor tables; touched by this CPU alone, while it comes up.
    tables: UnsafeCell<Tables>,
}

// SAFETY: all fields but `tables` are atomic; `tables` is used only through `install`, on the CPU it belongs to.
unsafe impl Sync for Local {}

/// Offset of `scratch`, for the entry code.
pub(super) const SCRATCH: usize = offset_of!(Local, scratch);
/// Offset of `stack_top`, for the entry code.
pub(super) const STACK_TOP: usize = offset_of!(Local, stack_top);

/// A time that never comes.
pub(in crate::x86) const NEVER: u64 = u64::MAX;

impl Local {
    const fn new() -> Self {
        Self {
            scratch: AtomicU64::new(0),
            stack_top: AtomicU64::new(0),
            index: AtomicUsize::new(0),
            apic_id: AtomicU32::new(0),
            online: AtomicBool::new(false),
            flush_wanted: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            timer_wanted: AtomicU64::new(NEVER),
            timer_armed: AtomicU64::new(NEVER),
            tables: UnsafeCell::new(Tables::new()),
        }
    }

    /// Number of this CPU, dense from 0.
    pub(in crate::x86) fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    /// Its number at the interrupt controllers.
    pub(in crate::x86) fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    /// Whether it runs the kernel.
    pub(in crate::x86) fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Tells the others that it does.
    pub(in crate::x86) fn set_online(&self) {
        self.online.store(true, Ordering::Release);
    }

    /// The end of its kernel stack.
    pub(in crate::x86) fn stack_top(&self) -> usize {
        self.stack_top.load(Ordering::Relaxed) as usize
    }

    /// Flag of the flush protocol (see `dispatch`).
    pub(in crate::x86) fn flush_wanted(&self) -> &AtomicBool {
        &self.flush_wanted
    }

    /// Flag of the halting wait (see `wait`).
    pub(in crate::x86) fn parked(&self) -> &AtomicBool {
        &self.parked
    }

    /// Notes what the first CPU knows about this one before it starts.
    pub(in crate::x86) fn prepare(&self, index: usize, apic_id: u32, stack_top: usize) {
        self.index.store(index, Ordering::Relaxed);
        self.apic_id.store(apic_id, Ordering::Relaxed);
        self.stack_top.store(stack_top as u64, Ordering::Release);
    }

    /// Makes this CPU use its descriptor tables and this data.
    ///
    /// # Safety
    ///
    /// Called once on the CPU this data belongs to, after [`Local::prepare`], before it takes any trap.
    pub(in crate::x86) unsafe fn install(&'static self, fault_stacks: [usize; 3]) {
        // SAFETY: by the caller's promise no other reference to the tables exists, now or later.
        let tables = unsafe { &mut *self.tables.get() };
        // SAFETY: the tables are static, the stacks are this CPU's own.
        unsafe { tables.load(self.stack_top(), fault_stacks) };
        let here = VirtAddr::from_ptr(self);
        GsBase::write(here);
        // The user's GS base: programs cannot set one, so it is 0 for all.
        KernelGsBase::write(VirtAddr::zero());
    }
}

static CPUS: [Local; MAX_CPUS] = [const { Local::new() }; MAX_CPUS];

/// Data of all CPUs, present or not.
pub(in crate::x86) fn all() -> &'static [Local; MAX_CPUS] {
    &CPUS
}

/// Data of this CPU. Only after [`Local::install`], with the kernel's GS.
pub(in crate::x86) fn this() -> &'static Local {
    let index: usize;
    // SAFETY: GS points to this CPU's `Local` whenever Rust code of the kernel runs after `install`.
    unsafe {
        asm!(
            "mov {}, gs:[{offset}]", out(reg) index, offset = const offset_of!(Local, index),
            options(nostack, readonly, preserves_flags, pure),
        );
    }
    &CPUS[index]
}
