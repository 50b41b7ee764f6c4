//! Ending the machine: what is written is made durable, then the kernel is told.

use std::fs::{File, OpenOptions};
use std::io::Write;

use crate::Failure;

const STOP: &str = "/scheme/sys/kstop";

/// Asks the kernel to end the machine in this way (`shutdown`, `reset`).
pub fn stop(how: &str) -> Result<String, Failure> {
    // A file system that cannot be synced must not keep the machine from stopping.
    if let Err(error) = File::open("/").and_then(|root| root.sync_all()) {
        eprintln!("sync of the root file system: {error}");
    }
    let kernel = OpenOptions::new().write(true).open(STOP);
    kernel
        .and_then(|mut kernel| kernel.write_all(how.as_bytes()))
        .map_err(|error| Failure::Other(format!("{STOP}: {error}")))?;
    Err(Failure::Other(
        "the kernel took the order but the machine still runs".into(),
    ))
}
