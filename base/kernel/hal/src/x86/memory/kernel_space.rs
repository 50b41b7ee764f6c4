//! The kernel's own page tables: built once from the loader's memory map, then shared by every address space.
//!
//! All top-level entries of the kernel half are made here, before the first user space copies them, and never change.

use core::sync::atomic::{AtomicU64, Ordering};

use valence_abi::boot::PHYS_BASE;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

use super::{layout, tables};
use crate::areas::FreeRanges;
use crate::limits::{FAULT_STACK_PAGES, STACK_PAGES};
use crate::page_entry::{GLOBAL, LARGE, NO_EXECUTE, PRESENT, WRITE};

static ROOT: AtomicU64 = AtomicU64::new(0);

/// Page tables lie below this address, so that a CPU coming from 32-bit mode can load the top one.
const TABLE_LIMIT: u64 = 4 << 30;
const GIB: u64 = 1 << 30;
const MIB2: u64 = 2 << 20;

/// The top table of the kernel's own space.
pub(in crate::x86) fn root() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

/// Builds the tables and switches to them.
///
/// # Safety
///
/// `free` holds frames that nobody uses; the loader's map of physical memory is active.
pub(in crate::x86) unsafe fn build(free: &mut FreeRanges, top_of_ram: u64, large: bool) {
    let mut take = || free.take(4096, TABLE_LIMIT);
    let root = take().expect("no memory for page tables");
    // SAFETY: just taken.
    unsafe { tables::clear(root) };
    ROOT.store(root, Ordering::Relaxed);

    let end = top_of_ram.max(4 * GIB).next_multiple_of(GIB);
    let (step, level) = if large { (GIB, 3) } else { (MIB2, 2) };
    for address in (0..end).step_by(step as usize) {
        let entry = address | LARGE | WRITE | NO_EXECUTE;
        set(PHYS_BASE as u64 + address, level, entry, &mut take);
    }
    let [start, text, rodata, data] = layout::image().map(|a| a as u64);
    for address in (start..data).step_by(4096) {
        let rights = match address {
            a if a < text => 0,
            a if a < rodata => NO_EXECUTE,
            _ => WRITE | NO_EXECUTE,
        };
        set(
            address,
            1,
            layout::image_to_physical(address as usize) | rights,
            &mut take,
        );
    }
    // The tables of the two windows; their pages come later.
    for window in [layout::DEVICE_BASE, layout::STACK_BASE] {
        // SAFETY: `root` is ours, `take` gives unused frames.
        let made = unsafe { tables::find_or_make(root, window as u64, 1, WRITE, &mut take) };
        made.expect("no memory for page tables");
    }
    activate(root);
    layout::set_physical_end(end);
}

/// Makes this CPU use a top table. Its kernel half must be the kernel's, which holds for every root of this box.
pub(in crate::x86) fn activate(root: u64) {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root));
    // SAFETY: every root that this box makes maps the kernel, its stacks and the physical memory alike.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) }
}

/// Stacks of one CPU: the address after each. The page below each stack stays unmapped.
pub(in crate::x86) struct Stacks {
    /// For traps and idling.
    pub(in crate::x86) main: usize,
    /// For double faults, NMIs and machine checks.
    pub(in crate::x86) faults: [usize; 3],
}

/// Maps the stacks of a CPU.
pub(in crate::x86) fn map_stacks(cpu: usize, free: &mut FreeRanges) -> Stacks {
    const PER_CPU: usize = (1 + STACK_PAGES) + 3 * (1 + FAULT_STACK_PAGES);
    let mut at = layout::STACK_BASE + cpu * PER_CPU * 4096;
    let mut stack = |pages: usize| {
        let first = at + 4096;
        at = first + pages * 4096;
        for address in (first..at).step_by(4096) {
            let frame = free
                .take(4096, u64::MAX)
                .expect("no memory for a kernel stack");
            let entry = frame | WRITE | NO_EXECUTE;
            set(address as u64, 1, entry, &mut || {
                free.take(4096, TABLE_LIMIT)
            });
        }
        at
    };
    Stacks {
        main: stack(STACK_PAGES),
        faults: core::array::from_fn(|_| stack(FAULT_STACK_PAGES)),
    }
}

/// A copy of the top table that also maps the first 2 MiB at their own address, executable: for CPUs that come up.
pub(in crate::x86) fn start_up_root(free: &mut FreeRanges) -> u64 {
    let mut take = || free.take(4096, TABLE_LIMIT);
    let new = take().expect("no memory for page tables");
    // SAFETY: just taken.
    unsafe { tables::clear(new) };
    copy_kernel_half(new);
    // SAFETY: `new` is ours; the entry goes to its user half, which has no other tables.
    let entry = unsafe { tables::find_or_make(new, 0, 2, WRITE, &mut take) };
    let entry = entry.expect("no memory for page tables");
    entry.store(LARGE | WRITE | PRESENT, Ordering::Release);
    new
}

/// Whether a page of the kernel's windows is mapped.
pub(in crate::x86) fn is_mapped(address: usize) -> bool {
    // SAFETY: the kernel's tables are never freed.
    let entry = unsafe { tables::find(root(), address as u64, 1) };
    entry.is_some_and(|e| e.load(Ordering::Relaxed) & PRESENT != 0)
}

/// Copies the kernel half into a new, zeroed top table.
pub(in crate::x86) fn copy_kernel_half(to: u64) {
    // SAFETY: the kernel's root is a table for ever; `to` is one that the caller has just made.
    let (from, to) = unsafe { (tables::table(root()), tables::table(to)) };
    for (new, old) in to.iter().zip(from).skip(256) {
        new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn set(address: u64, level: u32, entry: u64, take: &mut dyn FnMut() -> Option<u64>) {
    // SAFETY: the kernel's tables are never freed; `take` gives unused frames.
    let slot = unsafe { tables::find_or_make(root(), address, level, WRITE, take) };
    let slot = slot.expect("no memory for page tables");
    slot.store(entry | PRESENT | GLOBAL, Ordering::Release);
}
