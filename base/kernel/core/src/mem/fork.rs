//! Spaces as wholes: making, copying for fork, tearing down, and which CPU has which one loaded.

use valence_abi::errno::{ENOMEM, Errno};

use crate::kernel::{Kernel, SpaceId};
use crate::limits::STACK_SIZE;
use crate::machine::{Machine, Page};
use crate::mem::space::{END_PAGE, Kind, Region, Space};

/// Pages by which the top of a space varies.
const RANDOM_PAGES: u64 = 1 << 20;

impl<M: Machine> Kernel<M> {
    /// An empty space. Its mappings go below a random page.
    pub(crate) fn space_create(&mut self) -> Result<SpaceId, Errno> {
        let random = self.random_u64() % RANDOM_PAGES;
        let top = END_PAGE - 16 - random - (STACK_SIZE / valence_abi::PAGE_SIZE) as u64;
        let root = self
            .machine
            .space_create(&mut self.frames)
            .map_err(|_| ENOMEM)?;
        self.spaces.insert(Space::new(root, top)).map_err(|space| {
            self.machine.space_destroy(space.root, &mut self.frames);
            ENOMEM
        })
    }

    /// A copy of a space: private pages are shared until either side writes.
    pub(crate) fn space_fork(&mut self, from: SpaceId) -> Result<SpaceId, Errno> {
        let to = self.space_create()?;
        let group = self.spaces.get(from).and_then(|space| space.group);
        self.space_mut(to)?.group = group;
        let result = self.fork_regions(from, to);
        self.mark_stale(from);
        match result {
            Ok(()) => Ok(to),
            Err(errno) => {
                self.space_drop(to);
                Err(errno)
            }
        }
    }

    fn fork_regions(&mut self, from: SpaceId, to: SpaceId) -> Result<(), Errno> {
        let source = self.space_mut(from)?;
        let (top, regions) = (source.top, source.regions.clone());
        self.space_mut(to)?.set_top(top);
        for (start, region) in regions {
            if region.kind == Kind::Arena {
                continue;
            }
            self.space_mut(to)?.insert(start, region)?;
            if let Some(mapping) = region.mapping.and_then(|id| self.mappings.get_mut(id)) {
                mapping.references += 1;
            }
            self.fork_pages(from, to, start, &region)?;
        }
        Ok(())
    }

    fn fork_pages(
        &mut self,
        from: SpaceId,
        to: SpaceId,
        start: u64,
        region: &Region,
    ) -> Result<(), Errno> {
        let (source, target) = (self.space_mut(from)?.root, self.space_mut(to)?.root);
        let range = (Page(start), Page(start + region.pages));
        let private = region.kind == Kind::Private;
        let count = self
            .machine
            .share_range(source, target, range, private, &mut self.frames)
            .map_err(|_| ENOMEM)?;
        if !self.space_mut(from)?.parked.is_empty() {
            let parked = self.space_mut(from)?.parked.clone();
            for (page, frame) in parked.range(start..start + region.pages) {
                self.frames.retain(*frame);
                self.space_mut(to)?.parked.insert(*page, *frame);
            }
        }
        if region.kind != Kind::Arena {
            self.space_charge(to, count)?;
        }
        Ok(())
    }

    /// The space's process is gone. It is torn down as soon as no CPU has it loaded.
    pub(crate) fn space_drop(&mut self, id: SpaceId) {
        let Some(space) = self.spaces.get_mut(id) else {
            return;
        };
        space.dying = true;
        let active = space.active;
        if active & 1 << self.cpu != 0 {
            self.load_space(None);
            return;
        }
        if active == 0 {
            self.space_destroy(id);
            return;
        }
        for cpu in 0..self.cpus.len() {
            if active & 1 << cpu != 0 {
                self.machine.kick(cpu);
            }
        }
    }

    /// Makes a space the one of this CPU.
    pub(crate) fn load_space(&mut self, id: Option<SpaceId>) {
        let cpu = self.cpu;
        let old = self.cpus[cpu].space;
        if old == id {
            return;
        }
        let root = id.and_then(|id| self.spaces.get_mut(id)).map(|space| {
            space.active |= 1 << cpu;
            space.root
        });
        self.counters.loads += 1;
        self.machine.activate(root);
        self.cpus[cpu].space = id;
        let Some(old_id) = old else { return };
        let Some(space) = self.spaces.get_mut(old_id) else {
            return;
        };
        space.active &= !(1 << cpu);
        if space.dying {
            if space.active == 0 {
                self.space_destroy(old_id);
            } else {
                self.space_drop(old_id);
            }
        }
    }

    fn space_destroy(&mut self, id: SpaceId) {
        let Some(space) = self.spaces.get(id) else {
            return;
        };
        let regions = space.regions.clone();
        for (start, region) in regions {
            self.remove_region(id, start, region);
        }
        if let Some(space) = self.spaces.remove(id) {
            self.machine.space_destroy(space.root, &mut self.frames);
        }
    }
}
