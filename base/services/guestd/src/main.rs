//! The guest end of the development host's command line; see the library of this crate.
//!
//! usage: `guestd PORT`, where PORT is a serial port, `/scheme/debug/1`.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io;
use std::process::ExitCode;
use std::sync::Mutex;

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

struct System;

impl guestd::Machine for System {
    fn power_off(&mut self) -> io::Error {
        valence_daemon::stop::stop(valence_daemon::stop::How::PowerOff)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            valence_daemon::log!("guestd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let path = std::env::args().nth(1).ok_or("usage: guestd PORT")?;
    let open = || {
        let port = OpenOptions::new().read(true).write(true).open(&path);
        port.map_err(|error| format!("{path}: {error}"))
    };
    let (mut input, output) = (open()?, Mutex::new(open()?));
    #[cfg(target_os = "redox")]
    valence_daemon::ready::notify();
    guestd::serve(&mut input, &output, &SHELL, &mut System)
        .map_err(|error| format!("{path}: {error}"))
}
