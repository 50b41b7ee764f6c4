//! From the first instruction in the higher half to a `Hal` that the kernel can be put on.
//!
//! Both ways in end at `start` with a `BootInfo` whose parts are copied before the memory they lie in is used. The order is:
//! serial port, memory map, own page tables, heap, descriptor tables, ACPI, interrupt controllers, clocks, other CPUs.

use core::arch::global_asm;
use core::fmt::Write;

use alloc::string::String;
use alloc::vec::Vec;

use kernel_core::Config;
use valence_abi::boot::{BOOT_ENV_MAX, BOOT_MAGIC, BootInfo, Framebuffer, MemoryArea, area};

use super::cpu::features::Features;
use super::cpu::{local, vectors};
use super::devices::{io_apic, local_apic, pic, power, ps2, rtc, serial};
use super::hal::Hal;
use super::memory::{bytes, heap, kernel_space, layout};
use super::{smp, time};
use crate::acpi::{self, Acpi};
use crate::areas::{self, FreeRanges};
use crate::limits::{HEAP_MAX, HEAP_MIN, HEAP_SHARE, MAX_AREAS};

// `kernel_start` is the ELF entry, for a loader that has already set up paging: rdi holds the physical address of the `BootInfo`.
global_asm!(
    ".section .bss.boot, \"aw\", @nobits",
    ".balign 4096",
    "boot_stack: .skip 128 * 1024",
    ".globl boot_stack_top",
    "boot_stack_top:",
    ".section .text.boot, \"ax\"",
    ".globl kernel_start",
    "kernel_start:",
    "cli",
    "cld",
    "lea rsp, [rip + boot_stack_top]",
    "xor ebp, ebp",
    "call {main}",
    "ud2",
    ".text",
    main = sym loader_main,
);

unsafe extern "Rust" {
    /// The image's main function.
    safe fn kernel_main(boot: Boot) -> !;
}

/// What a direct boot found, in place of what a loader leaves in memory.
pub(super) struct Direct {
    pub(super) info: BootInfo,
    pub(super) areas: [MemoryArea; MAX_AREAS],
    pub(super) env: [u8; BOOT_ENV_MAX],
}

/// The started machine and what the kernel wants to know.
#[derive(Debug)]
pub struct Boot {
    /// The machine.
    pub hal: Hal,
    /// The kernel's configuration; `initfs` is empty if the loader gave none.
    pub config: Config,
}

extern "sysv64" fn loader_main(info: u64) -> ! {
    time::start();
    serial::init();
    // SAFETY: the loader's contract: rdi is the address of a `BootInfo` in mapped memory.
    let info: BootInfo = unsafe { layout::physical::<BootInfo>(info).read_unaligned() };
    assert!(
        info.magic == BOOT_MAGIC,
        "the loader gave no boot information; use the matching loader"
    );
    let mut boot = Direct {
        info,
        areas: [MemoryArea::default(); MAX_AREAS],
        env: [0; BOOT_ENV_MAX],
    };
    boot.info.area_count = info.area_count.min(MAX_AREAS as u64);
    for (i, slot) in boot.areas[..boot.info.area_count as usize]
        .iter_mut()
        .enumerate()
    {
        let at = info.areas + (i * size_of::<MemoryArea>()) as u64;
        // SAFETY: the loader's contract: `area_count` entries lie there.
        *slot = unsafe { layout::physical::<MemoryArea>(at).read_unaligned() };
    }
    boot.info.env_len = info.env_len.min(BOOT_ENV_MAX as u64);
    // SAFETY: the loader's contract: `env_len` bytes lie there.
    if let Some(env) = unsafe { layout::physical_bytes(info.env, boot.info.env_len) } {
        boot.env[..env.len()].copy_from_slice(env);
    }
    start(boot, "uefi")
}

/// Entry of a direct boot.
pub(super) fn first_entry(boot: Direct) -> ! {
    time::start();
    serial::init();
    assert!(
        boot.info.magic == BOOT_MAGIC,
        "started in an unknown way; boot through UEFI or qemu -kernel"
    );
    start(boot, "direct")
}

fn start(boot: Direct, how: &str) -> ! {
    let info = boot.info;
    layout::set_image_physical(info.kernel);
    log!("Valence {} ({how} boot)", env!("CARGO_PKG_VERSION"));
    bytes::init();
    let features = Features::detect();
    features.enable();
    let areas = &boot.areas[..info.area_count as usize];
    let mut free = take_memory(areas, features.large_pages);

    let stacks = kernel_space::map_stacks(0, &mut free);
    let first = &local::all()[0];
    first.prepare(0, 0, stacks.main);
    // SAFETY: this is CPU 0, once, before any trap.
    unsafe { first.install(stacks.faults) };

    let acpi = acpi::read(&Firmware, info.rsdp);
    pic::disable();
    local_apic::map(acpi.local_apic);
    local_apic::init(vectors::TIMER, vectors::SPURIOUS);
    let apic_id = local_apic::id();
    first.prepare(0, apic_id, stacks.main);
    time::calibrate(acpi.pm_timer);
    let (clock, timer) = time::rates();
    log!(
        "memory: {} MiB free, heap {} MiB",
        free.total() >> 20,
        heap::usage().1 >> 20
    );
    log!(
        "clock {} MHz, timer {} MHz",
        clock / 1_000_000,
        timer / 1_000_000
    );
    start_devices(&acpi, apic_id);
    first.set_online();
    let cpus = smp::start_others(&acpi, apic_id, &features, &mut free);
    log!("cpus: {cpus}");

    let env = environment(&boot, &acpi, how);
    // SAFETY: the loader put the archive in memory of kind RESERVED, which nobody writes.
    let initfs = unsafe { layout::physical_bytes(info.initfs, info.initfs_len) };
    let initfs = initfs.unwrap_or_default();
    for range in FreeRanges::of_kind(areas, area::LOADER).ranges() {
        // The loader's tables and texts are copied and no longer used.
        free.add(*range);
    }
    // The first MiB stays out: firmware uses parts of it, and CPUs start there.
    free.remove(areas::Range {
        start: 0,
        end: 1 << 20,
    });
    let ram: Vec<(u64, u64)> = free
        .ranges()
        .iter()
        .map(|r| (r.start, r.end - r.start))
        .collect();
    let wall = rtc::unix_seconds().saturating_mul(1_000_000_000);
    let boot_time = wall.saturating_sub(time::since_start_ns());
    let hal = Hal::new(features, acpi, cpus, &ram, areas, boot_time);
    kernel_main(Boot {
        hal,
        config: Config { ram, initfs, env },
    })
}

/// Own page tables and the heap; returns what is left.
fn take_memory(areas: &[MemoryArea], large: bool) -> FreeRanges {
    let mut free = FreeRanges::of_kind(areas, area::FREE);
    let total = free.total();
    // SAFETY: `free` is what the loader calls free, and its map of physical memory is active.
    unsafe { kernel_space::build(&mut free, areas::top_of_ram(areas), large) };
    let len = (total / HEAP_SHARE).clamp(HEAP_MIN, HEAP_MAX);
    let base = free.take(len, u64::MAX);
    let base =
        base.unwrap_or_else(|| panic!("only {} MiB of memory: 64 MiB are needed", total >> 20));
    // SAFETY: just taken, and mapped in the map of physical memory that never goes away.
    unsafe { heap::add(layout::physical::<u8>(base), len as usize) };
    free
}

fn start_devices(acpi: &Acpi, apic_id: u32) {
    const IRQ_KEYBOARD: u8 = 1;
    const IRQ_COM2: u8 = 3;
    const IRQ_COM1: u8 = 4;
    const IRQ_MOUSE: u8 = 12;
    power::enable_acpi(acpi);
    let ps2 = ps2::init();
    let routes = [
        (IRQ_COM1, vectors::SERIAL),
        (IRQ_COM2, vectors::SERIAL + 1),
        (IRQ_KEYBOARD, vectors::KEYBOARD),
        (IRQ_MOUSE, vectors::MOUSE),
    ];
    io_apic::init(acpi, apic_id, &routes);
    log!(
        "devices: {} I/O APIC, keyboard controller {}",
        acpi.io_apics.len(),
        if ps2 { "found" } else { "absent" }
    );
}

/// The text of `/scheme/sys/env`: the loader's lines, then what the machine adds.
fn environment(boot: &Direct, acpi: &Acpi, how: &str) -> String {
    let text = &boot.env[..boot.info.env_len as usize];
    let mut env = String::from_utf8_lossy(text)
        .trim_end_matches(['\0', '\n'])
        .into();
    if !String::is_empty(&env) {
        env.push('\n');
    }
    let Framebuffer {
        base,
        width,
        height,
        stride,
        ..
    } = boot.info.framebuffer;
    // Writing to a String cannot fail.
    if width != 0 {
        let _ = writeln!(env, "FRAMEBUFFER_ADDR={base:x}");
        let _ = writeln!(env, "FRAMEBUFFER_WIDTH={width}");
        let _ = writeln!(env, "FRAMEBUFFER_HEIGHT={height}");
        let _ = writeln!(env, "FRAMEBUFFER_STRIDE={stride}");
    }
    if let Some((address, buses)) = acpi.ecam {
        let _ = writeln!(env, "PCI_ECAM_ADDR={address:x}");
        let _ = writeln!(env, "PCI_ECAM_BUSES={buses}");
    }
    let _ = writeln!(env, "RSDP_ADDR={:x}", boot.info.rsdp);
    let _ = writeln!(env, "BOOT={how}");
    env
}

/// Physical memory as the ACPI parser sees it.
struct Firmware;

impl acpi::Memory for Firmware {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        // SAFETY: firmware tables are constant once the loader runs.
        unsafe { layout::physical_bytes(address, len as u64) }
    }
}
