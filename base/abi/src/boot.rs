//! What the loader hands to the kernel, whichever way it was started (UEFI or direct boot).

/// "VALENCE1", little endian: the loader filled the struct.
pub const BOOT_MAGIC: u64 = 0x3145_434E_454C_4156;

/// Where all physical memory is mapped while the kernel runs.
pub const PHYS_BASE: usize = 0xFFFF_8000_0000_0000;

/// Where the kernel's image is linked.
pub const KERNEL_BASE: usize = 0xFFFF_FFFF_8000_0000;

/// Longest boot parameter text, in bytes.
pub const BOOT_ENV_MAX: usize = 4096;

/// A range of physical memory and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryArea {
    /// Physical address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// One of [`area`].
    pub kind: u64,
}

/// Kinds of [`MemoryArea`].
pub mod area {
    /// Free RAM.
    pub const FREE: u64 = 1;
    /// RAM that holds loader data (this struct's parts, the early page tables): free once the kernel has read it.
    pub const LOADER: u64 = 2;
    /// Not RAM, or RAM in use (firmware, ACPI, kernel image, initfs).
    pub const RESERVED: u64 = 3;
}

/// A linear framebuffer, 32 bits a pixel, `0x00RRGGBB`. `width` 0 means there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Framebuffer {
    /// Physical address of the first pixel.
    pub base: u64,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Pixels from one line to the next.
    pub stride: u32,
    /// Zero.
    pub reserved: u32,
}

/// The boot information. All addresses are physical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BootInfo {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// Array of [`MemoryArea`].
    pub areas: u64,
    /// Its count.
    pub area_count: u64,
    /// The initfs archive.
    pub initfs: u64,
    /// Its length in bytes.
    pub initfs_len: u64,
    /// Boot parameter text: `KEY=VALUE` lines.
    pub env: u64,
    /// Its length in bytes.
    pub env_len: u64,
    /// Where the kernel image was put.
    pub kernel: u64,
    /// Bytes of it, BSS included.
    pub kernel_len: u64,
    /// ACPI root pointer, 0 if unknown.
    pub rsdp: u64,
    /// The screen.
    pub framebuffer: Framebuffer,
}
