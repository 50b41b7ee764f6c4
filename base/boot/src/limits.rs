//! Sizes that the loader accepts.

/// Largest kernel file, in bytes.
pub const KERNEL_FILE_MAX: u64 = 256 << 20;

/// Largest kernel in memory, in bytes.
pub const KERNEL_MEMORY_MAX: u64 = 64 << 20;

/// Largest initfs, in bytes.
pub const INITFS_MAX: u64 = 2 << 30;

/// Largest checksum list, in bytes.
pub const CHECKSUMS_MAX: u64 = 64 << 10;

/// Segments of the kernel that are loaded.
pub const SEGMENTS_MAX: usize = 8;

/// Entries of the memory map that is handed over.
pub const AREAS_MAX: usize = 256;
