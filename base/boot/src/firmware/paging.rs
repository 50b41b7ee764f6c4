//! The page tables that the kernel starts with: all physical memory at `PHYS_BASE` (never executable), the kernel image with
//! the rights of its segments, and one executable page at its own address for the jump.

use core::arch::x86_64::__cpuid;

use boot_rules::elf::Kernel;
use valence_abi::PAGE_SIZE;
use valence_abi::boot::PHYS_BASE;
use x86_64::registers::control::{Cr4, Cr4Flags};

use super::failure::Failure;
use super::files;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
const MIB2: u64 = 2 << 20;
const GIB: u64 = 1 << 30;

/// What the kernel cannot do without.
pub(super) fn check_processor() -> Result<(), Failure> {
    const NX: u32 = 1 << 20;
    if __cpuid(0x8000_0001).edx & NX == 0 {
        return Err(Failure::machine(
            "This processor does not offer NX (execute-disable).",
            "Switch it on in the firmware's settings.",
        ));
    }
    if Cr4::read().contains(Cr4Flags::L5_PAGING) {
        return Err(Failure::machine(
            "The firmware runs with five-level paging, which is not supported.",
            "Switch it off (LA57) in the firmware's settings.",
        ));
    }
    Ok(())
}

/// Page tables being built.
pub(super) struct Tables {
    root: u64,
}

impl Tables {
    /// Empty tables.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { root: new_table()? })
    }

    /// Physical address of the top table.
    pub(super) fn root(&self) -> u64 {
        self.root
    }

    /// Maps physical memory up to `end`.
    pub(super) fn map_physical(&mut self, end: u64) -> Result<(), Failure> {
        const LARGE_PAGES: u32 = 1 << 26;
        let huge = __cpuid(0x8000_0001).edx & LARGE_PAGES != 0;
        let (step, level) = if huge { (GIB, 3) } else { (MIB2, 2) };
        for address in (0..end.next_multiple_of(GIB)).step_by(step as usize) {
            let entry = address | LARGE | WRITE | NO_EXECUTE;
            self.set(PHYS_BASE as u64 + address, level, entry)?;
        }
        Ok(())
    }

    /// Maps the kernel, whose first page was put at `physical`.
    pub(super) fn map_kernel(&mut self, kernel: &Kernel, physical: u64) -> Result<(), Failure> {
        for segment in kernel.segments() {
            let write = if segment.write { WRITE } else { 0 };
            let execute = if segment.execute { 0 } else { NO_EXECUTE };
            let end = segment.address + segment.memory_len;
            for address in (segment.address..end).step_by(PAGE_SIZE) {
                let frame = physical + (address - kernel.start());
                self.set(address, 1, frame | write | execute)?;
            }
        }
        Ok(())
    }

    /// Maps one page at its own address, executable.
    pub(super) fn map_jump(&mut self, page: u64) -> Result<(), Failure> {
        self.set(page, 1, page)
    }

    fn set(&mut self, address: u64, level: u32, entry: u64) -> Result<(), Failure> {
        let mut table = self.root;
        for above in (level + 1..=4).rev() {
            let slot = slot(table, address, above);
            // SAFETY: `slot` lies in a table of ours; firmware maps memory at its own address.
            let found = unsafe { slot.read() };
            table = if found & PRESENT != 0 {
                found & ADDRESS
            } else {
                let new = new_table()?;
                // SAFETY: as above.
                unsafe { slot.write(new | PRESENT | WRITE) };
                new
            };
        }
        // SAFETY: as above.
        unsafe { slot(table, address, level).write(entry | PRESENT) };
        Ok(())
    }
}

fn slot(table: u64, address: u64, level: u32) -> *mut u64 {
    let index = (address >> (12 + 9 * (level - 1))) & 0x1FF;
    core::ptr::with_exposed_provenance_mut((table + index * 8) as usize)
}

fn new_table() -> Result<u64, Failure> {
    Ok(files::pages(PAGE_SIZE)?.as_mut_ptr().expose_provenance() as u64)
}
