//! The kernel's rules, free of hardware and of unsafe code, tested on the host.
//!
//! `machine` is the boundary to the unsafe box below.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod machine;
