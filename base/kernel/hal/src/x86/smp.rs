//! Bringing up the other CPUs.
//!
//! Each starts in 16-bit mode at a page below 1 MiB, where a copy of `trampoline` takes it to long mode and to `main` on its
//! own stack. They come up one at a time, because they share that page. Then they wait for `release`.

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, Ordering};

use super::cpu::features::Features;
use super::cpu::{local, vectors};
use super::devices::local_apic;
use super::memory::{kernel_space, layout};
use super::{dispatch, time};
use crate::acpi::Acpi;
use crate::areas::FreeRanges;
use crate::limits::{CPU_START_NS, MAX_CPUS};

// Position-independent: cs holds the page. The four words at its end are filled in for each CPU.
global_asm!(
    ".section .rodata",
    ".balign 16",
    ".globl trampoline, trampoline_root, trampoline_end",
    "trampoline:",
    ".code16",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "movzwl %ax, %ebx",
    "shll $4, %ebx",
    "leal (trampoline_segments - trampoline)(%ebx), %eax",
    "movl %eax, (trampoline_segments_base - trampoline)",
    "leal (trampoline_long - trampoline)(%ebx), %eax",
    "movl %eax, (trampoline_target - trampoline)",
    "lgdtl (trampoline_segments_pointer - trampoline)",
    "movl %cr4, %eax",
    "orl $0x20, %eax", // physical address extension
    "movl %eax, %cr4",
    "movl (trampoline_root - trampoline), %eax",
    "movl %eax, %cr3",
    "movl $0xC0000080, %ecx",
    "rdmsr",
    "orl $0x900, %eax", // long mode, no-execute
    "wrmsr",
    "movl $0x80010001, %eax", // paging, write protect, protection
    "movl %eax, %cr0",
    "ljmpl *(trampoline_target - trampoline)",
    ".code64",
    "trampoline_long:",
    "movl $0x10, %eax",
    "movl %eax, %ss",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movq (trampoline_stack - trampoline)(%rbx), %rsp",
    "movq (trampoline_passed - trampoline)(%rbx), %rdi",
    "xorl %ebp, %ebp",
    "callq *(trampoline_main - trampoline)(%rbx)",
    "ud2",
    ".balign 8",
    "trampoline_segments:",
    ".quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF",
    "trampoline_segments_pointer:",
    ".word 23",
    "trampoline_segments_base: .long 0",
    "trampoline_target: .long 0",
    ".word 8",
    ".balign 8",
    "trampoline_root: .quad 0",
    "trampoline_stack: .quad 0",
    "trampoline_passed: .quad 0",
    "trampoline_main: .quad 0",
    "trampoline_end:",
    ".text",
    options(att_syntax),
);

unsafe extern "C" {
    static trampoline: [u8; 0];
    static trampoline_root: [u8; 0];
    static trampoline_end: [u8; 0];
}

static RELEASED: AtomicBool = AtomicBool::new(false);

/// What a new CPU needs before it has its own data.
struct StartUp {
    cpu: usize,
    features: Features,
    fault_stacks: [usize; 3],
}

/// Lets the CPUs that are up enter the kernel.
pub(super) fn release() {
    RELEASED.store(true, Ordering::Release);
}

/// Starts every CPU that ACPI lists and returns how many run, this one included.
pub(super) fn start_others(
    acpi: &Acpi,
    own_id: u32,
    features: &Features,
    free: &mut FreeRanges,
) -> usize {
    const MIB: u64 = 1 << 20;
    let others = || {
        acpi.cpus
            .iter()
            .copied()
            .filter(|&id| id != own_id && id < 255)
    };
    if others().next().is_none() {
        return 1;
    }
    let Some(page) = free.take(4096, MIB) else {
        log!("no free page below 1 MiB: only one CPU");
        return 1;
    };
    let root = kernel_space::start_up_root(free);
    let mut count = 1;
    for apic_id in others() {
        if count == MAX_CPUS {
            log!("more than {MAX_CPUS} CPUs: the rest stays off");
            break;
        }
        let stacks = kernel_space::map_stacks(count, free);
        local::all()[count].prepare(count, apic_id, stacks.main);
        let start_up = StartUp {
            cpu: count,
            features: *features,
            fault_stacks: stacks.faults,
        };
        fill_page(page, root, stacks.main, &start_up);
        if start(apic_id, (page >> 12) as u8, count) {
            count += 1;
        } else {
            // Back to waiting: it must not arrive later, when `start_up` is gone.
            local_apic::send_init(apic_id);
            log!("CPU with APIC number {apic_id} does not start; going on without it");
        }
    }
    count
}

fn fill_page(page: u64, root: u64, stack: usize, start_up: &StartUp) {
    let start = &raw const trampoline as usize;
    let len = &raw const trampoline_end as usize - start;
    let words_at = &raw const trampoline_root as usize - start;
    // `main` reads `start_up` when the CPU arrives; `start` waits for that, so it stays valid.
    let passed = core::ptr::from_ref(start_up).expose_provenance() as u64;
    let words = [root, stack as u64, passed, main as *const () as u64];
    let to = layout::physical::<u8>(page);
    assert!(len <= 4096);
    // SAFETY: `page` was taken from the free list, so nobody else uses its 4096 bytes; the source is in the image.
    unsafe {
        to.copy_from_nonoverlapping(start as *const u8, len);
        to.add(words_at).cast::<[u64; 4]>().write_unaligned(words);
    }
    core::sync::atomic::fence(Ordering::SeqCst);
}

fn start(apic_id: u32, page: u8, cpu: usize) -> bool {
    const SETTLE_NS: u64 = 200_000;
    local_apic::send_init(apic_id);
    time::spin_ns(SETTLE_NS);
    let began = time::since_start_ns();
    local_apic::send_start(apic_id, page);
    let mut repeated = false;
    loop {
        let waited = time::since_start_ns() - began;
        if local::all()[cpu].is_online() {
            return true;
        }
        // The manuals ask for a second start message; a CPU that already runs ignores it.
        if !repeated && waited > 10 * SETTLE_NS {
            local_apic::send_start(apic_id, page);
            repeated = true;
        }
        if waited > CPU_START_NS {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// First Rust code of a CPU that comes up.
extern "sysv64" fn main(start_up: &StartUp) -> ! {
    let local = &local::all()[start_up.cpu];
    start_up.features.enable();
    kernel_space::activate(kernel_space::root());
    // SAFETY: this is the CPU, once, before any trap.
    unsafe { local.install(start_up.fault_stacks) };
    local_apic::init(vectors::TIMER, vectors::SPURIOUS);
    local.set_online();
    while !RELEASED.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    dispatch::enter()
}
