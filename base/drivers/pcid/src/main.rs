//! Finds the devices on the PCI bus and starts their drivers; see the library of this crate.
//!
//! usage: `pcid TABLE`. The place of configuration space comes in `PCI_ECAM_ADDR`. A driver reports readiness
//! on the same kind of pipe that init uses, so that pcid is ready when the devices are. Afterwards pcid stays
//! to reap the drivers and to say when one ends.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(not(target_os = "redox"))]
fn main() -> ExitCode {
    eprintln!("pcid: looks at the PCI bus of the system itself and runs there only");
    ExitCode::FAILURE
}

#[cfg(target_os = "redox")]
fn main() -> ExitCode {
    match bus::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            valence_daemon::log!("pcid: {reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "redox")]
mod bus {
    use std::process::{Child, Command};
    use std::time::Duration;

    use pcid::Table;
    use valence_daemon::launch::{Launch, Outcome};
    use valence_daemon::ready;
    use valence_driver::pci::{Ecam, enumerate, parse_ecam};

    /// How long a driver may take to find its device in order.
    const DRIVER_WAIT: Duration = Duration::from_secs(10);

    pub(crate) fn run() -> Result<(), String> {
        ready::keep_private();
        let path = std::env::args().nth(1).ok_or("usage: pcid TABLE")?;
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let table = Table::parse(&text).map_err(|error| format!("{path}: {error}"))?;
        let place = std::env::var("PCI_ECAM_ADDR")
            .map_err(|_| "PCI_ECAM_ADDR is not set: the firmware told of no PCI Express bus")?;
        let space = Ecam::new(parse_ecam(&place)?);
        let mut drivers = Vec::new();
        for function in enumerate(&space) {
            if let Some(command) = table.command(&function) {
                drivers.extend(start(&command));
            }
        }
        ready::notify();
        // A driver that ends is reported; its scheme is gone with it. Restarting one needs the device to be
        // reset first and is left to the day that drivers can say so.
        for (name, mut child) in drivers {
            match child.wait() {
                Ok(status) => valence_daemon::log!("pcid: {name} ended: {status}"),
                Err(error) => valence_daemon::log!("pcid: {name}: {error}"),
            }
        }
        Ok(())
    }

    fn start(words: &[String]) -> Option<(String, Child)> {
        let (program, args) = words.split_first()?;
        let name = words.join(" ");
        let launch = Launch::start(Command::new(program).args(args))
            .inspect_err(|error| valence_daemon::log!("pcid: {name}: {error}"))
            .ok()?;
        match launch.wait(DRIVER_WAIT) {
            Ok(Outcome::Ready) => {}
            Ok(outcome) => valence_daemon::log!("pcid: {name}: not ready ({outcome:?})"),
            Err(error) => valence_daemon::log!("pcid: {name}: {error}"),
        }
        Some((name, launch.child))
    }
}
