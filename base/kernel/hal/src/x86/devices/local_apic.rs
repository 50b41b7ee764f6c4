//! The interrupt controller inside each CPU: interrupts between CPUs, end of interrupt, one-shot timer.
//!
//! Registers are reached through memory, or through MSRs where the firmware left the controller in x2APIC mode (Intel
//! SDM vol. 3, chapter 11). Each CPU sees its own controller at the same address, so these functions act on the CPU
//! that calls them.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::registers::model_specific::Msr;

use super::mmio::Mmio;
use crate::x86::memory::devices::map_device;

const ID: usize = 0x20;
const TASK_PRIORITY: usize = 0x80;
const END_OF_INTERRUPT: usize = 0xB0;
const SPURIOUS: usize = 0xF0;
const COMMAND_LOW: usize = 0x300;
const COMMAND_HIGH: usize = 0x310;
const TIMER_VECTOR: usize = 0x320;
const LINE0: usize = 0x350;
const LINE1: usize = 0x360;
const ERROR_VECTOR: usize = 0x370;
const TIMER_START: usize = 0x380;
const TIMER_NOW: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3E0;

const MASKED: u32 = 1 << 16;
const DELIVERY_PENDING: u32 = 1 << 12;
const LEVEL_ASSERT: u32 = 1 << 14;
const DELIVER_NMI: u32 = 4 << 8;
const DELIVER_INIT: u32 = 5 << 8;
const DELIVER_START: u32 = 6 << 8;
const ALL_BUT_SELF: u32 = 3 << 18;

const APIC_BASE: u32 = 0x1B;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2: u64 = 1 << 10;
const X2_FIRST: u32 = 0x800;
const X2_COMMAND: u32 = 0x830;

/// The timer counts at a quarter of the bus clock: 17 s to the end of the counter at 1 GHz.
const DIVIDE_BY_4: u32 = 0b0001;

static BASE: AtomicU64 = AtomicU64::new(0);
static X2: AtomicBool = AtomicBool::new(false);

/// Maps the registers. Called once, on the first CPU, before any other function here.
pub(in crate::x86) fn map(address: u64) {
    // SAFETY: reading this MSR has no side effect; every x86_64 CPU has it.
    let base = unsafe { Msr::new(APIC_BASE).read() };
    X2.store(base & BASE_X2 != 0, Ordering::Relaxed);
    let address = if address != 0 {
        address
    } else {
        base & 0x000F_FFFF_FFFF_F000
    };
    BASE.store(map_device(address, 4096) as u64, Ordering::Relaxed);
}

/// Switches this CPU's controller on, its timer stopped.
pub(in crate::x86) fn init(timer_vector: u8, spurious_vector: u8) {
    const SOFTWARE_ENABLE: u32 = 1 << 8;
    let mode = if X2.load(Ordering::Relaxed) {
        BASE_X2
    } else {
        0
    };
    let mut base = Msr::new(APIC_BASE);
    // SAFETY: sets the enable bits and keeps the address, in the mode the firmware chose for all CPUs.
    unsafe {
        let value = base.read();
        base.write(value | BASE_ENABLE | mode);
    }
    write(TASK_PRIORITY, 0);
    write(LINE0, MASKED);
    write(LINE1, DELIVER_NMI);
    write(ERROR_VECTOR, MASKED);
    write(TIMER_DIVIDE, DIVIDE_BY_4);
    write(TIMER_VECTOR, u32::from(timer_vector));
    write(TIMER_START, 0);
    write(SPURIOUS, SOFTWARE_ENABLE | u32::from(spurious_vector));
}

/// This CPU's number at the interrupt controllers.
pub(in crate::x86) fn id() -> u32 {
    let raw = read(ID);
    if X2.load(Ordering::Relaxed) {
        raw
    } else {
        raw >> 24
    }
}

/// Whether [`map`] has been called.
pub(in crate::x86) fn is_mapped() -> bool {
    BASE.load(Ordering::Relaxed) != 0
}

/// Tells the controller that the interrupt in service is done.
pub(in crate::x86) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Starts the timer: one interrupt after `ticks`; 0 stops it.
pub(in crate::x86) fn timer_start(ticks: u32) {
    write(TIMER_START, ticks);
}

/// Ticks left.
pub(in crate::x86) fn timer_left() -> u32 {
    read(TIMER_NOW)
}

/// Interrupts another CPU.
pub(in crate::x86) fn interrupt(apic_id: u32, vector: u8) {
    command(apic_id, LEVEL_ASSERT | u32::from(vector));
}

/// Stops every other CPU with a non-maskable interrupt.
pub(in crate::x86) fn interrupt_all_others_nmi() {
    command(0, ALL_BUT_SELF | LEVEL_ASSERT | DELIVER_NMI);
}

/// Resets another CPU to its wait-for-start state.
pub(in crate::x86) fn send_init(apic_id: u32) {
    command(apic_id, LEVEL_ASSERT | DELIVER_INIT);
}

/// Starts another CPU at a page below 1 MiB.
pub(in crate::x86) fn send_start(apic_id: u32, page: u8) {
    command(apic_id, LEVEL_ASSERT | DELIVER_START | u32::from(page));
}

fn command(apic_id: u32, low: u32) {
    if X2.load(Ordering::Relaxed) {
        let value = u64::from(apic_id) << 32 | u64::from(low);
        // SAFETY: an inter-processor interrupt with a vector or mode of this box; its handlers are in `vectors`.
        unsafe { Msr::new(X2_COMMAND).write(value) };
        return;
    }
    while read(COMMAND_LOW) & DELIVERY_PENDING != 0 {
        core::hint::spin_loop();
    }
    write(COMMAND_HIGH, apic_id << 24);
    write(COMMAND_LOW, low);
}

fn read(register: usize) -> u32 {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: reading a local APIC register has no side effect on memory.
        return unsafe { Msr::new(X2_FIRST + (register >> 4) as u32).read() } as u32;
    }
    registers().read(register)
}

fn write(register: usize, value: u32) {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: only registers and values of this module are written; they steer interrupts, not memory.
        unsafe { Msr::new(X2_FIRST + (register >> 4) as u32).write(value.into()) };
        return;
    }
    registers().write(register, value);
}

fn registers() -> Mmio {
    let base = BASE.load(Ordering::Relaxed) as usize;
    assert!(base != 0, "local APIC used before it was mapped");
    // SAFETY: `map` stored the address of a device mapping that is never removed.
    unsafe { Mmio::new(base, 4096) }
}
