//! Direct boot: `qemu -kernel kernel -initrd initfs -append "KEY=VALUE …"` (the PVH boot protocol).
//!
//! QEMU enters `pvh_start` in 32-bit protected mode with the address of its start information in ebx. The code here maps
//! 4 GiB three times over (at 0, at `PHYS_BASE`, at `KERNEL_BASE`), goes to long mode, and turns the start information into a
//! `BootInfo`, as if a loader had run. Used by tests for speed; users boot through UEFI.

use core::arch::global_asm;

use valence_abi::boot::{BOOT_ENV_MAX, BOOT_MAGIC, BootInfo, KERNEL_BASE, MemoryArea, area};

use super::boot::{Direct, first_entry};
use super::memory::layout;
use crate::limits::MAX_AREAS;

unsafe extern "C" {
    /// First instruction of a direct boot.
    fn pvh_start();
}

// Four tables of 512 entries map 4 GiB in steps of 2 MiB; all three places share them.
global_asm!(
    ".section .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18", // "Xen" with its zero, 8 bytes, type PHYS32_ENTRY
    ".asciz \"Xen\"",
    ".quad pvh_start - {base}",

    ".section .bss.boot, \"aw\", @nobits",
    ".balign 4096",
    "boot_top: .skip 4096",
    "boot_low: .skip 4096",
    "boot_high: .skip 4096",
    "boot_pages: .skip 4 * 4096",

    ".section .rodata.boot, \"a\"",
    ".balign 8",
    "boot_segments:",
    ".quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF",
    "boot_segments_pointer:",
    ".word 23",
    ".quad boot_segments - {base}",

    ".section .text.boot, \"ax\"",
    ".code32",
    ".globl pvh_start",
    "pvh_start:",
    "cli",
    "cld",
    "movl %ebx, %edi",
    "movl $(boot_pages - {base}), %eax",
    "movl $0x83, %edx", // present, writable, large
    "xorl %ecx, %ecx",
    "1: movl %edx, (%eax,%ecx,8)",
    "addl $0x200000, %edx",
    "incl %ecx",
    "cmpl $2048, %ecx",
    "jne 1b",
    "movl $(boot_low - {base}), %eax",
    "movl $(boot_pages - {base} + 3), %edx",
    "xorl %ecx, %ecx",
    "2: movl %edx, (%eax,%ecx,8)",
    "addl $4096, %edx",
    "incl %ecx",
    "cmpl $4, %ecx",
    "jne 2b",
    "movl $(boot_pages - {base} + 3), (boot_high - {base} + 510 * 8)",
    "movl $(boot_low - {base} + 3), (boot_top - {base})",
    "movl $(boot_low - {base} + 3), (boot_top - {base} + 256 * 8)",
    "movl $(boot_high - {base} + 3), (boot_top - {base} + 511 * 8)",
    "movl $(boot_top - {base}), %eax",
    "movl %eax, %cr3",
    "movl %cr4, %eax",
    "orl $0x20, %eax", // physical address extension
    "movl %eax, %cr4",
    "movl $0xC0000080, %ecx",
    "rdmsr",
    "orl $0x900, %eax", // long mode, no-execute
    "wrmsr",
    "movl %cr0, %eax",
    "orl $0x80010001, %eax", // paging, write protect, protection
    "movl %eax, %cr0",
    "lgdt (boot_segments_pointer - {base})",
    "ljmpl $8, $(3f - {base})",
    ".code64",
    "3: movl $0x10, %eax",
    "movl %eax, %ss",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movabsq $4f, %rax",
    "jmpq *%rax",
    "4: movabsq $boot_stack_top, %rsp",
    "xorl %ebp, %ebp",
    "movl %edi, %edi",
    "callq {main}",
    "ud2",
    ".text",
    base = const KERNEL_BASE,
    main = sym pvh_main,
    options(att_syntax),
);

const START_MAGIC: u32 = 0x336E_C578;
/// Memory types of the start information: 1 is RAM, as in the BIOS's list.
const TYPE_RAM: u32 = 1;

#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_count: u32,
    reserved: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Module {
    address: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MemoryEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

extern "sysv64" fn pvh_main(start_info: u64) -> ! {
    let boot = read(start_info);
    first_entry(boot)
}

/// Reads the start information into static room: the originals lie in RAM that is listed as free.
fn read(address: u64) -> Direct {
    // SAFETY: QEMU wrote the structure there before it entered, and nothing runs beside this code.
    let start: StartInfo = unsafe { read_physical(address) };
    let mut boot = Direct {
        info: BootInfo {
            rsdp: start.rsdp,
            ..BootInfo::default()
        },
        areas: [MemoryArea::default(); MAX_AREAS],
        env: [0; BOOT_ENV_MAX],
    };
    if start.magic != START_MAGIC {
        return boot;
    }
    boot.info.magic = BOOT_MAGIC;
    // The image and the modules come first: an area that is cut off must not be one of them.
    let [first, .., end] = layout::image();
    boot.info.kernel = (first - KERNEL_BASE) as u64;
    boot.info.kernel_len = (end - first) as u64;
    boot.push(boot.info.kernel, boot.info.kernel_len, area::RESERVED);
    if start.module_count > 0 {
        // SAFETY: as above; there is at least one module.
        let module: Module = unsafe { read_physical(start.modules) };
        boot.info.initfs = module.address;
        boot.info.initfs_len = module.size;
        boot.push(module.address, module.size, area::RESERVED);
    }
    for i in 0..u64::from(start.memory_count) {
        // SAFETY: as above; `i` is below the count.
        let entry: MemoryEntry =
            unsafe { read_physical(start.memory_map + i * size_of::<MemoryEntry>() as u64) };
        let kind = if entry.kind == TYPE_RAM {
            area::FREE
        } else {
            area::RESERVED
        };
        boot.push(entry.address, entry.size, kind);
    }
    boot.read_command_line(start.command_line);
    boot
}

impl Direct {
    fn push(&mut self, base: u64, size: u64, kind: u64) {
        if let Some(slot) = self.areas.get_mut(self.info.area_count as usize) {
            *slot = MemoryArea { base, size, kind };
            self.info.area_count += 1;
        }
    }

    /// Words of the command line become lines.
    fn read_command_line(&mut self, address: u64) {
        if address == 0 {
            return;
        }
        for (i, slot) in self.env.iter_mut().enumerate() {
            // SAFETY: QEMU wrote a zero-terminated text there; reading stops at its end.
            let byte: u8 = unsafe { read_physical(address + i as u64) };
            if byte == 0 {
                break;
            }
            *slot = if byte == b' ' { b'\n' } else { byte };
            self.info.env_len = i as u64 + 1;
        }
    }
}

/// # Safety
///
/// The address holds a `T` that nothing changes meanwhile.
unsafe fn read_physical<T: Copy>(address: u64) -> T {
    // SAFETY: mapped (`physical` checks); a `T` by the caller's promise.
    unsafe { layout::physical::<T>(address).read_unaligned() }
}

/// Keeps the linker from dropping the entry, which only the ELF note names.
#[used]
static ENTRY: unsafe extern "C" fn() = pvh_start;
