//! The limits of terminals, named.

/// Terminals that may exist (`ENOSPC`).
pub const TERMINALS_MAX: usize = 256;
/// Bytes of one edited line (POSIX MAX_CANON); more are refused with a bell.
pub const LINE_BYTES: usize = 4096;
/// Bytes typed but not yet read; a master's write beyond waits.
pub const INPUT_BYTES: usize = 64 * 1024;
/// Bytes printed but not yet shown; a slave's write beyond waits.
pub const OUTPUT_BYTES: usize = 64 * 1024;
