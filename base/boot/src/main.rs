//! The UEFI loader: reads `valence/{boot.conf, kernel, initfs, checksums}` from the volume it was started from, checks them,
//! and starts the kernel as `valence_abi::boot` describes. What it cannot use it names, with what to do.
#![cfg_attr(target_os = "uefi", no_std, no_main)]

#[cfg(target_os = "uefi")]
extern crate alloc;

#[cfg(target_os = "uefi")]
mod firmware;

#[cfg(not(target_os = "uefi"))]
fn main() {
    eprintln!("build this for x86_64-unknown-uefi: see base/boot/README.md");
    std::process::exit(1);
}
