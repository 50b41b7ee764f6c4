//! Page-table entries: the bits, and the translation between them and `Perms`.
//!
//! Pure. The page-attribute table is programmed so that the PAT bit alone selects write-combining and PWT with PCD
//! selects uncached (see `features`); the other combinations are not used (Intel SDM vol. 3, 12.12 and 4.5).

use kernel_core::machine::{Cache, Frame, Page, Perms};

/// The entry is in use.
pub const PRESENT: u64 = 1;
/// Writable.
pub const WRITE: u64 = 1 << 1;
/// Reachable from user mode.
pub const USER: u64 = 1 << 2;
/// Write-through.
pub const PWT: u64 = 1 << 3;
/// Cache disable.
pub const PCD: u64 = 1 << 4;
/// A large page (in levels 2 and 3).
pub const LARGE: u64 = 1 << 7;
/// Third attribute bit, of 4 KiB pages.
pub const PAT: u64 = 1 << 7;
/// Kept when the address space changes.
pub const GLOBAL: u64 = 1 << 8;
/// Not executable.
pub const NO_EXECUTE: u64 = 1 << 63;
/// The physical address.
pub const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// Entries in a table.
pub const ENTRIES: usize = 512;

/// The entry that maps a frame for user mode.
pub fn user(frame: Frame, perms: Perms) -> u64 {
    let cache = match perms.cache {
        Cache::WriteBack => 0,
        Cache::WriteCombine => PAT,
        Cache::Uncached => PCD | PWT,
    };
    let write = if perms.write { WRITE } else { 0 };
    let execute = if perms.execute { 0 } else { NO_EXECUTE };
    ((frame.0 << 12) & ADDRESS) | PRESENT | USER | cache | write | execute
}

/// What such an entry maps.
pub fn decode(entry: u64) -> Option<(Frame, Perms)> {
    if entry & PRESENT == 0 {
        return None;
    }
    let cache = match (entry & PAT != 0, entry & PCD != 0) {
        (true, _) => Cache::WriteCombine,
        (_, true) => Cache::Uncached,
        _ => Cache::WriteBack,
    };
    let perms = Perms {
        write: entry & WRITE != 0,
        execute: entry & NO_EXECUTE == 0,
        cache,
    };
    Some((Frame((entry & ADDRESS) >> 12), perms))
}

/// The index of an address in the table of a level (4 is the top, 1 the last).
pub fn index(address: u64, level: u32) -> usize {
    ((address >> (12 + 9 * (level - 1))) & 0x1FF) as usize
}

/// Whether the page is in the user half, leaving out the highest page (a `syscall` as its last instruction would
/// return to a non-canonical address).
pub fn is_user(page: Page) -> bool {
    page.0 < ((valence_abi::USER_END as u64) >> 12) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_mapping_survives_encoding() {
        for write in [false, true] {
            for execute in [false, true] {
                for cache in [Cache::WriteBack, Cache::WriteCombine, Cache::Uncached] {
                    let perms = Perms {
                        write,
                        execute,
                        cache,
                    };
                    assert_eq!(
                        decode(user(Frame(0x12345), perms)),
                        Some((Frame(0x12345), perms))
                    );
                }
            }
        }
        assert_eq!(decode(0), None);
    }

    #[test]
    fn a_frame_number_cannot_spill_into_the_flags() {
        let perms = Perms {
            write: false,
            execute: false,
            cache: Cache::WriteBack,
        };
        assert_eq!(
            user(Frame(u64::MAX), perms) & !ADDRESS,
            PRESENT | USER | NO_EXECUTE
        );
    }

    #[test]
    fn indexes_follow_the_nine_bit_groups() {
        let address = 0xFFFF_FFFF_8020_3000;
        let all: [usize; 4] = core::array::from_fn(|i| index(address, 4 - i as u32));
        assert_eq!(all, [511, 510, 1, 3]);
    }

    #[test]
    fn the_last_user_page_is_left_out() {
        assert!(is_user(Page(0x7_FFFF_FFFE)));
        assert!(!is_user(Page(0x7_FFFF_FFFF)));
        assert!(!is_user(Page(0x8_0000_0000)));
    }
}
