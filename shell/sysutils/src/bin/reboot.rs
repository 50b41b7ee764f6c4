//! Starts the machine anew.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sysutils::{Program, no_arguments, stop};
use valence_daemon::stop::How;

const PROGRAM: Program = Program {
    name: "reboot",
    help: "usage: reboot\nStarts the machine anew. What is written is made durable first.\n",
};

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        no_arguments(args)?;
        stop::end(How::Restart)
    })
}
