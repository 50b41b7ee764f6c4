//! Address spaces of user programs: tables made of frames that the kernel lends.
//!
//! Tables are freed only with their space. So after an `unmap` a flush of the one page is enough.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel_core::machine::{Frame, OutOfFrames, Page, Perms, Root};

use super::{kernel_space, tables};
use crate::page_entry::{self, ADDRESS, ENTRIES, PRESENT, USER, WRITE};

/// Takes frames for tables: what `hal` makes of a `FrameSource`.
pub(in crate::x86) type Take<'a> = &'a mut dyn FnMut() -> Option<u64>;

/// Makes an empty space.
pub(in crate::x86) fn create(take: Take) -> Result<Root, OutOfFrames> {
    let root = take().ok_or(OutOfFrames)?;
    // SAFETY: just taken, nobody uses it.
    unsafe { tables::clear(root) };
    kernel_space::copy_kernel_half(root);
    Ok(Root(Frame(root >> 12)))
}

/// Hands every table of a space to `give`, the root last.
///
/// # Safety
///
/// `root` was made by [`create`] and no CPU uses it.
pub(in crate::x86) unsafe fn destroy(root: Root, give: &mut dyn FnMut(Frame)) {
    // SAFETY: passed on; the user half is the first 256 entries.
    unsafe { free_tables(root.0.0 << 12, ENTRIES / 2, 4, give) };
}

/// # Safety
///
/// `address` is a table of `level` that no CPU uses.
unsafe fn free_tables(address: u64, entries: usize, level: u32, give: &mut dyn FnMut(Frame)) {
    if level > 1 {
        // SAFETY: still a table; it is given back below.
        for slot in &unsafe { tables::table(address) }[..entries] {
            let entry = slot.load(Ordering::Relaxed);
            if entry & PRESENT != 0 {
                // SAFETY: a present entry above level 1 of a user space names a table (no large pages there).
                unsafe { free_tables(entry & ADDRESS, ENTRIES, level - 1, give) };
            }
        }
    }
    give(Frame((address & ADDRESS) >> 12));
}

/// Writes the entry of a page and returns what it was.
///
/// # Safety
///
/// `root` is a live space; the frame may be shown to user mode.
pub(in crate::x86) unsafe fn map(
    root: Root,
    page: Page,
    frame: Frame,
    perms: Perms,
    take: Take,
) -> Result<u64, OutOfFrames> {
    let (root, address) = (root.0.0 << 12, page.0 << 12);
    // SAFETY: a live space's tables stay; `take` gives unused frames.
    let slot = unsafe { tables::find_or_make(root, address, 1, WRITE | USER, take) };
    let slot = slot.ok_or(OutOfFrames)?;
    Ok(slot.swap(page_entry::user(frame, perms), Ordering::AcqRel))
}

/// Clears the entry of a page and returns what it was.
///
/// # Safety
///
/// `root` is a live space.
pub(in crate::x86) unsafe fn unmap(root: Root, page: Page) -> u64 {
    // SAFETY: a live space's tables stay.
    let slot = unsafe { tables::find(root.0.0 << 12, page.0 << 12, 1) };
    slot.map_or(0, |slot| slot.swap(0, Ordering::AcqRel))
}

/// Reads the entry of a page.
///
/// # Safety
///
/// `root` is a live space.
pub(in crate::x86) unsafe fn lookup(root: Root, page: Page) -> u64 {
    // SAFETY: a live space's tables stay.
    let slot = unsafe { tables::find(root.0.0 << 12, page.0 << 12, 1) };
    slot.map_or(0, |slot| slot.load(Ordering::Relaxed))
}

/// A part of a last table: entries `range`, of which the first is that of `page`.
pub(in crate::x86) struct Leaf {
    pub(in crate::x86) table: &'static tables::Table,
    pub(in crate::x86) page: u64,
    pub(in crate::x86) range: Range<usize>,
}

impl Leaf {
    /// The entries that map something, with their page numbers.
    pub(in crate::x86) fn mapped(&self) -> impl Iterator<Item = (u64, &'static AtomicU64, u64)> {
        let entries = self.table[self.range.clone()].iter().zip(self.page..);
        entries.filter_map(|(slot, page)| {
            let entry = slot.load(Ordering::Relaxed);
            (entry & PRESENT != 0).then_some((page, slot, entry))
        })
    }
}

/// The last tables for a range of pages, absent ones skipped as a whole.
pub(in crate::x86) struct Leaves {
    root: u64,
    page: u64,
    end: u64,
}

impl Leaves {
    /// # Safety
    ///
    /// `root` is a live space as long as the iterator or a [`Leaf`] of it is in use; the range is in the user half.
    pub(in crate::x86) unsafe fn new(root: Root, from: Page, end: Page) -> Self {
        Self {
            root: root.0.0 << 12,
            page: from.0,
            end: end.0,
        }
    }
}

impl Iterator for Leaves {
    type Item = Leaf;

    fn next(&mut self) -> Option<Leaf> {
        while self.page < self.end {
            // SAFETY: a live space's tables stay.
            match unsafe { tables::leaf(self.root, self.page << 12) } {
                Ok(table) => {
                    let (page, first) = (self.page, self.page as usize % ENTRIES);
                    let last = ENTRIES.min(first + (self.end - page) as usize);
                    self.page += (last - first) as u64;
                    return Some(Leaf {
                        table,
                        page,
                        range: first..last,
                    });
                }
                Err(level) => {
                    let covered = 1 << (9 * (level - 1));
                    self.page = (self.page | (covered - 1)) + 1;
                }
            }
        }
        None
    }
}

/// The last table for a page, made if absent.
///
/// # Safety
///
/// `root` is a live space.
pub(in crate::x86) unsafe fn leaf_for(
    root: Root,
    page: u64,
    take: Take,
) -> Result<&'static tables::Table, OutOfFrames> {
    let (root, address) = (root.0.0 << 12, page << 12);
    // SAFETY: a live space's tables stay; `take` gives unused frames.
    unsafe {
        tables::find_or_make(root, address, 1, WRITE | USER, take).ok_or(OutOfFrames)?;
        tables::leaf(root, address).map_err(|_| OutOfFrames)
    }
}
