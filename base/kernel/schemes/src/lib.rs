//! The schemes that the kernel serves itself, and the function that puts the kernel together.
//!
//! Each scheme is one module behind `KernelScheme`. They hold their handles; what is shared with the rules (pipes, queues,
//! namespaces, timers) lives in the kernel's tables.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
pub mod cpio;
mod debug;
mod event;
mod initfs;
mod irq;
mod memory;
mod namespace;
mod pipe;
mod proc;
mod serio;
mod start;
mod sys;
mod time;

pub use kernel_core::{Config, Kernel, Next};
pub use start::start;
