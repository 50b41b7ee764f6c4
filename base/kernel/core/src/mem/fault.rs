//! Making pages present: lazy zero pages, copy on write. Used by page faults and by the kernel's own copies alike.

use valence_abi::PAGE_SIZE;
use valence_abi::errno::{EFAULT, ENOMEM, Errno};

use crate::kernel::{Kernel, SpaceId};
use crate::limits::{FAULT_AROUND, LIMBO_MAX};
use crate::machine::{Frame, Machine, Page};
use crate::mem::space::{Kind, Region, Space};
use crate::task::group::Resource;

/// What a page is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Instruction fetch.
    Execute,
}

impl<M: Machine> Kernel<M> {
    /// A frame of zeros for a user.
    pub(crate) fn frame_zeroed(&mut self) -> Result<Frame, Errno> {
        let frame = self.frames.take_user().ok_or(ENOMEM)?;
        self.machine.frame_mut(frame).fill(0);
        Ok(frame)
    }

    /// The frame behind a user page, made present for this access. `EFAULT` without the right, `ENOMEM` without a frame.
    pub(crate) fn resolve(
        &mut self,
        id: SpaceId,
        page: u64,
        access: Access,
    ) -> Result<Frame, Errno> {
        let space = self.spaces.get_mut(id).ok_or(EFAULT)?;
        let present = self.machine.lookup(space.root, Page(page));
        if let Some((frame, perms)) = present {
            let allowed = match access {
                Access::Read => true,
                Access::Write => perms.write,
                Access::Execute => perms.execute,
            };
            if allowed {
                return Ok(frame);
            }
        }
        let (_, region) = space.find(page).ok_or(EFAULT)?;
        let region = *region;
        let allowed = match access {
            Access::Read => region.rights.read,
            Access::Write => region.rights.write,
            Access::Execute => region.rights.execute,
        };
        if !allowed {
            return Err(EFAULT);
        }
        match present {
            None => self.fill(id, page, region),
            Some((frame, _)) if access == Access::Write => self.unshare(id, page, region, frame),
            Some((frame, _)) => {
                let owned = self.frames.owners(frame) <= 1 || region.kind != Kind::Private;
                self.map_page(id, page, frame, &region, owned)?;
                Ok(frame)
            }
        }
    }

    /// Counts pages of a space, for the process table and for its group's limit.
    pub(crate) fn space_charge(&mut self, id: SpaceId, pages: usize) -> Result<(), Errno> {
        let group = self.spaces.get(id).ok_or(EFAULT)?.group;
        self.charge(group, Resource::Memory, pages as u64)?;
        if let Some(space) = self.spaces.get_mut(id) {
            space.resident += pages;
        }
        Ok(())
    }

    /// Takes pages back from the count; never more than were counted.
    pub(crate) fn space_uncharge(&mut self, id: SpaceId, pages: usize) {
        let Some(space) = self.spaces.get_mut(id) else {
            return;
        };
        let (group, pages) = (space.group, pages.min(space.resident));
        space.resident -= pages;
        self.uncharge(group, Resource::Memory, pages as u64);
    }

    /// Maps a page without counting owners.
    pub(crate) fn map_page(
        &mut self,
        id: SpaceId,
        page: u64,
        frame: Frame,
        region: &Region,
        write: bool,
    ) -> Result<(), Errno> {
        let space = self.spaces.get(id).ok_or(EFAULT)?;
        self.machine
            .map(
                space.root,
                Page(page),
                frame,
                region.perms(write),
                &mut self.frames,
            )
            .map_err(|_| ENOMEM)
    }

    fn fill(&mut self, id: SpaceId, page: u64, region: Region) -> Result<Frame, Errno> {
        if region.kind != Kind::Private {
            return Err(EFAULT);
        }
        self.space_charge(id, 1)?;
        let frame = match self.frame_zeroed() {
            Ok(frame) => frame,
            Err(errno) => {
                self.space_uncharge(id, 1);
                return Err(errno);
            }
        };
        if let Err(errno) = self.map_page(id, page, frame, &region, true) {
            self.frames.release(frame);
            self.space_uncharge(id, 1);
            return Err(errno);
        }
        Ok(frame)
    }

    fn unshare(
        &mut self,
        id: SpaceId,
        page: u64,
        region: Region,
        frame: Frame,
    ) -> Result<Frame, Errno> {
        if region.kind != Kind::Private || self.frames.owners(frame) == 1 {
            self.map_page(id, page, frame, &region, true)?;
            return Ok(frame);
        }
        let copy = self.frames.take_user().ok_or(ENOMEM)?;
        self.machine.frame_copy(frame, copy);
        if let Err(errno) = self.map_page(id, page, copy, &region, true) {
            self.frames.release(copy);
            return Err(errno);
        }
        self.release_mapped(id, frame);
        Ok(copy)
    }

    /// Fills the neighbours of a page that a program just touched for the first time: programs use memory in runs, and a
    /// fault costs more than a page. Only while memory is plentiful.
    pub(crate) fn fill_around(&mut self, id: SpaceId, page: u64) {
        if self.frames.free_count() < self.frames.total_count() / 4 {
            return;
        }
        let Some(space) = self.spaces.get(id) else {
            return;
        };
        let Some((start, region)) = space.find(page) else {
            return;
        };
        if region.kind != Kind::Private || !region.rights.write || region.mapping.is_some() {
            return;
        }
        let (root, region) = (space.root, *region);
        let first = (page - page % FAULT_AROUND).max(start);
        let end = (page - page % FAULT_AROUND + FAULT_AROUND).min(start + region.pages);
        for near in first..end {
            if self.machine.lookup(root, Page(near)).is_none()
                && self.fill(id, near, region).is_err()
            {
                return;
            }
        }
    }

    /// Notes that other CPUs must drop translations of this space before the kernel is left.
    pub(crate) fn mark_stale(&mut self, id: SpaceId) {
        if let Some(space) = self.spaces.get_mut(id)
            && !space.stale
        {
            space.stale = true;
            self.stale.push(id);
        }
    }

    /// Releases a frame that was mapped in this space until now. While another CPU has the space loaded, and so may still
    /// use the old translation, the frame stays in limbo until the flush.
    pub(crate) fn release_mapped(&mut self, id: SpaceId, frame: Frame) {
        self.mark_stale(id);
        let elsewhere = self
            .spaces
            .get(id)
            .is_some_and(|space| space.active & !(1 << self.cpu) != 0);
        if !elsewhere {
            return self.frames.release(frame);
        }
        self.limbo.push(frame);
        if self.limbo.len() >= LIMBO_MAX {
            self.flush_stale();
        }
    }

    /// Flushes what `mark_stale` collected, where any CPU, this one included, has the space loaded.
    pub(crate) fn flush_stale(&mut self) {
        while let Some(id) = self.stale.pop() {
            if let Some(space) = self.spaces.get_mut(id) {
                space.stale = false;
                if space.active != 0 {
                    self.machine.flush(space.root);
                }
            }
        }
        for frame in self.limbo.drain(..) {
            self.frames.release(frame);
        }
    }

    /// Byte address to page number; `EFAULT` at the end of user space.
    pub(crate) fn user_page(addr: usize) -> Result<u64, Errno> {
        let page = (addr / PAGE_SIZE) as u64;
        if page < crate::mem::space::END_PAGE {
            Ok(page)
        } else {
            Err(EFAULT)
        }
    }

    /// Reserves address space for a new region.
    pub(crate) fn space_mut(&mut self, id: SpaceId) -> Result<&mut Space, Errno> {
        self.spaces.get_mut(id).ok_or(EFAULT)
    }
}
