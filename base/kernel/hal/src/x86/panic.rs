//! The end: a message on COM1 with registers and return addresses, and all CPUs stopped.
//!
//! Works with the kernel lock held, with a broken heap, and on any CPU: it allocates nothing and takes no lock.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use x86_64::registers::control::{Cr2, Cr3};

use super::devices::local_apic;
use super::memory::{kernel_space, layout};
use super::print::Com1;
use crate::frame::Frame;
use crate::limits::BACKTRACE_FRAMES;

/// Not 0: every CPU halts at its next NMI. Read by `vectors::nmi_entry`.
pub(super) static STOPPED: AtomicU8 = AtomicU8::new(0);

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    begin();
    let place = info.location();
    let _ = write!(Com1, "\nKERNEL PANIC: {}", info.message());
    if let Some(place) = place {
        let _ = write!(Com1, " ({}:{})", place.file(), place.line());
    }
    let _ = writeln!(Com1);
    backtrace(frame_pointer());
    end()
}

/// An exception in kernel mode.
pub(super) extern "sysv64" fn trap_kernel(frame: &Frame) -> ! {
    trap_fatal(frame)
}

/// An exception that nothing can be done about.
pub(super) extern "sysv64" fn trap_fatal(frame: &Frame) -> ! {
    begin();
    let name = match frame.vector {
        0 => "division error",
        6 => "invalid instruction",
        8 => "double fault (a kernel stack overflowed, if cr2 is near rsp)",
        13 => "general protection fault",
        14 => "page fault",
        18 => "machine check: the hardware reported an error",
        _ => "exception",
    };
    let _ = writeln!(
        Com1,
        "\nKERNEL FAULT: {name} (vector {}, code {:#x})",
        frame.vector, frame.code
    );
    registers(frame);
    let _ = writeln!(Com1, "  at  {:#018x}", frame.rip);
    backtrace(frame.rbp);
    end()
}

/// Halts this CPU if another one has panicked. For loops that wait for other CPUs.
pub(super) fn stop_if_asked() {
    if STOPPED.load(Ordering::Relaxed) != 0 {
        halt();
    }
}

fn begin() {
    x86_64::instructions::interrupts::disable();
    if PANICKING.swap(true, Ordering::AcqRel) {
        // A second panic, here or on another CPU: the first one's message is what matters.
        halt();
    }
    STOPPED.store(1, Ordering::Release);
    if local_apic::is_mapped() {
        local_apic::interrupt_all_others_nmi();
    }
}

fn end() -> ! {
    let _ = write!(Com1, "build ");
    for byte in layout::build_id() {
        let _ = write!(Com1, "{byte:02x}");
    }
    let _ = writeln!(
        Com1,
        "\nThe system has stopped. Resolve addresses: addr2line -fe kernel ADDRESS"
    );
    halt()
}

fn halt() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

fn registers(f: &Frame) {
    let rows: [[(&str, u64); 4]; 5] = [
        [
            ("rax", f.rax),
            ("rbx", f.rbx),
            ("rcx", f.rcx),
            ("rdx", f.rdx),
        ],
        [
            ("rsi", f.rsi),
            ("rdi", f.rdi),
            ("rbp", f.rbp),
            ("rsp", f.rsp),
        ],
        [("r8 ", f.r8), ("r9 ", f.r9), ("r10", f.r10), ("r11", f.r11)],
        [
            ("r12", f.r12),
            ("r13", f.r13),
            ("r14", f.r14),
            ("r15", f.r15),
        ],
        [
            ("rip", f.rip),
            ("flg", f.rflags),
            ("cr2", Cr2::read_raw()),
            ("cr3", cr3()),
        ],
    ];
    for row in rows {
        for (name, value) in row {
            let _ = write!(Com1, "  {name} {value:#018x}");
        }
        let _ = writeln!(Com1);
    }
}

fn cr3() -> u64 {
    Cr3::read().0.start_address().as_u64()
}

fn frame_pointer() -> u64 {
    let value: u64;
    // SAFETY: copies a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Prints the return addresses that saved frame pointers lead to, as long as they stay on one kernel stack.
fn backtrace(start: u64) {
    let text = layout::image();
    let mut at = start as usize;
    for _ in 0..BACKTRACE_FRAMES {
        if !on_kernel_stack(at) {
            return;
        }
        let words = core::ptr::with_exposed_provenance::<[usize; 2]>(at);
        // SAFETY: aligned, and inside a kernel stack or the image's data (checked above), which stay mapped.
        let [next, address] = unsafe { words.read() };
        if !(text[0]..text[1]).contains(&address) {
            return;
        }
        let _ = writeln!(Com1, "  from {address:#018x}");
        if next <= at {
            return;
        }
        at = next;
    }
}

/// Whether two words at `at` lie on a stack: in the image's data (the first stack), or in a mapped page of the stack window.
fn on_kernel_stack(at: usize) -> bool {
    const LAST_PAIR: usize = 4096 - 16;
    let [_, _, data, end] = layout::image();
    let window = layout::STACK_BASE..layout::STACK_BASE + (1 << 30);
    if !at.is_multiple_of(8) || at % 4096 > LAST_PAIR {
        return false;
    }
    (data..end).contains(&at) || (window.contains(&at) && kernel_space::is_mapped(at))
}
