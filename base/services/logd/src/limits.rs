//! The limits of the log, named.

/// Bytes of line text that are kept over all contexts.
pub const RING_BYTES: usize = 512 * 1024;
/// Bytes of one line; a longer one becomes several.
pub const LINE_BYTES: usize = 4096;
/// Bytes of a context's name (`ENAMETOOLONG`).
pub const NAME_BYTES: usize = 64;
/// Contexts that may exist (`ENOSPC`).
pub const CONTEXTS_MAX: usize = 256;
