//! Switches the machine off.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sysutils::{Program, no_arguments, stop};
use valence_daemon::stop::How;

const PROGRAM: Program = Program {
    name: "poweroff",
    help: "usage: poweroff\nSwitches the machine off. What is written is made durable first.\n",
};

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        no_arguments(args)?;
        stop::end(How::PowerOff)
    })
}
