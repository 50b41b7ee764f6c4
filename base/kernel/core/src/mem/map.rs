//! Changing what is mapped: anonymous and shared memory, `munmap`, `mprotect`, `mremap`.
//!
//! Each operation checks first, splits regions at its borders, then works on whole regions.

use alloc::vec::Vec;

use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EEXIST, EINVAL, ENOMEM, EPERM, Errno};
use valence_abi::flags::{MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED};

use crate::kernel::{Kernel, MappingId, SpaceId};
use crate::limits::{LIMBO_MAX, MAPPING_PAGES_MAX, UNMAP_PAGES};
use crate::machine::{Cache, Frame, Machine, Page};
use crate::mem::space::{Kind, Region, Rights, START_PAGE, Space};

/// What a scheme of the kernel gives to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Fresh zero memory.
    Anonymous,
    /// These adjoining frames, which may be device memory. Ownership of frames of RAM comes with it.
    Frames {
        /// The first.
        first: Frame,
        /// How the mapping is cached.
        cache: Cache,
    },
}

impl<M: Machine> Kernel<M> {
    /// Picks where a mapping goes and clears the place: first page.
    pub(crate) fn place(
        &mut self,
        id: SpaceId,
        addr: usize,
        len: usize,
        flags: usize,
    ) -> Result<u64, Errno> {
        if len == 0 || len > valence_abi::USER_END {
            return Err(EINVAL);
        }
        let fixed = flags & MAP_FIXED_NOREPLACE;
        if fixed & MAP_FIXED == 0 {
            let pages = len.div_ceil(PAGE_SIZE) as u64;
            let space = self.space_mut(id)?;
            if let Ok((start, _)) = Space::range(addr, len)
                && start >= START_PAGE
                && space.is_free(start, pages)
            {
                return Ok(start);
            }
            return space.find_free(pages);
        }
        let (start, pages) = Space::range(addr, len)?;
        if start < START_PAGE {
            return Err(EINVAL);
        }
        let space = self.space_mut(id)?;
        if fixed == MAP_FIXED_NOREPLACE && !space.is_free(start, pages) {
            return Err(EEXIST);
        }
        self.unmap_range(id, start, pages)?;
        Ok(start)
    }

    /// Maps fresh zero memory.
    pub(crate) fn map_anonymous(
        &mut self,
        id: SpaceId,
        addr: usize,
        len: usize,
        flags: usize,
    ) -> Result<usize, Errno> {
        let rights = Rights::from_bits(flags)?;
        let shared = flags & MAP_SHARED != 0 && flags & MAP_PRIVATE == 0;
        let pages = len.div_ceil(PAGE_SIZE);
        let limit = if shared {
            self.frames.free_count()
        } else {
            self.frames.total_count()
        };
        if rights.write && pages > limit {
            return Err(ENOMEM);
        }
        let start = self.place(id, addr, len, flags)?;
        let region = Region::private(pages as u64, rights);
        if shared {
            self.map_shared_zero(
                id,
                start,
                Region {
                    kind: Kind::Shared,
                    ..region
                },
            )?;
        } else {
            self.space_mut(id)?.insert(start, region)?;
        }
        Ok(start as usize * PAGE_SIZE)
    }

    fn map_shared_zero(&mut self, id: SpaceId, start: u64, region: Region) -> Result<(), Errno> {
        self.space_mut(id)?.insert(start, region)?;
        for page in start..start + region.pages {
            let done = self
                .frame_zeroed()
                .and_then(|frame| self.put_page(id, page, frame));
            if let Err(errno) = done {
                let _ = self.unmap_range(id, start, region.pages);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Gives a page of an existing region its frame, whose ownership passes to the space (also on failure, when it is released).
    pub(crate) fn put_page(&mut self, id: SpaceId, page: u64, frame: Frame) -> Result<(), Errno> {
        let region = self
            .space_mut(id)?
            .find(page)
            .map(|(_, region)| *region)
            .ok_or(EINVAL);
        // Request buffers are the kernel's: they do not count for the daemon that sees them.
        let counted = region.is_ok_and(|region| region.kind != Kind::Arena);
        let charged = if counted {
            self.space_charge(id, 1)
        } else {
            Ok(())
        };
        let done = charged.and(region).and_then(|region| {
            if !region.rights.read {
                self.space_mut(id)?.parked.insert(page, frame);
                return Ok(());
            }
            let write = region.kind != Kind::Private || self.frames.owners(frame) <= 1;
            self.map_page(id, page, frame, &region, write)
        });
        if done.is_err() {
            self.frames.release(frame);
            if counted && charged.is_ok() {
                self.space_uncharge(id, 1);
            }
        }
        done
    }

    /// Maps frames at `start` (a free place); their ownership passes to the space.
    pub(crate) fn map_frames(
        &mut self,
        id: SpaceId,
        start: u64,
        region: Region,
        frames: &[Frame],
    ) -> Result<(), Errno> {
        let mut result = self.space_mut(id)?.insert(start, region);
        let inserted = result.is_ok();
        for (page, frame) in (start..).zip(frames) {
            if result.is_err() {
                self.frames.release(*frame);
            } else {
                result = self.put_page(id, page, *frame);
            }
        }
        if result.is_err() && inserted {
            let _ = self.unmap_range(id, start, region.pages);
        }
        result
    }

    /// Maps what a kernel scheme gave.
    pub(crate) fn map_source(
        &mut self,
        id: SpaceId,
        addr: usize,
        len: usize,
        flags: usize,
        source: Source,
    ) -> Result<usize, Errno> {
        let Source::Frames { first, cache } = source else {
            return self.map_anonymous(id, addr, len, flags);
        };
        let pages = len.div_ceil(PAGE_SIZE) as u64;
        let placed = Rights::from_bits(flags)
            .and_then(|rights| Ok((rights, self.place(id, addr, len, flags)?)));
        let mut frames: Vec<Frame> = Vec::new();
        if pages as usize > MAPPING_PAGES_MAX || frames.try_reserve_exact(pages as usize).is_err() {
            (first.0..first.0 + pages).for_each(|frame| self.frames.release(Frame(frame)));
            return Err(ENOMEM);
        }
        frames.extend((first.0..first.0 + pages).map(Frame));
        let (rights, start) = match placed {
            Ok(placed) => placed,
            Err(errno) => {
                frames.iter().for_each(|frame| self.frames.release(*frame));
                return Err(errno);
            }
        };
        let region = Region {
            kind: Kind::Shared,
            cache,
            ..Region::private(pages, rights)
        };
        self.map_frames(id, start, region, &frames)?;
        Ok(start as usize * PAGE_SIZE)
    }

    /// Splits regions at both ends of a range and counts the references of split mappings.
    pub(crate) fn split_range(&mut self, id: SpaceId, start: u64, pages: u64) -> Result<(), Errno> {
        for border in [start, start + pages] {
            if let Some(mapping) = self.space_mut(id)?.split(border)?
                && let Some(mapping) = self.mappings.get_mut(mapping)
            {
                mapping.references += 1;
            }
        }
        Ok(())
    }

    /// `MUNMAP` of whole pages. Holes are fine.
    pub(crate) fn unmap_range(&mut self, id: SpaceId, start: u64, pages: u64) -> Result<(), Errno> {
        if self.space_mut(id)?.has_arena(start, pages) {
            return Err(EPERM);
        }
        self.split_range(id, start, pages)?;
        for (page, region) in self.space_mut(id)?.inside(start, pages) {
            self.remove_region(id, page, region);
        }
        Ok(())
    }

    /// Takes a whole region away with its pages.
    pub(crate) fn remove_region(&mut self, id: SpaceId, start: u64, region: Region) {
        let Some(space) = self.spaces.get_mut(id) else {
            return;
        };
        space.regions.remove(&start);
        space.released(start, region.pages);
        let (root, end) = (space.root, Page(start + region.pages));
        let mut parked = space.parked.split_off(&start);
        space.parked.append(&mut parked.split_off(&end.0));
        let mut count = parked.len();
        let elsewhere = space.active & !(1 << self.cpu) != 0;
        if elsewhere {
            // Other CPUs may still use these translations: the frames go back after the flush.
            let mut at = start;
            while at < end.0 {
                let next = at.saturating_add(UNMAP_PAGES).min(end.0);
                let limbo = &mut self.limbo;
                self.machine
                    .unmap_range(root, (Page(at), Page(next)), &mut |frame| {
                        limbo.push(frame);
                        count += 1;
                    });
                at = self
                    .machine
                    .next_mapped(root, Page(next), end)
                    .map_or(end.0, |page| page.0);
                if self.limbo.len() >= LIMBO_MAX {
                    self.mark_stale(id);
                    self.flush_stale();
                }
            }
        } else {
            let frames = &mut self.frames;
            self.machine
                .unmap_range(root, (Page(start), end), &mut |frame| {
                    frames.release(frame);
                    count += 1;
                });
        }
        if count > parked.len() {
            self.mark_stale(id);
        }
        for frame in parked.into_values() {
            self.frames.release(frame);
        }
        if region.kind != Kind::Arena {
            self.space_uncharge(id, count);
        }
        if let Some(mapping) = region.mapping {
            self.mapping_release(mapping);
        }
    }

    /// One region less holds the mapping; after the last the scheme is told.
    pub(crate) fn mapping_release(&mut self, id: MappingId) {
        let Some(mapping) = self.mappings.get_mut(id) else {
            return;
        };
        mapping.references -= 1;
        if mapping.references == 0
            && let Some(mapping) = self.mappings.remove(id)
        {
            self.scheme_munmap(&mapping);
            self.file_release(mapping.file);
        }
    }

    /// `MPROTECT`.
    pub(crate) fn protect(
        &mut self,
        id: SpaceId,
        addr: usize,
        len: usize,
        bits: usize,
    ) -> Result<(), Errno> {
        let rights = Rights::from_bits(bits)?;
        let (start, pages) = Space::range(addr, len)?;
        let space = self.space_mut(id)?;
        if space.has_arena(start, pages) {
            return Err(EPERM);
        }
        let mut at = start;
        while at < start + pages {
            let (first, region) = space.find(at).ok_or(ENOMEM)?;
            at = first + region.pages;
        }
        self.split_range(id, start, pages)?;
        for (page, region) in self.space_mut(id)?.inside(start, pages) {
            self.protect_region(id, page, Region { rights, ..region })?;
        }
        Ok(())
    }

    fn protect_region(&mut self, id: SpaceId, start: u64, region: Region) -> Result<(), Errno> {
        let end = Page(start + region.pages);
        let Some(space) = self.spaces.get_mut(id) else {
            return Err(EINVAL);
        };
        space.regions.insert(start, region);
        let root = space.root;
        let mut at = Page(start);
        while let Some(page) = self.machine.next_mapped(root, at, end) {
            at = Page(page.0 + 1);
            let Some((frame, _)) = self.machine.lookup(root, page) else {
                continue;
            };
            if region.rights.read {
                let write = region.kind != Kind::Private || self.frames.owners(frame) == 1;
                self.map_page(id, page.0, frame, &region, write)?;
            } else {
                self.machine.unmap(root, page);
                self.space_mut(id)?.parked.insert(page.0, frame);
            }
        }
        self.mark_stale(id);
        if !region.rights.read {
            return Ok(());
        }
        let space = self.space_mut(id)?;
        let mut parked = space.parked.split_off(&start);
        space.parked.append(&mut parked.split_off(&end.0));
        for (page, frame) in parked {
            let write = region.kind != Kind::Private || self.frames.owners(frame) == 1;
            self.map_page(id, page, frame, &region, write)?;
        }
        Ok(())
    }

    /// `MREMAP`: private anonymous memory only.
    pub(crate) fn remap(
        &mut self,
        id: SpaceId,
        addr: usize,
        old_len: usize,
        new_len: usize,
        may_move: bool,
    ) -> Result<usize, Errno> {
        let (start, old) = Space::range(addr, old_len)?;
        let (_, new) = Space::range(addr, new_len)?;
        let space = self.space_mut(id)?;
        let (first, region) = space.find(start).ok_or(EINVAL)?;
        let region = *region;
        let plain = region.kind == Kind::Private && region.mapping.is_none();
        if !plain || start + old > first + region.pages {
            return Err(EINVAL);
        }
        if new <= old {
            if new < old {
                self.unmap_range(id, start + new, old - new)?;
            }
            return Ok(addr);
        }
        if new as usize > self.frames.total_count() {
            return Err(ENOMEM);
        }
        let space = self.space_mut(id)?;
        if space.is_free(start + old, new - old) {
            space.insert(
                start + old,
                Region {
                    pages: new - old,
                    ..region
                },
            )?;
            return Ok(addr);
        }
        if !may_move {
            return Err(ENOMEM);
        }
        let target = space.find_free(new)?;
        self.split_range(id, start, old)?;
        self.move_pages(
            id,
            start,
            old,
            target,
            Region {
                pages: new,
                ..region
            },
        )?;
        Ok(target as usize * PAGE_SIZE)
    }

    fn move_pages(
        &mut self,
        id: SpaceId,
        start: u64,
        pages: u64,
        target: u64,
        region: Region,
    ) -> Result<(), Errno> {
        let space = self.space_mut(id)?;
        space.insert(target, region)?;
        let (root, end) = (space.root, Page(start + pages));
        let mut at = Page(start);
        while let Some(page) = self.machine.next_mapped(root, at, end) {
            at = Page(page.0 + 1);
            let Some((frame, perms)) = self.machine.lookup(root, page) else {
                continue;
            };
            let to = target + (page.0 - start);
            self.map_page(id, to, frame, &region, perms.write)?;
            self.machine.unmap(root, page);
        }
        let space = self.space_mut(id)?;
        let mut parked = space.parked.split_off(&start);
        space.parked.append(&mut parked.split_off(&end.0));
        for (page, frame) in parked {
            space.parked.insert(target + (page - start), frame);
        }
        space.regions.remove(&start);
        self.mark_stale(id);
        Ok(())
    }
}
