//! The unsafe box: everything the kernel does that Rust cannot check, for x86_64 in long mode.
//!
//! Above it stands `kernel-core`, which is safe code and reaches the machine only through `Machine`, implemented here
//! by [`Hal`]. Control flows in one circle: `vectors` (assembly) saves the user registers on the CPU's own stack,
//! `dispatch` takes the one kernel lock and calls `Kernel::trap`, and the answer says which registers to load or to
//! idle. Interrupts are off whenever kernel code runs. `docs/design/soundness.md` argues why the box is sound.
//!
//! Modules without hardware (memory map, ACPI tables, page-table bits, clocks) compile and are tested on the host;
//! those under `x86` only for the bare target.
#![no_std]

extern crate alloc;

pub mod acpi;
pub mod areas;
pub mod clock;
pub mod frame;
pub mod frame_map;
pub mod limits;
pub mod page_entry;
pub mod stale;

#[cfg(target_os = "none")]
mod x86;

#[cfg(target_os = "none")]
pub use x86::{Boot, Hal, log, run};
