//! The schemes that the kernel serves itself, and the function that puts the kernel together.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub use kernel_core::{Config, Kernel, Next};

use kernel_core::machine::Machine;

/// Makes the kernel: tables, kernel schemes, and the first process (`bin/init` of the initfs), ready to run.
/// Each CPU then calls [`Kernel::cpu_start`].
pub fn start<M: Machine>(machine: M, config: Config) -> Kernel<M> {
    Kernel::new(machine, config)
}
