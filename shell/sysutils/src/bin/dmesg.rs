//! Shows the log of the kernel or of the services.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sysutils::{Failure, Program, read};

const PROGRAM: Program = Program {
    name: "dmesg",
    help: "usage: dmesg [-s [NAME]]\nShows the log of the kernel.\n  -s       the log of all services\n  -s NAME  the log of one service\n",
};

fn main() -> ExitCode {
    PROGRAM.run(|args| match args {
        [] => read("/scheme/sys/log"),
        [flag] if flag == "-s" => read("/scheme/log/.all"),
        [flag, name] if flag == "-s" && !name.contains('/') => read(&format!("/scheme/log/{name}")),
        [arg, ..] => Err(Failure::Usage(format!("unknown argument \"{arg}\""))),
    })
}
