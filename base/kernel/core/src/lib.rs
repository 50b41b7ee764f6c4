//! The kernel's rules, free of hardware and of unsafe code, tested on the host.
//!
//! `machine` is the boundary to the unsafe box below, `kernel` the value that traps enter.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod kernel;
pub mod machine;

pub use kernel::{Config, Kernel, Next};
