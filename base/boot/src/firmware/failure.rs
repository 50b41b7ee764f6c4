//! The end of a boot that cannot go on: what is wrong, what to do, and a stop until a key is pressed.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;

use uefi::runtime::ResetType;
use uefi::{boot, print, println, runtime, system};

/// A message for the person in front of the machine.
#[derive(Debug)]
pub(super) struct Failure {
    what: String,
    remedy: String,
}

const REINSTALL: &str = "Write the image to the disk again, or copy the file from the package files of the same \
    build to the EFI system partition.";

impl Failure {
    /// A file is not there, or cannot be read.
    pub(super) fn unreadable(name: &str, why: &dyn Display) -> Self {
        Self {
            what: format!("The boot file valence/{name} cannot be read: {why}."),
            remedy: REINSTALL.into(),
        }
    }

    /// A file has wrong contents.
    pub(super) fn damaged(name: &str, why: &dyn Display) -> Self {
        Self {
            what: format!("The boot file valence/{name} {why}."),
            remedy: REINSTALL.into(),
        }
    }

    /// The machine lacks something.
    pub(super) fn machine(what: &str, remedy: &str) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// Prints the message on the firmware's consoles (screen, and serial where the firmware has it), waits for a key
    /// and resets.
    pub(super) fn show_and_reset(&self) -> ! {
        println!(
            "\nValence cannot start.\n\n  {}\n\n  {}\n",
            self.what, self.remedy
        );
        print!("Press any key to restart. ");
        wait_for_key();
        println!();
        runtime::reset(ResetType::COLD, uefi::Status::ABORTED, None)
    }
}

fn wait_for_key() {
    const POLL: core::time::Duration = core::time::Duration::from_millis(50);
    loop {
        let key = system::with_stdin(|input| input.read_key());
        if matches!(key, Ok(Some(_))) {
            return;
        }
        boot::stall(POLL);
    }
}
