//! Walking four-level page tables, for the kernel's half and for user spaces alike.
//!
//! A table is an array of atomics: the CPU's own walker reads and marks entries at any time. Table frames are reached
//! through the map of physical memory.

use core::sync::atomic::{AtomicU64, Ordering};

use super::layout;
use crate::page_entry::{ADDRESS, ENTRIES, LARGE, PRESENT, index};

/// A page table.
pub(in crate::x86) type Table = [AtomicU64; ENTRIES];

/// The table in a frame.
///
/// # Safety
///
/// The frame serves as a page table (or is about to: it is zeroed) until the reference is gone.
pub(in crate::x86) unsafe fn table(address: u64) -> &'static Table {
    // SAFETY: mapped (`physical` checks), aligned, and by the caller's promise used as nothing but a table.
    unsafe { &*layout::physical::<Table>(address & ADDRESS) }
}

/// Zeroes a frame that is going to be a table.
///
/// # Safety
///
/// Nobody else uses the frame.
pub(in crate::x86) unsafe fn clear(address: u64) {
    // SAFETY: mapped and, by the caller's promise, ours.
    unsafe { layout::physical::<[u8; 4096]>(address).write_bytes(0, 1) }
}

/// The entry for `address` in the table of `level`, if all tables above are there.
///
/// # Safety
///
/// `root` is a top table whose lower tables nobody frees while the reference is in use.
pub(in crate::x86) unsafe fn find(
    root: u64,
    address: u64,
    level: u32,
) -> Option<&'static AtomicU64> {
    let mut at = root;
    for above in (level + 1..=4).rev() {
        // SAFETY: `root` and every present non-large entry below it name tables.
        let entry = unsafe { table(at) }[index(address, above)].load(Ordering::Relaxed);
        if entry & PRESENT == 0 || entry & LARGE != 0 {
            return None;
        }
        at = entry;
    }
    // SAFETY: as above.
    Some(&unsafe { table(at) }[index(address, level)])
}

/// The last table on the way to an address; if it is absent, the level of the entry that is.
///
/// # Safety
///
/// As for [`find`].
pub(in crate::x86) unsafe fn leaf(root: u64, address: u64) -> Result<&'static Table, u32> {
    let mut at = root;
    for level in (2..=4).rev() {
        // SAFETY: as in `find`.
        at = unsafe { table(at) }[index(address, level)].load(Ordering::Relaxed);
        if at & PRESENT == 0 {
            return Err(level);
        }
    }
    // SAFETY: as in `find`.
    Ok(unsafe { table(at) })
}

/// The entry that [`find`] gives, making missing tables from frames that `take` hands out, with `flags` in the new entries. `None` when
/// `take` has none.
///
/// # Safety
///
/// As for [`find`]; `take` gives frames that nobody uses.
pub(in crate::x86) unsafe fn find_or_make(
    root: u64,
    address: u64,
    level: u32,
    flags: u64,
    take: &mut dyn FnMut() -> Option<u64>,
) -> Option<&'static AtomicU64> {
    let mut at = root;
    for above in (level + 1..=4).rev() {
        // SAFETY: as in `find`.
        let slot = &unsafe { table(at) }[index(address, above)];
        let entry = slot.load(Ordering::Relaxed);
        at = if entry & PRESENT != 0 {
            debug_assert!(entry & LARGE == 0);
            entry
        } else {
            let new = take()?;
            // SAFETY: `take` promises that the frame is unused.
            unsafe { clear(new) };
            slot.store(new | PRESENT | flags, Ordering::Release);
            new
        };
    }
    // SAFETY: as in `find`.
    Some(&unsafe { table(at) }[index(address, level)])
}
