//! The part that talks to the firmware: read, check, map, leave.

mod failure;
mod files;
mod handover;
mod paging;
mod screen;

use boot_rules::{checksums, config, elf, limits};
use uefi::prelude::*;

use failure::Failure;
use files::Volume;

#[entry]
fn main() -> Status {
    // Without this the firmware resets the machine after five minutes at a message.
    let _ = boot::set_watchdog_timer(0, 0x1_0000, None);
    match load() {
        Ok(never) => match never {},
        Err(failure) => failure.show_and_reset(),
    }
}

fn load() -> Result<core::convert::Infallible, Failure> {
    paging::check_processor()?;
    let mut volume = Volume::open()?;
    let sums = volume.read("checksums", limits::CHECKSUMS_MAX)?;
    let text = volume.read("boot.conf", valence_abi::boot::BOOT_ENV_MAX as u64)?;
    let file = volume.read("kernel", limits::KERNEL_FILE_MAX)?;
    let initfs = volume.read("initfs", limits::INITFS_MAX)?;
    for part in [&text, &file, &initfs] {
        let verified = checksums::verify(sums.bytes(), part.name, part.bytes());
        verified.map_err(|why| Failure::damaged(part.name, &why))?;
    }
    let env = config::check(text.bytes()).map_err(|why| Failure::damaged("boot.conf", &why))?;
    let kernel = elf::check(file.bytes()).map_err(|why| Failure::damaged("kernel", &why))?;
    handover::start(&kernel, file.bytes(), initfs.bytes(), env)
}
