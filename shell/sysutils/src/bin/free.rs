//! Shows how much memory there is.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sysutils::Program;
use sysutils::memory::{Unit, blocks_of, table};

const PROGRAM: Program = Program {
    name: "free",
    help: "usage: free [-b|-k|-m|-h]\nShows the memory of the machine.\n  -b  bytes\n  -k  KiB (default)\n  -m  MiB\n  -h  with a fitting unit\n",
};

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        let unit = Unit::from_arguments(args)?;
        let mut memory = blocks_of("/scheme/memory")?;
        memory.name = "memory".into();
        Ok(table(&[memory], unit))
    })
}
