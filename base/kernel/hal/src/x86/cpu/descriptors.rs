//! Segments, task state and interrupt gates.

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::{lgdt, lidt, load_tss};
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::tss::TaskStateSegment;

use super::vectors;
use crate::frame::{KERNEL_CODE, KERNEL_DATA};

const TASK: u16 = 0x30;

/// Interrupt stacks of the task state: double fault, NMI, machine check.
const STACK_FAULT: u8 = 1;
const STACK_NMI: u8 = 2;
const STACK_CHECK: u8 = 3;

/// Descriptor tables of one CPU.
pub(in crate::x86) struct Tables {
    segments: [u64; 8],
    task: TaskStateSegment,
}

impl Tables {
    pub(in crate::x86) const fn new() -> Self {
        Self {
            segments: [
                0,
                0x00AF_9B00_0000_FFFF, // kernel code
                0x00CF_9300_0000_FFFF, // kernel data
                0,                     // 32-bit user code: there is none
                0x00CF_F300_0000_FFFF, // user data
                0x00AF_FB00_0000_FFFF, // user code
                0,                     // task state, two entries
                0,
            ],
            task: TaskStateSegment::new(),
        }
    }

    /// Fills the tables in and loads them on this CPU.
    ///
    /// # Safety
    ///
    /// `self` is static, and the stacks belong to this CPU alone.
    pub(in crate::x86) unsafe fn load(&mut self, stack: usize, faults: [usize; 3]) {
        self.task.privilege_stack_table[0] = VirtAddr::new(stack as u64);
        for (number, top) in [STACK_FAULT, STACK_NMI, STACK_CHECK]
            .into_iter()
            .zip(faults)
        {
            self.task.interrupt_stack_table[usize::from(number) - 1] = VirtAddr::new(top as u64);
        }
        let [low, high] = task_descriptor(&raw const self.task as u64);
        self.segments[6] = low;
        self.segments[7] = high;
        let limit = (size_of_val(&self.segments) - 1) as u16;
        let base = VirtAddr::from_ptr(&raw const self.segments);
        // SAFETY: a static table whose kernel segments equal those in use.
        unsafe { lgdt(&DescriptorTablePointer { limit, base }) };
        // SAFETY: the selectors name the kernel's flat segments and the task state set above.
        unsafe {
            CS::set_reg(SegmentSelector(KERNEL_CODE));
            SS::set_reg(SegmentSelector(KERNEL_DATA));
            DS::set_reg(SegmentSelector(0));
            ES::set_reg(SegmentSelector(0));
            load_tss(SegmentSelector(TASK));
        }
        load_gates();
    }
}

fn task_descriptor(base: u64) -> [u64; 2] {
    const PRESENT_TASK: u64 = 0x89 << 40;
    let limit = (size_of::<TaskStateSegment>() - 1) as u64;
    let low = limit | (base & 0xFF_FFFF) << 16 | PRESENT_TASK | (base >> 24 & 0xFF) << 56;
    [low, base >> 32]
}

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Gate([u64; 2]);

impl Gate {
    /// An interrupt gate: interrupts go off on the way in.
    const fn new(handler: u64, stack: u8, user: bool) -> Self {
        const PRESENT_GATE: u64 = 0x8E << 40;
        let privilege = if user { 3 << 45 } else { 0 };
        let low = (handler & 0xFFFF)
            | (KERNEL_CODE as u64) << 16
            | (stack as u64) << 32
            | PRESENT_GATE
            | privilege
            | (handler >> 16 & 0xFFFF) << 48;
        Self([low, handler >> 32])
    }
}

/// Every CPU fills the table with the same values before it loads it.
static GATES: [[core::sync::atomic::AtomicU64; 2]; 256] =
    [const { [const { core::sync::atomic::AtomicU64::new(0) }; 2] }; 256];

fn load_gates() {
    const BREAKPOINT: usize = 3;
    for (vector, slot) in GATES.iter().enumerate() {
        let handler = vectors::handler(vector);
        let stack = match vector {
            vectors::NMI => STACK_NMI,
            vectors::DOUBLE_FAULT => STACK_FAULT,
            vectors::MACHINE_CHECK => STACK_CHECK,
            _ => 0,
        };
        let gate = Gate::new(handler, stack, vector == BREAKPOINT);
        for (word, value) in slot.iter().zip(gate.0) {
            word.store(value, core::sync::atomic::Ordering::Relaxed);
        }
    }
    let limit = (size_of_val(&GATES) - 1) as u16;
    // SAFETY: a static table in which every gate names code of `vectors`.
    unsafe {
        lidt(&DescriptorTablePointer {
            limit,
            base: VirtAddr::from_ptr(&raw const GATES),
        })
    };
}
