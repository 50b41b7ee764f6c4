//! The limits of a volume in memory, named.

/// Bytes that all files together may hold (`ENOSPC`).
pub const VOLUME_BYTES: u64 = 256 * 1024 * 1024;
/// Files, directories and links that may exist (`ENOSPC`).
pub const INODES_MAX: usize = 65_536;
/// Bytes of one name (`ENAMETOOLONG`).
pub const NAME_BYTES: usize = 255;
/// Symbolic links followed in one path (`ELOOP`).
pub const LINKS_FOLLOWED_MAX: usize = 32;
