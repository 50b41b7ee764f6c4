//! The kernel half of every address space, and the way from a physical address to its bytes.
//!
//! | from | what |
//! |---|---|
//! | `PHYS_BASE` | all physical memory, never executable |
//! | `DEVICE_BASE` | device registers, uncached |
//! | `STACK_BASE` | kernel stacks, each with an unmapped page below |
//! | `KERNEL_BASE` | the image: text, read-only data, data, each with its own rights |

use core::sync::atomic::{AtomicU64, Ordering};

use valence_abi::boot::PHYS_BASE;

/// Device registers: one table of 512 pages.
pub(in crate::x86) const DEVICE_BASE: usize = 0xFFFF_C000_0000_0000;
/// Kernel stacks.
pub(in crate::x86) const STACK_BASE: usize = 0xFFFF_D000_0000_0000;

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static rodata_end: u8;
    static image_end: u8;
    static build_id_note: u8;
    static build_id_note_end: u8;
}

/// First address that the map at `PHYS_BASE` does not reach. Both loaders map 4 GiB; `kernel_space` raises it.
static PHYS_END: AtomicU64 = AtomicU64::new(4 << 30);
/// Where the image lies in physical memory.
static IMAGE_PHYSICAL: AtomicU64 = AtomicU64::new(0);

/// Sections of the image as virtual addresses: start, end of text, end of read-only data, end.
pub(in crate::x86) fn image() -> [usize; 4] {
    [
        &raw const image_start as usize,
        &raw const text_end as usize,
        &raw const rodata_end as usize,
        &raw const image_end as usize,
    ]
}

/// The linker's identification of this build, empty if it made none.
pub(in crate::x86) fn build_id() -> &'static [u8] {
    const NOTE_HEADER: usize = 16;
    let (start, end) = (&raw const build_id_note, &raw const build_id_note_end);
    let len = end as usize - start as usize;
    // SAFETY: the linker script places both symbols around one note in read-only data of the image.
    let note = unsafe { core::slice::from_raw_parts(start, len) };
    note.get(NOTE_HEADER..).unwrap_or_default()
}

/// Remembers where the loader put the image.
pub(in crate::x86) fn set_image_physical(address: u64) {
    IMAGE_PHYSICAL.store(address, Ordering::Relaxed);
}

/// The physical address of a place in the image.
pub(in crate::x86) fn image_to_physical(address: usize) -> u64 {
    (address - image()[0]) as u64 + IMAGE_PHYSICAL.load(Ordering::Relaxed)
}

/// Tells how far the map of physical memory reaches from now on.
pub(in crate::x86) fn set_physical_end(end: u64) {
    PHYS_END.store(end, Ordering::Relaxed);
}

/// Whether the map of physical memory holds the whole range.
pub(in crate::x86) fn is_mapped(address: u64, len: u64) -> bool {
    address
        .checked_add(len)
        .is_some_and(|end| end <= PHYS_END.load(Ordering::Relaxed))
}

/// The address at which a physical address is mapped.
///
/// Panics when the map does not reach it (a bug of this crate).
pub(in crate::x86) fn physical<T>(address: u64) -> *mut T {
    assert!(
        is_mapped(address, size_of::<T>() as u64),
        "physical address {address:#x} not mapped"
    );
    core::ptr::with_exposed_provenance_mut(PHYS_BASE + address as usize)
}

/// Bytes of physical memory, for reading what the loader and the firmware left.
///
/// # Safety
///
/// The range holds memory that nothing changes while the slice is in use.
pub(in crate::x86) unsafe fn physical_bytes(address: u64, len: u64) -> Option<&'static [u8]> {
    if !is_mapped(address, len) {
        return None;
    }
    let start: *const u8 = core::ptr::with_exposed_provenance(PHYS_BASE + address as usize);
    // SAFETY: mapped for the life of the kernel, and constant by the caller's promise.
    Some(unsafe { core::slice::from_raw_parts(start, len as usize) })
}

/// Writes one byte to a physical address: for ACPI's reset register only, after which nothing runs.
pub(in crate::x86) fn write_physical_byte(address: u64, value: u8) {
    if is_mapped(address, 1) {
        // SAFETY: the firmware names this register as the one that resets the machine.
        unsafe { physical::<u8>(address).write_volatile(value) }
    }
}
