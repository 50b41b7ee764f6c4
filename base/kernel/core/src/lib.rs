//! The kernel's rules, free of hardware and of unsafe code, tested on the host.
//!
//! `machine` is the boundary to the unsafe box below, `kernel` the value that traps enter, `syscall` the table of calls.
//! Decision 0101 says why it is one value behind one lock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod io;
pub mod kernel;
pub mod limits;
pub mod log;
pub mod machine;
pub mod mem;
pub mod scheme;
pub mod slab;
mod syscall;
pub mod task;

pub use kernel::{Config, Kernel, Next};
