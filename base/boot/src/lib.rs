//! The loader's rules without the firmware: what a kernel file, a boot.conf, a checksum list and a memory map must look
//! like.
//!
//! Pure functions over bytes, tested on the host; `main.rs` does the rest. Every error is a sentence for the person in
//! front of the screen.
#![no_std]
#![forbid(unsafe_code)]

pub mod checksums;
pub mod config;
pub mod elf;
pub mod limits;
pub mod memory_map;
