//! The `Machine`: what the kernel above asks for, checked, and passed to the modules that do it.
//!
//! Every method is called with the kernel lock held (there is one `Hal`, and it lives inside the kernel). The checks here are
//! what makes these methods safe to call with any arguments: frames are reached only while `owned` says that they are plain
//! bytes of the kernel above, and only live roots are walked.

use alloc::boxed::Box;
use alloc::string::String;
use core::sync::atomic::Ordering;

use kernel_core::machine::{
    CpuId, Frame, FrameSource, Machine, MsiMessage, OutOfFrames, Page, Perms, PowerAction, Root,
};
use valence_abi::PAGE_SIZE;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::model_specific::FsBase;

use super::cpu::features::{self};
use super::cpu::fpu::Fpu;
use super::cpu::{local, vectors};
use super::devices::{local_apic, power, serial};
use super::memory::{kernel_space, user_space};
use super::{dispatch, time};
use crate::limits::POWER_WAIT_NS;
use crate::page_entry::{self, ADDRESS, ENTRIES, PRESENT, WRITE};
use crate::stale::{Drop, Stale};

mod state;

pub use state::Hal;

use state::table_frames;

impl Machine for Hal {
    type Fpu = Fpu;

    fn frame(&self, frame: Frame) -> &[u8; PAGE_SIZE] {
        self.check_owned(frame);
        // SAFETY: owned frames are plain bytes, reached only through this `Hal`; `&self` keeps `frame_mut` away. User mode may
        // write a mapped frame meanwhile: callers copy bytes and do not rely on their being stable (soundness.md, 4).
        unsafe { &*Self::bytes(frame) }
    }

    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_SIZE] {
        self.check_owned(frame);
        // SAFETY: as in `frame`; `&mut self` makes the reference the only one.
        unsafe { &mut *Self::bytes(frame) }
    }

    fn frame_copy(&mut self, from: Frame, to: Frame) {
        self.check_owned(from);
        self.check_owned(to);
        // SAFETY: both are owned frames; `copy` allows that they are the same.
        unsafe { core::ptr::copy(Self::bytes(from), Self::bytes(to), 1) }
    }

    fn frame_copy_part(&mut self, from: (Frame, usize), to: (Frame, usize), len: usize) {
        for (frame, at) in [from, to] {
            self.check_owned(frame);
            assert!(at.checked_add(len).is_some_and(|end| end <= PAGE_SIZE));
        }
        let (source, target) = (
            Self::bytes(from.0).cast::<u8>(),
            Self::bytes(to.0).cast::<u8>(),
        );
        // SAFETY: both ranges lie within owned frames; `copy` allows that they overlap.
        unsafe { core::ptr::copy(source.add(from.1), target.add(to.1), len) }
    }

    fn space_create(&mut self, frames: &mut dyn FrameSource) -> Result<Root, OutOfFrames> {
        let root = user_space::create(&mut table_frames(&mut self.owned, frames))?;
        self.spaces.insert(root.0.0, Stale::default());
        Ok(root)
    }

    fn space_destroy(&mut self, root: Root, frames: &mut dyn FrameSource) {
        self.check_root(root);
        assert!(
            !self.active.contains(&Some(root)),
            "an address space in use was destroyed"
        );
        self.spaces.remove(&root.0.0);
        let mut give = |frame| {
            self.owned.insert(frame);
            frames.give(frame);
        };
        // SAFETY: a root of ours that no CPU uses; it is not in `spaces` any more.
        unsafe { user_space::destroy(root, &mut give) };
    }

    fn map(
        &mut self,
        root: Root,
        page: Page,
        frame: Frame,
        perms: Perms,
        frames: &mut dyn FrameSource,
    ) -> Result<(), OutOfFrames> {
        self.check_root(root);
        self.check_mappable(frame);
        assert!(
            page_entry::is_user(page),
            "page {:#x} is not in the user half",
            page.0
        );
        let mut take = table_frames(&mut self.owned, frames);
        // SAFETY: a live root; the frame was checked.
        let old = unsafe { user_space::map(root, page, frame, perms, &mut take)? };
        drop(take);
        if old & PRESENT != 0 {
            self.note_change(root, page);
        }
        Ok(())
    }

    fn unmap(&mut self, root: Root, page: Page) -> Option<(Frame, Perms)> {
        self.check_root(root);
        if !page_entry::is_user(page) {
            return None;
        }
        // SAFETY: a live root.
        let old = page_entry::decode(unsafe { user_space::unmap(root, page) });
        if old.is_some() {
            self.note_change(root, page);
        }
        old
    }

    fn lookup(&self, root: Root, page: Page) -> Option<(Frame, Perms)> {
        self.check_root(root);
        if !page_entry::is_user(page) {
            return None;
        }
        // SAFETY: a live root.
        page_entry::decode(unsafe { user_space::lookup(root, page) })
    }

    fn next_mapped(&self, root: Root, from: Page, end: Page) -> Option<Page> {
        self.leaves(root, from, end).find_map(|leaf| {
            let first = leaf.mapped().next();
            first.map(|(page, ..)| Page(page))
        })
    }

    fn share_range(
        &mut self,
        from: Root,
        to: Root,
        (start, end): (Page, Page),
        write_protect: bool,
        frames: &mut dyn FrameSource,
    ) -> Result<usize, OutOfFrames> {
        self.check_root(to);
        let mut count = 0;
        for leaf in self.leaves(from, start, end) {
            if leaf.mapped().next().is_none() {
                continue;
            }
            let mut take = table_frames(&mut self.owned, frames);
            // SAFETY: a live root.
            let target = unsafe { user_space::leaf_for(to, leaf.page, &mut take)? };
            drop(take);
            for (page, slot, entry) in leaf.mapped() {
                let kept = if write_protect { entry & !WRITE } else { entry };
                if kept != entry {
                    slot.store(kept, Ordering::Release);
                    self.note_change(from, Page(page));
                }
                let old = target[page as usize % ENTRIES].swap(kept, Ordering::AcqRel);
                if old & PRESENT != 0 {
                    self.note_change(to, Page(page));
                }
                frames.retain(Frame((entry & ADDRESS) >> 12));
                count += 1;
            }
        }
        Ok(count)
    }

    fn unmap_range(&mut self, root: Root, (start, end): (Page, Page), each: &mut dyn FnMut(Frame)) {
        for leaf in self.leaves(root, start, end) {
            for (page, slot, entry) in leaf.mapped() {
                slot.store(0, Ordering::Release);
                self.note_change(root, Page(page));
                each(Frame((entry & ADDRESS) >> 12));
            }
        }
    }

    fn flush(&mut self, root: Root) {
        self.check_root(root);
        let me = local::this().index();
        if let Some(stale) = self.spaces.get_mut(&root.0.0) {
            match stale.pages() {
                Drop::Pages([]) => return,
                _ if self.active[me] != Some(root) => {}
                Drop::Pages(pages) => {
                    for page in pages {
                        tlb::flush(VirtAddr::new_truncate(page << 12));
                    }
                }
                Drop::All => tlb::flush_all(),
            }
            stale.clear();
        }
        let active = &self.active;
        let others = (0..self.cpus).filter(|&cpu| cpu != me && active[cpu] == Some(root));
        dispatch::flush_others(others);
    }

    fn activate(&mut self, root: Option<Root>) {
        let me = local::this().index();
        if self.active[me] == root {
            return;
        }
        if let Some(root) = root {
            self.check_root(root);
        }
        self.active[me] = root;
        kernel_space::activate(root.map_or(kernel_space::root(), |r| r.0.0 << 12));
    }

    fn set_fs_base(&mut self, addr: u64) {
        // A non-canonical address would fault here; cut, it faults in the program that set it.
        FsBase::write(VirtAddr::new_truncate(addr));
    }

    fn fpu_new(&self) -> Box<Fpu> {
        Box::new(Fpu::new(&self.features))
    }

    fn fpu_save(&mut self, into: &mut Fpu) {
        into.save(&self.features);
    }

    fn fpu_load(&mut self, from: &Fpu) {
        from.load(&self.features);
    }

    fn fpu_bytes<'a>(&self, fpu: &'a Fpu) -> &'a [u8] {
        fpu.bytes()
    }

    fn fpu_set_bytes(&self, fpu: &mut Fpu, bytes: &[u8]) {
        fpu.set_bytes(bytes, &self.features, self.mxcsr_mask);
    }

    fn set_timer(&mut self, deadline_ns: Option<u64>) {
        time::set_timer(deadline_ns);
    }

    fn cpu_count(&self) -> usize {
        self.cpus
    }

    fn kick(&mut self, cpu: CpuId) {
        assert!(cpu < self.cpus, "there is no CPU {cpu}");
        local_apic::interrupt(local::all()[cpu].apic_id(), vectors::KICK);
    }

    fn now_ns(&self) -> u64 {
        time::since_start_ns()
    }

    fn boot_time_ns(&self) -> u64 {
        self.boot_time_ns
    }

    fn random(&mut self) -> Option<u64> {
        if self.features.rdrand {
            features::random()
        } else {
            None
        }
    }

    fn cpu_description(&self, _cpu: CpuId) -> String {
        features::describe(&self.features)
    }

    fn serial_write(&mut self, port: usize, bytes: &[u8]) {
        serial::send(port, bytes);
    }

    fn serial_read(&mut self, port: usize) -> Option<u8> {
        serial::receive(port)
    }

    fn msi_allocate(&mut self) -> Option<(usize, MsiMessage)> {
        const MESSAGE_ADDRESS: u64 = 0xFEE0_0000;
        let number = self.msi.iter().position(|taken| !taken)?;
        self.msi[number] = true;
        let target = local::all()[number % self.cpus].apic_id();
        let address = MESSAGE_ADDRESS | u64::from(target & 0xFF) << 12;
        Some((
            number,
            MsiMessage {
                address,
                data: u32::from(vectors::MSI) + number as u32,
            },
        ))
    }

    fn msi_free(&mut self, number: usize) {
        if let Some(taken) = self.msi.get_mut(number) {
            *taken = false;
        }
    }

    fn is_physical(&self, base: u64, len: u64) -> bool {
        const PHYSICAL_BITS: u32 = 52;
        let Some(end) = base
            .checked_add(len)
            .filter(|&end| end <= 1 << PHYSICAL_BITS)
        else {
            return false;
        };
        !self.closed.iter().any(|r| base < r.end && r.start < end)
    }

    fn power(&mut self, action: PowerAction) -> ! {
        match action {
            PowerAction::Shutdown => power::shutdown(&self.acpi),
            PowerAction::Reset => power::reset(&self.acpi),
        }
        // Machines take a moment to go.
        time::spin_ns(POWER_WAIT_NS);
        panic!("{action:?} failed: switch the machine off by hand")
    }
}
