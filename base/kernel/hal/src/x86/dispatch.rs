//! From a vector to `Kernel::trap` and back.
//!
//! Flush protocol: the CPU that holds the kernel lock sets `flush_wanted` of each CPU that has the space active, sends
//! it an interrupt, and waits until the flag is clear. The other CPU drops its translations and clears the flag: in the interrupt,
//! if it runs a program or idles; in the wait loop of the lock, if it is on its way into the kernel. Between leaving the lock and
//! enabling interrupts it does not wait for anything, so the interrupt comes at once.

use core::sync::atomic::Ordering;

use kernel_core::machine::{Interrupt, Trap};
use kernel_core::{Kernel, Next};
use x86_64::instructions::tlb;
use x86_64::registers::control::Cr2;

use super::cpu::{local, vectors};
use super::devices::{local_apic, ps2};
use super::hal::Hal;
use super::memory::heap;
use super::wait::{self, Patience};
use super::{lock, panic, smp, time};
use crate::frame::{Frame, Leave};
use crate::limits::{HEAP_GROWTH, MSI_COUNT};

/// Runs the kernel on all CPUs. Called once, on the first.
pub fn run(kernel: Kernel<Hal>) -> ! {
    lock::install(kernel);
    smp::release();
    enter()
}

/// First entry of a CPU into the installed kernel.
pub(super) fn enter() -> ! {
    // SAFETY: this CPU's `Local` is installed and the lock is free here.
    unsafe { vectors::enter_fresh(vectors::START) }
}

/// Entry from user mode.
pub(super) extern "sysv64" fn trap_user(frame: &mut Frame) -> Leave {
    let Some(trap) = decode(frame.vector, frame.code) else {
        return Leave::Interrupt;
    };
    let cpu = local::this().index();
    let leave = lock::with(|kernel| {
        frame.store(kernel.registers(cpu));
        let next = kernel.trap(cpu, trap);
        prepare(kernel, cpu, next, frame)
    });
    finish(leave)
}

/// Entry while idle, or the first of all. `frame` is uninitialised room for the way out.
pub(super) extern "sysv64" fn trap_idle(frame: &mut Frame, vector: u64) -> Leave {
    let cpu = local::this().index();
    let leave = if vector == vectors::START {
        lock::with(|kernel| {
            let next = kernel.cpu_start(cpu);
            prepare(kernel, cpu, next, frame)
        })
    } else {
        decode(vector, 0).and_then(|trap| {
            lock::with(|kernel| {
                let next = kernel.trap(cpu, trap);
                prepare(kernel, cpu, next, frame)
            })
        })
    };
    finish(leave)
}

fn prepare(kernel: &mut Kernel<Hal>, cpu: usize, next: Next, frame: &mut Frame) -> Option<Leave> {
    if heap::is_low() {
        grow_heap(kernel);
    }
    match next {
        Next::Run => Some(frame.set(kernel.registers(cpu))),
        Next::Idle => None,
    }
}

/// Turns free frames into heap. Without any the heap stays as it is, and the kernel's limits must do.
fn grow_heap(kernel: &mut Kernel<Hal>) {
    for count in [HEAP_GROWTH, HEAP_GROWTH / 4] {
        if let Some(first) = kernel.frames.take_run(count) {
            return kernel.machine.heap_add(first, count);
        }
    }
}

fn finish(leave: Option<Leave>) -> Leave {
    match leave {
        Some(leave) => leave,
        // SAFETY: the lock is free again, and GS is the kernel's.
        None => unsafe { vectors::idle() },
    }
}

/// What the vector means to the kernel; `None` if it is no business of the kernel's. Acknowledges interrupts.
fn decode(vector: u64, code: u64) -> Option<Trap> {
    match vector {
        vectors::SYSCALL => Some(Trap::Syscall),
        vectors::PAGE_FAULT => Some(page_fault(code)),
        v if v < vectors::FIRST_INTERRUPT => Some(Trap::Exception {
            vector: v as u8,
            code,
        }),
        v => interrupt(v as u8),
    }
}

fn page_fault(code: u64) -> Trap {
    const WRITE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const RESERVED_BIT: u64 = 1 << 3;
    const FETCH: u64 = 1 << 4;
    let addr = Cr2::read_raw();
    assert!(code & RESERVED_BIT == 0, "damaged page table at {addr:#x}");
    if code & USER == 0 {
        // An access with kernel rights while in user mode. Emulators make one for far returns, which SMAP then refuses;
        // mapping a page would not help, so the program gets what a bad far return gets.
        const GENERAL_PROTECTION: u8 = 13;
        return Trap::Exception {
            vector: GENERAL_PROTECTION,
            code: 0,
        };
    }
    Trap::PageFault {
        addr,
        write: code & WRITE != 0,
        execute: code & FETCH != 0,
    }
}

fn interrupt(vector: u8) -> Option<Trap> {
    const LAST_MSI: u8 = vectors::MSI + (MSI_COUNT - 1) as u8;
    let trap = match vector {
        vectors::TIMER => time::timer_expired().then_some(Trap::Timer),
        vectors::KICK => Some(Trap::Kick),
        vectors::SERIAL => Some(Trap::Interrupt(Interrupt::Serial(0))),
        v if v == vectors::SERIAL + 1 => Some(Trap::Interrupt(Interrupt::Serial(1))),
        vectors::KEYBOARD | vectors::MOUSE => {
            ps2::receive().map(|(port, byte)| Trap::Interrupt(Interrupt::Ps2 { port, byte }))
        }
        v @ vectors::MSI..=LAST_MSI => Some(Trap::Interrupt(Interrupt::Msi(usize::from(
            v - vectors::MSI,
        )))),
        // A spurious interrupt is not in service, so there is nothing to acknowledge.
        vectors::SPURIOUS => return None,
        _ => None,
    };
    local_apic::end_of_interrupt();
    trap
}

/// The interrupt that one CPU raises on another one: to flush, or to look again at what it waits for.
pub(super) extern "sysv64" fn poked() {
    flush_if_wanted();
    local_apic::end_of_interrupt();
}

/// Drops this CPU's translations if another CPU waits for that.
pub(super) fn flush_if_wanted() {
    let wanted = local::this().flush_wanted();
    if wanted.load(Ordering::Acquire) {
        tlb::flush_all();
        wanted.store(false, Ordering::SeqCst);
        wait::poke_flusher();
    }
}

/// Makes the CPUs of `targets` drop their translations, and waits for it. Called with the kernel lock held.
pub(super) fn flush_others(targets: impl Iterator<Item = usize> + Clone) {
    let all = local::all();
    for cpu in targets.clone() {
        all[cpu].flush_wanted().store(true, Ordering::SeqCst);
        local_apic::interrupt(all[cpu].apic_id(), vectors::POKE);
    }
    let mut patience = Patience::new();
    for cpu in targets {
        let wanted = all[cpu].flush_wanted();
        while wanted.load(Ordering::Acquire) {
            panic::stop_if_asked();
            if patience.is_over() {
                wait::park_flusher(|| wanted.load(Ordering::SeqCst));
            }
        }
    }
}
