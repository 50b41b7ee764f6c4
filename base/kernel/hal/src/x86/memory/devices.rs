//! Mapping device registers into the kernel: only while the machine starts, and for good.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::{kernel_space, layout, tables};
use crate::page_entry::{ENTRIES, GLOBAL, NO_EXECUTE, PCD, PRESENT, PWT, WRITE};

static USED: AtomicUsize = AtomicUsize::new(0);

/// Maps a block of registers uncached and returns its address. Panics when the table is full.
pub(in crate::x86) fn map_device(address: u64, len: u64) -> usize {
    let first = address & !0xFFF;
    let pages = (address + len).div_ceil(4096) - first / 4096;
    let at = USED.fetch_add(pages as usize, Ordering::Relaxed);
    assert!(at + pages as usize <= ENTRIES, "too many device registers");
    let base = layout::DEVICE_BASE + at * 4096;
    for i in 0..pages {
        let here = base as u64 + i * 4096;
        // SAFETY: the kernel's tables are never freed, and `kernel_space` made the one for this window.
        let entry = unsafe { tables::find(kernel_space::root(), here, 1) };
        let flags = PRESENT | WRITE | NO_EXECUTE | GLOBAL | PCD | PWT;
        let entry = entry.expect("the device window has its table");
        entry.store((first + i * 4096) | flags, Ordering::Release);
    }
    base + (address & 0xFFF) as usize
}
