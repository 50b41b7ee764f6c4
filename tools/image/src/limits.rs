//! The sizes that are fixed rather than configured.

/// Bytes of a MiB, the unit of sizes in `filesystem.toml`.
pub const MIB: u64 = 1024 * 1024;
/// Bytes of a sector of the image.
pub const SECTOR: u64 = 512;
/// Partitions start and end at multiples of this.
pub const ALIGNMENT: u64 = MIB;
/// Size of the image when the configuration says nothing.
pub const DEFAULT_FILESYSTEM_SIZE_MIB: u64 = 256;
/// Size of the EFI partition when the configuration says nothing.
pub const DEFAULT_EFI_SIZE_MIB: u64 = 64;
/// Smallest root partition that is worth making.
pub const MIN_ROOT_SIZE_MIB: u64 = 4;
/// Depth to which configurations may include each other.
pub const MAX_INCLUDE_DEPTH: usize = 8;
/// Depth to which packages may need each other.
pub const MAX_PACKAGES: usize = 1000;
