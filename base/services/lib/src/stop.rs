//! Ending the machine: what the disks hold back is made durable, then the kernel is told.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};

const SCHEMES: &str = "/scheme";
const STOP: &str = "/scheme/sys/kstop";

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Switched off.
    PowerOff,
    /// Started anew.
    Restart,
}

/// Flushes every disk and asks the kernel to end the machine; comes back only with the reason why it runs on.
pub fn stop(how: How) -> io::Error {
    // A disk that cannot be flushed must not keep the machine from stopping; the caller can do nothing more.
    if let Err(error) = flush_disks() {
        crate::log!("flushing the disks: {error}");
    }
    let order: &[u8] = match how {
        How::PowerOff => b"shutdown",
        How::Restart => b"reset",
    };
    let kernel = OpenOptions::new().write(true).open(STOP);
    match kernel.and_then(|mut kernel| kernel.write_all(order)) {
        Ok(()) => io::Error::other("the kernel took the order but the machine still runs"),
        Err(error) => io::Error::new(error.kind(), format!("{STOP}: {error}")),
    }
}

/// Asks every disk scheme to write its cache out. File systems on them commit each change by themselves.
fn flush_disks() -> io::Result<()> {
    for entry in fs::read_dir(SCHEMES)? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with("disk.") {
            continue;
        }
        match File::open(format!("{SCHEMES}/{}/0", name.display())) {
            Ok(disk) => disk.sync_all()?,
            // A disk without that name or in use as a whole is flushed by who uses it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
