//! The limits of the kit, named. A client that reaches one gets the errno beside it.

/// Open handles per scheme (`ENFILE`).
pub const HANDLES_MAX: usize = 65_536;
/// Requests that may wait for an answer per scheme (`EAGAIN`).
pub const PARKED_MAX: usize = 4_096;
/// Requests taken from the kernel in one read.
pub const BATCH: usize = 32;
/// Bytes in a path below the scheme root (`ENAMETOOLONG`).
pub const PATH_MAX_BYTES: usize = 4_096;
