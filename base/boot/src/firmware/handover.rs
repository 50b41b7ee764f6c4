//! Putting everything in its place, leaving the firmware, and the jump.

use core::convert::Infallible;

use boot_rules::elf::Kernel;
use boot_rules::limits::AREAS_MAX;
use boot_rules::memory_map::{Areas, kind, pages_to_bytes};
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::mem::memory_map::MemoryMap;
use uefi::system;
use uefi::table::cfg::ConfigTableEntry;
use valence_abi::PAGE_SIZE;
use valence_abi::boot::{BOOT_ENV_MAX, BOOT_MAGIC, BootInfo, MemoryArea, area};
use x86_64::registers::control::{Cr0, Cr0Flags, Efer, EferFlags};

use super::failure::Failure;
use super::files::{self, LOW_MEMORY};
use super::paging::Tables;
use super::screen;

/// What the kernel reads, in one block of pages.
#[repr(C)]
struct Handover {
    info: BootInfo,
    env: [u8; BOOT_ENV_MAX],
    areas: [MemoryArea; AREAS_MAX],
}

/// Loads the kernel and starts it.
pub(super) fn start(
    kernel: &Kernel,
    file: &[u8],
    initfs: &'static [u8],
    env: &str,
) -> Result<Infallible, Failure> {
    let image = load(kernel, file)?;
    let block = files::pages(size_of::<Handover>())?;
    let handover = block.as_mut_ptr().cast::<Handover>();
    let jump = jump_page()?;
    let mut tables = Tables::new()?;
    tables.map_physical(top_of_memory()?)?;
    tables.map_kernel(kernel, image)?;
    tables.map_jump(jump as u64)?;

    let mut bytes = [0; BOOT_ENV_MAX];
    let len = env.len().min(BOOT_ENV_MAX);
    bytes[..len].copy_from_slice(&env.as_bytes()[..len]);
    let mut info = BootInfo {
        magic: BOOT_MAGIC,
        initfs: initfs.as_ptr() as u64,
        initfs_len: initfs.len() as u64,
        env: handover as u64 + core::mem::offset_of!(Handover, env) as u64,
        env_len: len as u64,
        kernel: image,
        kernel_len: kernel.len(),
        rsdp: rsdp(),
        framebuffer: screen::framebuffer(),
        areas: handover as u64 + core::mem::offset_of!(Handover, areas) as u64,
        area_count: 0,
    };

    // SAFETY: nothing that the firmware's services own is used from here on; memory of type LOADER_DATA stays as it is.
    let map = unsafe { boot::exit_boot_services(None) };
    let mut areas = Areas::default();
    for (base, size) in [
        (info.kernel, info.kernel_len),
        (info.initfs, info.initfs_len),
    ] {
        areas.push(
            base,
            size.next_multiple_of(PAGE_SIZE as u64),
            area::RESERVED,
        );
    }
    for entry in map.entries() {
        areas.push(
            entry.phys_start,
            pages_to_bytes(entry.page_count),
            kind(entry.ty.0),
        );
    }
    let list = areas.as_slice();
    info.area_count = list.len() as u64;
    let mut all = [MemoryArea::default(); AREAS_MAX];
    all[..list.len()].copy_from_slice(list);
    // SAFETY: `block` has room for a `Handover`, is page-aligned, and only this function knows it.
    unsafe {
        handover.write(Handover {
            info,
            env: bytes,
            areas: all,
        })
    };
    jump_to_kernel(jump, tables.root(), kernel.entry, handover as u64)
}

/// Copies the segments to new pages and returns the physical address.
fn load(kernel: &Kernel, file: &[u8]) -> Result<u64, Failure> {
    let memory = files::pages(kernel.len() as usize)?;
    for segment in kernel.segments() {
        let at = (segment.address - kernel.start()) as usize;
        let from = &file[segment.offset..segment.offset + segment.file_len];
        memory[at..at + segment.file_len].copy_from_slice(from);
    }
    Ok(memory.as_ptr() as u64)
}

/// The code of the jump: `mov cr3, rdi; mov rdi, rsi; jmp rdx`.
const JUMP: [u8; 8] = [0x0F, 0x22, 0xDF, 0x48, 0x89, 0xF7, 0xFF, 0xE2];

type Jump = unsafe extern "sysv64" fn(root: u64, info: u64, entry: u64) -> !;

fn jump_page() -> Result<*mut u8, Failure> {
    let kind = MemoryType::LOADER_CODE;
    let page = boot::allocate_pages(AllocateType::MaxAddress(LOW_MEMORY), kind, 1);
    let page = page.map_err(|_| {
        Failure::machine(
            "There is no free page of memory below 4 GiB.",
            "Give the machine more memory.",
        )
    })?;
    // SAFETY: a fresh page.
    unsafe {
        page.as_ptr()
            .copy_from_nonoverlapping(JUMP.as_ptr(), JUMP.len())
    };
    Ok(page.as_ptr())
}

fn jump_to_kernel(jump: *mut u8, root: u64, entry: u64, info: u64) -> ! {
    x86_64::instructions::interrupts::disable();
    // SAFETY: NX exists (`check_processor`); write protection only forbids what nothing here does.
    unsafe {
        Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE));
        Cr0::update(|cr0| cr0.insert(Cr0Flags::WRITE_PROTECT));
    }
    // SAFETY: the page holds `JUMP`, whose arguments these are, and is mapped at the same address in the new tables.
    unsafe {
        let jump = core::mem::transmute::<*mut u8, Jump>(jump);
        jump(root, info, entry)
    }
}

fn rsdp() -> u64 {
    system::with_config_table(|entries| {
        let find = |guid| {
            entries
                .iter()
                .find(|e| e.guid == guid)
                .map(|e| e.address as u64)
        };
        find(ConfigTableEntry::ACPI2_GUID)
            .or_else(|| find(ConfigTableEntry::ACPI_GUID))
            .unwrap_or(0)
    })
}

/// The end of RAM; at least 4 GiB, so that the devices below it are mapped too.
fn top_of_memory() -> Result<u64, Failure> {
    let map = boot::memory_map(MemoryType::LOADER_DATA).map_err(|why| {
        Failure::machine(
            &alloc::format!("The firmware gives no memory map: {why}."),
            "Update the machine's firmware.",
        )
    })?;
    let ram = map.entries().filter(|e| kind(e.ty.0) != area::RESERVED);
    let end = ram
        .map(|e| e.phys_start.saturating_add(pages_to_bytes(e.page_count)))
        .max();
    Ok(end.unwrap_or(0).clamp(4 << 30, 256 << 30))
}
