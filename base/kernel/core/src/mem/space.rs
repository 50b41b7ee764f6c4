//! Region arithmetic: which ranges of an address space mean what. Page tables are not touched here.
//!
//! Regions never overlap. A range operation first splits regions at its two ends, then works on whole regions. A region that
//! came from a mapped descriptor holds one reference of its `Mapping`, and so does each part after a split.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use valence_abi::errno::{EEXIST, EINVAL, ENOMEM, Errno};
use valence_abi::flags::{PROT_EXEC, PROT_READ, PROT_WRITE};
use valence_abi::{PAGE_SIZE, USER_END};

use crate::io::file::File;
use crate::limits::{REGIONS_MAX, USER_START};
use crate::machine::{Cache, Frame, Page, Perms, Root};
use crate::slab::Id;

/// First page above user space (the last user page stays unmapped).
pub const END_PAGE: u64 = (USER_END / PAGE_SIZE) as u64 - 1;
/// First page that may be mapped.
pub const START_PAGE: u64 = (USER_START / PAGE_SIZE) as u64;

/// Rights of a region. Writable and executable together cannot be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Accessible at all.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

impl Rights {
    /// Readable and writable.
    pub const DATA: Self = Self {
        read: true,
        write: true,
        execute: false,
    };

    /// Decodes `PROT_*` bits; `EINVAL` for writable and executable.
    pub fn from_bits(bits: usize) -> Result<Self, Errno> {
        let (write, execute) = (bits & PROT_WRITE != 0, bits & PROT_EXEC != 0);
        if write && execute {
            return Err(EINVAL);
        }
        Ok(Self {
            read: bits & PROT_READ != 0 || write || execute,
            write,
            execute,
        })
    }

    /// `PROT_*` bits.
    pub fn bits(self) -> usize {
        let bit = |right: bool, bit: usize| if right { bit } else { 0 };
        bit(self.read, PROT_READ) | bit(self.write, PROT_WRITE) | bit(self.execute, PROT_EXEC)
    }
}

/// How a region's pages come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Zero pages on first use; copied on write after fork.
    Private,
    /// Present from the start; shared with whoever else maps the frames, also after fork.
    Shared,
    /// A user scheme's request buffers: like shared, but user space may not change it and fork skips it.
    Arena,
}

/// A mapped descriptor: told to its scheme by one `Munmap` when the last region with it is gone.
pub struct Mapping {
    /// The description, of which a mapping is one user.
    pub file: Id<File>,
    /// Offset at `MmapPrep`.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// `MAP_*` and `PROT_*` as given.
    pub flags: usize,
    /// Regions that hold it.
    pub references: u32,
}

/// A range with one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Length.
    pub pages: u64,
    /// What user space may do.
    pub rights: Rights,
    /// How pages come and go.
    pub kind: Kind,
    /// How it is cached.
    pub cache: Cache,
    /// The mapped descriptor.
    pub mapping: Option<Id<Mapping>>,
}

impl Region {
    /// Lazy private memory.
    pub fn private(pages: u64, rights: Rights) -> Self {
        Self {
            pages,
            rights,
            kind: Kind::Private,
            cache: Cache::WriteBack,
            mapping: None,
        }
    }

    /// Page-table rights of a page of this region.
    pub fn perms(&self, write: bool) -> Perms {
        Perms {
            write: self.rights.write && write,
            execute: self.rights.execute,
            cache: self.cache,
        }
    }

    fn joins(&self, other: &Self) -> bool {
        self.kind == Kind::Private
            && other.kind == Kind::Private
            && self.mapping.is_none()
            && other.mapping.is_none()
            && self.rights == other.rights
            && self.cache == other.cache
    }
}

/// An address space. It belongs to one process.
pub struct Space {
    /// Top page table.
    pub root: Root,
    /// By first page.
    pub regions: BTreeMap<u64, Region>,
    /// Pages whose region has no rights but whose content must stay.
    pub parked: BTreeMap<u64, Frame>,
    /// CPUs that have it loaded, one bit each.
    pub active: u64,
    /// Its process is gone; it is torn down when `active` is 0.
    pub dying: bool,
    /// Rights were taken away since the last flush.
    pub stale: bool,
    /// Mapped frames of RAM, for the process table.
    pub resident: usize,
    /// The group that its memory counts for.
    pub group: Option<crate::kernel::GroupId>,
    /// New mappings go below this page.
    pub top: u64,
    hint: u64,
}

impl Space {
    /// An empty space whose mappings go below `top`.
    pub fn new(root: Root, top: u64) -> Self {
        Self {
            root,
            regions: BTreeMap::new(),
            parked: BTreeMap::new(),
            active: 0,
            dying: false,
            stale: false,
            resident: 0,
            group: None,
            top,
            hint: top,
        }
    }

    /// New mappings go below this page from now on.
    pub fn set_top(&mut self, top: u64) {
        self.top = top;
        self.hint = top;
    }

    /// The region around a page, with its first page.
    pub fn find(&self, page: u64) -> Option<(u64, &Region)> {
        let (start, region) = self.regions.range(..=page).next_back()?;
        if page < start + region.pages {
            Some((*start, region))
        } else {
            None
        }
    }

    /// Whether nothing is in `start..start + pages`.
    pub fn is_free(&self, start: u64, pages: u64) -> bool {
        match self.regions.range(..start + pages).next_back() {
            Some((first, region)) => first + region.pages <= start,
            None => true,
        }
    }

    /// First page of a free range; below the last one found, or the highest gap.
    pub fn find_free(&mut self, pages: u64) -> Result<u64, Errno> {
        if pages == 0 || pages > END_PAGE {
            return Err(ENOMEM);
        }
        if let Some(start) = self.hint.checked_sub(pages)
            && start >= START_PAGE
            && self.is_free(start, pages)
        {
            self.hint = start;
            return Ok(start);
        }
        let mut end = self.top;
        for (start, region) in self.regions.range(..self.top).rev() {
            let after = start + region.pages;
            if after < end && end - after >= pages {
                break;
            }
            end = end.min(*start);
        }
        let start = end
            .checked_sub(pages)
            .filter(|s| *s >= START_PAGE)
            .ok_or(ENOMEM)?;
        if !self.is_free(start, pages) {
            return Err(ENOMEM);
        }
        self.hint = start;
        Ok(start)
    }

    /// A range is free again: it is tried first, so that a program that maps and unmaps stays in the same page tables (they are
    /// only freed with the space).
    pub fn released(&mut self, start: u64, pages: u64) {
        self.hint = self.hint.max((start + pages).min(self.top));
    }

    /// Checks a byte range of user memory and makes it pages: (first, count). `EINVAL` outside of user space.
    pub fn range(addr: usize, len: usize) -> Result<(u64, u64), Errno> {
        let end = addr.checked_add(len).ok_or(EINVAL)?;
        if !addr.is_multiple_of(PAGE_SIZE) || len == 0 || end > END_PAGE as usize * PAGE_SIZE {
            return Err(EINVAL);
        }
        Ok(((addr / PAGE_SIZE) as u64, len.div_ceil(PAGE_SIZE) as u64))
    }

    /// Adds a region to a free range, joining it with neighbours of the same kind.
    pub fn insert(&mut self, start: u64, region: Region) -> Result<(), Errno> {
        if !self.is_free(start, region.pages) {
            return Err(EEXIST);
        }
        let mut region = region;
        let next = start + region.pages;
        if let Some(after) = self.regions.get(&next).copied()
            && region.joins(&after)
        {
            self.regions.remove(&next);
            region.pages += after.pages;
        }
        if let Some((before, earlier)) = self.regions.range_mut(..start).next_back()
            && *before + earlier.pages == start
            && earlier.joins(&region)
        {
            earlier.pages += region.pages;
            return Ok(());
        }
        if self.regions.len() >= REGIONS_MAX {
            return Err(ENOMEM);
        }
        self.regions.insert(start, region);
        Ok(())
    }

    /// Makes `page` a border between regions. Tells which mapping has a region more now.
    pub fn split(&mut self, page: u64) -> Result<Option<Id<Mapping>>, Errno> {
        let Some((start, region)) = self.find(page) else {
            return Ok(None);
        };
        if start == page {
            return Ok(None);
        }
        let region = *region;
        if self.regions.len() >= REGIONS_MAX {
            return Err(ENOMEM);
        }
        self.regions.insert(
            start,
            Region {
                pages: page - start,
                ..region
            },
        );
        self.regions.insert(
            page,
            Region {
                pages: start + region.pages - page,
                ..region
            },
        );
        Ok(region.mapping)
    }

    /// The regions that begin inside the range, as (first page, region). After `split` at both ends these cover it.
    pub fn inside(&self, start: u64, pages: u64) -> Vec<(u64, Region)> {
        self.regions
            .range(start..start + pages)
            .map(|(page, region)| (*page, *region))
            .collect()
    }

    /// Whether any region of the range is out of user space's hands.
    pub fn has_arena(&self, start: u64, pages: u64) -> bool {
        let first = self.find(start).map_or(start, |(page, _)| page);
        self.regions
            .range(first..start + pages)
            .any(|(_, region)| region.kind == Kind::Arena)
    }

    /// Page number as the machine takes it.
    pub fn page(number: u64) -> Page {
        Page(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space::new(Root(Frame(1)), 0x7_0000)
    }

    #[test]
    fn neighbours_of_the_same_kind_are_joined_and_split_again() {
        let mut space = space();
        space
            .insert(0x100, Region::private(4, Rights::DATA))
            .unwrap();
        space
            .insert(0x108, Region::private(4, Rights::DATA))
            .unwrap();
        space
            .insert(0x104, Region::private(4, Rights::DATA))
            .unwrap();
        assert_eq!(space.regions.len(), 1);
        space.split(0x106).unwrap();
        assert_eq!(
            space
                .find(0x105)
                .map(|(start, region)| (start, region.pages)),
            Some((0x100, 6))
        );
        assert_eq!(
            space
                .find(0x10B)
                .map(|(start, region)| (start, region.pages)),
            Some((0x106, 6))
        );
        assert!(space.find(0x10C).is_none());
    }

    #[test]
    fn overlaps_are_refused() {
        let mut space = space();
        space
            .insert(0x100, Region::private(4, Rights::DATA))
            .unwrap();
        assert_eq!(
            space.insert(0x103, Region::private(1, Rights::DATA)),
            Err(EEXIST)
        );
        assert_eq!(
            space.insert(0xFE, Region::private(3, Rights::DATA)),
            Err(EEXIST)
        );
        assert!(space.is_free(0xFE, 2) && space.is_free(0x104, 1));
    }

    #[test]
    fn free_ranges_go_down_and_fill_gaps_when_the_floor_is_reached() {
        let mut space = Space::new(Root(Frame(1)), START_PAGE + 10);
        let first = space.find_free(6).unwrap();
        space
            .insert(first, Region::private(6, Rights::DATA))
            .unwrap();
        assert_eq!(first, START_PAGE + 4);
        let second = space.find_free(4).unwrap();
        space
            .insert(second, Region::private(4, Rights::default()))
            .unwrap();
        assert_eq!(space.find_free(1), Err(ENOMEM));
        space.regions.remove(&first);
        assert_eq!(space.find_free(6), Ok(first));
    }

    #[test]
    fn a_range_that_comes_and_goes_stays_where_it_was() {
        let mut space = space();
        let low = space.find_free(3).unwrap();
        space.insert(low, Region::private(3, Rights::DATA)).unwrap();
        for pages in [40, 7, 90, 40] {
            let start = space.find_free(pages).unwrap();
            space
                .insert(
                    start,
                    Region {
                        kind: Kind::Arena,
                        ..Region::private(pages, Rights::DATA)
                    },
                )
                .unwrap();
            assert_eq!(start + pages, low);
            space.regions.remove(&start);
            space.released(start, pages);
        }
    }

    #[test]
    fn writable_and_executable_is_refused() {
        assert_eq!(Rights::from_bits(PROT_WRITE | PROT_EXEC), Err(EINVAL));
        assert!(Rights::from_bits(PROT_EXEC).is_ok_and(|rights| rights.read && !rights.write));
    }
}
