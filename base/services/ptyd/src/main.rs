//! The daemon of the `pty` scheme; see the library of this crate.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use ptyd::{Ptys, Signal};

fn main() -> ExitCode {
    valence_daemon::run("ptyd", || Ok(Ptys::new(Box::new(send))))
}

/// Sends a signal to a process group; one that is gone needs none.
#[cfg(target_os = "redox")]
fn send(signal: Signal) {
    let _ = libredox::call::kill((signal.group as usize).wrapping_neg(), signal.number);
}

#[cfg(not(target_os = "redox"))]
fn send(_signal: Signal) {}
