//! The kernel image: puts the machine and the kernel together.
//!
//! `kernel-hal` holds the entry code, starts the machine and calls `kernel_main`; from there on the kernel runs as
//! an event machine (`kernel_hal::run`).
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
mod start;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("build this for x86_64-unknown-none: see base/kernel/README.md");
    std::process::exit(1);
}
