//! Device registers in memory.

/// A block of device registers, mapped uncached for the life of the kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::x86) struct Mmio {
    base: usize,
    len: usize,
}

impl Mmio {
    /// # Safety
    ///
    /// `base` is a kernel mapping of `len` bytes of device registers that lasts as long as the kernel, and reads and
    /// writes of them cannot make the device touch memory that Rust code owns.
    pub(in crate::x86) unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    /// Reads the 32-bit register at a byte offset.
    pub(in crate::x86) fn read(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= self.len && offset.is_multiple_of(4));
        // SAFETY: inside the block that `new` was promised, and aligned.
        unsafe { core::ptr::with_exposed_provenance::<u32>(self.base + offset).read_volatile() }
    }

    /// Writes the 32-bit register at a byte offset.
    pub(in crate::x86) fn write(&self, offset: usize, value: u32) {
        assert!(offset + 4 <= self.len && offset.is_multiple_of(4));
        // SAFETY: as in `read`.
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u32>(self.base + offset).write_volatile(value)
        }
    }
}
