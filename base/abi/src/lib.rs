//! The contract both sides of the system-call boundary compile against.
//!
//! Holds numbers, flags and byte layouts, and nothing that runs: no allocation, no I/O, no dependencies, no unsafe
//! code. Two kinds of fact live here:
//!
//! * what Redox programs can see (open flags, errno, `Stat`, the scheme protocol's `Sqe`/`Cqe`): bit-exact with
//!   `redox_syscall` 0.9.5, because published crates are compiled against it;
//! * what only our kernel and our C library see (system-call numbers, `ExecArgs`, `BootInfo`): ours to change, as
//!   long as both sides change together.
//!
//! Layouts are asserted at compile time, next to each struct.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod errno;
pub mod flags;
pub mod layout;
pub mod scheme;
pub mod signal;
pub mod syscall;

/// Bytes in a page and in a physical frame.
pub const PAGE_SIZE: usize = 4096;

/// First address that user space may not use (canonical lower half).
pub const USER_END: usize = 0x0000_8000_0000_0000;

/// The longest path, in bytes, that any call accepts.
pub const PATH_MAX: usize = 4096;
