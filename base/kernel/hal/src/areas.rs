//! Free physical memory while the machine starts: a short sorted list of ranges that boot takes pieces from.
//!
//! Pure arithmetic over whole pages, tested on the host. What is left at the end goes to the kernel. A range that any
//! reserved area touches is never free, whatever the firmware's list says about it elsewhere.

use valence_abi::PAGE_SIZE;
use valence_abi::boot::{MemoryArea, area};

use crate::limits::{MAX_AREAS, RAM_LIMIT};

const PAGE: u64 = PAGE_SIZE as u64;

/// A half-open range of physical addresses, both ends on page boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
}

/// A sorted list of ranges that do not touch each other.
#[derive(Clone, Debug)]
pub struct FreeRanges {
    ranges: [Range; MAX_AREAS],
    count: usize,
}

impl Default for FreeRanges {
    fn default() -> Self {
        Self::new()
    }
}

impl FreeRanges {
    /// An empty list.
    pub const fn new() -> Self {
        Self {
            ranges: [Range { start: 0, end: 0 }; MAX_AREAS],
            count: 0,
        }
    }

    /// The areas of one kind, less everything that an area of kind `RESERVED` or of another kind covers.
    pub fn of_kind(areas: &[MemoryArea], kind: u64) -> Self {
        let mut free = Self::new();
        for a in areas.iter().filter(|a| a.kind == kind) {
            let start = a.base.saturating_add(PAGE - 1) & !(PAGE - 1);
            let end = a.base.saturating_add(a.size).min(RAM_LIMIT) & !(PAGE - 1);
            free.add(Range { start, end });
        }
        for a in areas.iter().filter(|a| a.kind != kind) {
            let end = a.base.saturating_add(a.size).saturating_add(PAGE - 1) & !(PAGE - 1);
            free.remove(Range {
                start: a.base & !(PAGE - 1),
                end,
            });
        }
        free
    }

    /// The ranges, lowest first.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges[..self.count]
    }

    /// Bytes in all ranges together.
    pub fn total(&self) -> u64 {
        self.ranges().iter().map(|r| r.end - r.start).sum()
    }

    /// Adds a range, joining those it touches. When the list is full the range stays unused.
    pub fn add(&mut self, range: Range) {
        if range.start >= range.end {
            return;
        }
        let mut new = range;
        let mut kept = 0;
        for i in 0..self.count {
            let r = self.ranges[i];
            if r.end < new.start || r.start > new.end {
                self.ranges[kept] = r;
                kept += 1;
            } else {
                new = Range {
                    start: new.start.min(r.start),
                    end: new.end.max(r.end),
                };
            }
        }
        self.count = kept;
        self.insert(new);
    }

    /// Takes a range out of the list, splitting what it lies in.
    pub fn remove(&mut self, range: Range) {
        if range.start >= range.end {
            return;
        }
        let old = self.clone();
        self.count = 0;
        for r in old.ranges() {
            self.insert(Range {
                start: r.start,
                end: r.end.min(range.start),
            });
            self.insert(Range {
                start: r.start.max(range.end),
                end: r.end,
            });
        }
    }

    /// Takes `size` bytes (whole pages) that end at or below `limit`, from the highest range that has them.
    pub fn take(&mut self, size: u64, limit: u64) -> Option<u64> {
        let size = size.checked_add(PAGE - 1)? & !(PAGE - 1);
        let found = self.ranges().iter().rev().find_map(|r| {
            let start = r.end.min(limit).checked_sub(size)? & !(PAGE - 1);
            (start >= r.start).then_some(start)
        })?;
        self.remove(Range {
            start: found,
            end: found + size,
        });
        Some(found)
    }

    fn insert(&mut self, range: Range) {
        if range.start >= range.end || self.count == MAX_AREAS {
            return;
        }
        let at = self.ranges().partition_point(|r| r.start < range.start);
        self.ranges.copy_within(at..self.count, at + 1);
        self.ranges[at] = range;
        self.count += 1;
    }
}

/// The end of the highest RAM of any kind that the list names below [`RAM_LIMIT`].
pub fn top_of_ram(areas: &[MemoryArea]) -> u64 {
    let ram = areas
        .iter()
        .filter(|a| a.kind == area::FREE || a.kind == area::LOADER);
    ram.map(|a| a.base.saturating_add(a.size).min(RAM_LIMIT))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn area(base: u64, size: u64, kind: u64) -> MemoryArea {
        MemoryArea { base, size, kind }
    }

    fn list(free: &FreeRanges) -> Vec<(u64, u64)> {
        free.ranges().iter().map(|r| (r.start, r.end)).collect()
    }

    #[test]
    fn neighbours_join_and_partial_pages_are_dropped() {
        let areas = [
            area(0x5000, 0x1000, area::FREE),
            area(0x1000, 0x2800, area::FREE),
            area(0x4000, 0x1000, area::FREE),
        ];
        let free = FreeRanges::of_kind(&areas, area::FREE);
        assert_eq!(list(&free), [(0x1000, 0x3000), (0x4000, 0x6000)]);
    }

    #[test]
    fn reserved_memory_wins_over_free_memory_it_overlaps() {
        let areas = [
            area(0, 0x10000, area::FREE),
            area(0x3800, 0x1000, area::RESERVED),
        ];
        let free = FreeRanges::of_kind(&areas, area::FREE);
        assert_eq!(list(&free), [(0, 0x3000), (0x5000, 0x10000)]);
    }

    #[test]
    fn absurd_areas_do_not_overflow() {
        let areas = [
            area(u64::MAX - 10, u64::MAX, area::FREE),
            area(0, 0x2000, area::FREE),
            area(0x1000, u64::MAX, area::RESERVED),
        ];
        assert_eq!(
            list(&FreeRanges::of_kind(&areas, area::FREE)),
            [(0, 0x1000)]
        );
        assert_eq!(top_of_ram(&areas), RAM_LIMIT);
    }

    #[test]
    fn take_prefers_high_memory_under_the_limit() {
        let areas = [
            area(0, 0x10000, area::FREE),
            area(0x20000, 0x10000, area::FREE),
        ];
        let mut free = FreeRanges::of_kind(&areas, area::FREE);
        assert_eq!(free.take(0x1001, u64::MAX), Some(0x2e000));
        assert_eq!(free.take(0x1000, 0x8000), Some(0x7000));
        assert_eq!(free.take(0x20000, u64::MAX), None);
        assert_eq!(free.total(), 0x1d000);
    }

    #[test]
    fn a_list_longer_than_the_table_is_cut_short() {
        let areas: Vec<_> = (0..2 * MAX_AREAS as u64)
            .map(|i| area(i * 0x2000, 0x1000, area::FREE))
            .collect();
        let free = FreeRanges::of_kind(&areas, area::FREE);
        assert_eq!(free.ranges().len(), MAX_AREAS);
    }
}
