//! Every bound of the kit, in one place. A request past one of these gets an errno, never a larger allocation.

/// Longest path that is looked at, in bytes (ENAMETOOLONG).
pub const PATH_BYTES: usize = 4096;
/// Open handles of one scheme (EMFILE).
pub const HANDLES: usize = 65_536;
/// Requests waiting on one handle (EBUSY).
pub const PARKED_PER_HANDLE: usize = 64;
/// Most bytes that one read or write moves; a longer one is served in part, as POSIX allows.
pub const TRANSFER_BYTES: usize = 1 << 20;
/// Longest name that `dup` takes (EINVAL).
pub const DUP_BYTES: usize = 4096;
/// How often a FUSE transport looks whether the caller of a parked request was killed.
pub const CALLER_CHECK_MS: u64 = 50;
