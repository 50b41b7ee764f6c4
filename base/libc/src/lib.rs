//! The C library of Valence: what every program for `x86_64-unknown-redox` links as `libc.a`.
//!
//! Upwards it keeps Redox's contract bit for bit: the C symbols, struct layouts, constants and `redox_*` functions that
//! published crates were compiled against. Downwards it speaks our private system calls (`valence_abi::syscall`).
//!
//! Two kinds of modules:
//!
//! * pure ones (`path`, `calendar`, `database`, `format`, …): bytes in, answers out; compiled and tested on the host;
//! * the others, which make system calls and export C symbols: compiled for the target only, so that no symbol of the
//!   host's own C library is ever replaced.
//!
//! Every C function is written inside [`c_api!`], which is the only place that marks a symbol as exported. A function
//! that cannot do its work says so with an errno (CAVEATS.md, "C library"); none pretends.
#![cfg_attr(target_os = "redox", no_std)]

#[cfg(target_os = "redox")]
#[macro_use]
mod macros;

// Pure modules.
pub mod calendar;
pub mod database;
pub mod network;
pub mod number;
pub mod path;
pub mod printf;

#[cfg(target_os = "redox")]
mod redox_only {
    pub(crate) use valence_abi::errno::{self as e, Errno};
}
#[cfg(target_os = "redox")]
pub(crate) use redox_only::*;

#[cfg(target_os = "redox")]
#[macro_use]
mod sys;
#[cfg(target_os = "redox")]
mod accounts;
#[cfg(target_os = "redox")]
mod environment;
#[cfg(target_os = "redox")]
mod error;
#[cfg(target_os = "redox")]
mod fs;
#[cfg(target_os = "redox")]
mod identity;
#[cfg(target_os = "redox")]
mod math;
#[cfg(target_os = "redox")]
mod memory;
#[cfg(target_os = "redox")]
mod poll;
#[cfg(target_os = "redox")]
mod process;
#[cfg(target_os = "redox")]
mod redox;
#[cfg(target_os = "redox")]
mod signal;
#[cfg(target_os = "redox")]
mod socket;
#[cfg(target_os = "redox")]
mod standard;
#[cfg(target_os = "redox")]
mod start;
#[cfg(target_os = "redox")]
mod stdio;
#[cfg(target_os = "redox")]
pub(crate) mod string;
#[cfg(target_os = "redox")]
mod sync;
#[cfg(target_os = "redox")]
mod system;
#[cfg(target_os = "redox")]
mod thread;
#[cfg(target_os = "redox")]
mod time;
#[cfg(target_os = "redox")]
mod tty;
#[cfg(target_os = "redox")]
mod types;
#[cfg(target_os = "redox")]
mod unwind;

/// A broken invariant of the library itself: say where, then end the process as `abort` does.
#[cfg(target_os = "redox")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    use core::fmt::Write;
    let _ = writeln!(fs::StderrWriter, "C library: {info}");
    process::abort_process()
}
