//! What the machine remembers for the kernel above, and the checks that every `Machine` method makes on its arguments.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kernel_core::machine::{Frame, FrameSource, Machine, Page, Root};
use valence_abi::PAGE_SIZE;
use valence_abi::boot::{MemoryArea, area};

use crate::acpi::Acpi;
use crate::areas::{FreeRanges, Range, top_of_ram};
use crate::frame_map::FrameMap;
use crate::limits::MSI_COUNT;
use crate::stale::Stale;
use crate::x86::cpu::features::Features;
use crate::x86::cpu::fpu::{self};
use crate::x86::memory::user_space::Leaves;
use crate::x86::memory::{heap, layout};

/// The machine.
#[derive(Debug)]
pub struct Hal {
    pub(super) features: Features,
    pub(super) mxcsr_mask: u32,
    pub(super) acpi: Acpi,
    pub(super) cpus: usize,
    pub(super) boot_time_ns: u64,
    /// Frames that are plain bytes of the kernel above.
    pub(super) owned: FrameMap,
    /// The spaces that `space_create` made and `space_destroy` has not freed, by root frame.
    pub(super) spaces: BTreeMap<u64, Stale>,
    /// What no driver may map: RAM, and the interrupt controllers of the CPUs.
    pub(super) closed: Vec<Range>,
    /// The user space in use on each CPU.
    pub(super) active: Vec<Option<Root>>,
    pub(super) msi: [bool; MSI_COUNT],
}

impl Hal {
    pub(in crate::x86) fn new(
        features: Features,
        acpi: Acpi,
        cpus: usize,
        ram: &[(u64, u64)],
        areas: &[MemoryArea],
        boot_time_ns: u64,
    ) -> Self {
        let mut owned = FrameMap::new(top_of_ram(areas).div_ceil(PAGE_SIZE as u64));
        for &(base, len) in ram {
            for frame in base >> 12..(base + len) >> 12 {
                owned.insert(Frame(frame));
            }
        }
        let mut closed: Vec<Range> = [area::FREE, area::LOADER]
            .iter()
            .flat_map(|&kind| FreeRanges::of_kind(areas, kind).ranges().to_vec())
            .collect();
        let [start, .., end] = layout::image();
        closed.push(Range {
            start: layout::image_to_physical(start),
            end: layout::image_to_physical(end),
        });
        closed.push(Range {
            start: acpi.local_apic,
            end: acpi.local_apic + PAGE_SIZE as u64,
        });
        Self {
            mxcsr_mask: fpu::mxcsr_mask(&features),
            features,
            acpi,
            cpus,
            boot_time_ns,
            owned,
            spaces: BTreeMap::new(),
            closed,
            active: alloc::vec![None; cpus],
            msi: [false; MSI_COUNT],
        }
    }

    /// Takes adjoining frames from the kernel above for its heap, for good. They belong to nothing else there.
    pub(in crate::x86) fn heap_add(&mut self, first: Frame, count: usize) {
        for number in first.0..first.0 + count as u64 {
            assert!(
                self.owned.remove(Frame(number)),
                "frame {number:#x} is not the kernel's to give"
            );
        }
        let base = layout::physical::<u8>(first.0 << 12);
        // SAFETY: the frames were owned and are not any more, so nobody else reaches them; the map of physical memory stays.
        unsafe { heap::add(base, count * PAGE_SIZE) }
    }

    pub(super) fn check_owned(&self, frame: Frame) {
        assert!(
            self.owned.contains(frame),
            "frame {:#x} is not the kernel's to touch",
            frame.0
        );
    }

    pub(super) fn check_root(&self, root: Root) {
        assert!(
            self.spaces.contains_key(&root.0.0),
            "root {:#x} is not an address space",
            root.0.0
        );
    }

    /// User mode may be shown frames that the kernel above owns, and memory that drivers may map.
    pub(super) fn check_mappable(&self, frame: Frame) {
        let physical = self.is_physical(frame.0 << 12, PAGE_SIZE as u64);
        assert!(
            physical || self.owned.contains(frame),
            "frame {:#x} must not be mapped",
            frame.0
        );
    }

    pub(super) fn leaves(&self, root: Root, from: Page, end: Page) -> Leaves {
        self.check_root(root);
        let end = Page(end.0.min((valence_abi::USER_END / PAGE_SIZE) as u64));
        // SAFETY: a live root, and tables are freed only by `space_destroy`, which needs `&mut self` and gets it only
        // between two uses of the iterator's owner: every caller here finishes with it first.
        unsafe { Leaves::new(root, from, end) }
    }

    pub(super) fn note_change(&mut self, root: Root, page: Page) {
        if let Some(stale) = self.spaces.get_mut(&root.0.0) {
            stale.note(page);
        }
    }

    pub(super) fn bytes(frame: Frame) -> *mut [u8; PAGE_SIZE] {
        layout::physical(frame.0 << 12)
    }
}

/// Takes frames for tables from the kernel: while they are tables they are not owned.
pub(super) fn table_frames<'a>(
    owned: &'a mut FrameMap,
    frames: &'a mut dyn FrameSource,
) -> impl FnMut() -> Option<u64> + 'a {
    move || {
        let frame = frames.take()?;
        assert!(
            owned.remove(frame),
            "frame {:#x} cannot become a page table",
            frame.0
        );
        Some(frame.0 << 12)
    }
}
