//! From the firmware's memory map to the kernel's list of areas.

use valence_abi::PAGE_SIZE;
use valence_abi::boot::{MemoryArea, area};

use crate::limits::AREAS_MAX;

/// A list of areas being made.
#[derive(Clone, Debug)]
pub struct Areas {
    list: [MemoryArea; AREAS_MAX],
    count: usize,
}

impl Default for Areas {
    fn default() -> Self {
        Self {
            list: [MemoryArea::default(); AREAS_MAX],
            count: 0,
        }
    }
}

impl Areas {
    /// Adds an area; one that continues the last is joined to it. When the list is full the area is left out, so
    /// what must not be lost is added first.
    pub fn push(&mut self, base: u64, size: u64, kind: u64) {
        if size == 0 {
            return;
        }
        if let Some(last) = self.count.checked_sub(1).and_then(|i| self.list.get_mut(i))
            && last.kind == kind
            && last.base.checked_add(last.size) == Some(base)
        {
            last.size = last.size.saturating_add(size);
        } else if let Some(slot) = self.list.get_mut(self.count) {
            *slot = MemoryArea { base, size, kind };
            self.count += 1;
        }
    }

    /// The areas.
    pub fn as_slice(&self) -> &[MemoryArea] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

/// Kind of an area by the UEFI type number (UEFI 2.10, 7.2): what the firmware and this loader no longer need once the
/// kernel runs is free.
pub fn kind(uefi_type: u32) -> u64 {
    const LOADER_CODE: u32 = 1;
    const LOADER_DATA: u32 = 2;
    const BOOT_SERVICES_CODE: u32 = 3;
    const BOOT_SERVICES_DATA: u32 = 4;
    const CONVENTIONAL: u32 = 7;
    match uefi_type {
        LOADER_CODE | LOADER_DATA => area::LOADER,
        BOOT_SERVICES_CODE | BOOT_SERVICES_DATA | CONVENTIONAL => area::FREE,
        _ => area::RESERVED,
    }
}

/// Bytes in a number of pages.
pub fn pages_to_bytes(pages: u64) -> u64 {
    pages.saturating_mul(PAGE_SIZE as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_kind_join() {
        let mut areas = Areas::default();
        for (base, kind) in [
            (0, area::FREE),
            (0x1000, area::FREE),
            (0x2000, area::RESERVED),
        ] {
            areas.push(base, 0x1000, kind);
        }
        areas.push(0x4000, 0x1000, area::RESERVED);
        areas.push(0x9000, 0, area::FREE);
        let found: [(u64, u64); 3] =
            core::array::from_fn(|i| (areas.as_slice()[i].base, areas.as_slice()[i].size));
        assert_eq!(found, [(0, 0x2000), (0x2000, 0x1000), (0x4000, 0x1000)]);
        assert_eq!(areas.as_slice().len(), 3);
    }

    #[test]
    fn a_full_list_drops_the_rest() {
        let mut areas = Areas::default();
        for i in 0..2 * AREAS_MAX as u64 {
            areas.push(i * 0x2000, 0x1000, area::FREE);
        }
        assert_eq!(areas.as_slice().len(), AREAS_MAX);
        areas.push(u64::MAX, u64::MAX, area::FREE);
    }

    #[test]
    fn firmware_run_time_memory_and_unknown_types_stay_reserved() {
        assert_eq!(kind(7), area::FREE);
        assert_eq!(kind(2), area::LOADER);
        for t in [0, 5, 6, 8, 9, 10, 11, 12, 14, 0x8000_0000] {
            assert_eq!(kind(t), area::RESERVED);
        }
    }
}
