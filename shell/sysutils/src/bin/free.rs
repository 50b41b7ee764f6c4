//! Shows how much memory there is.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sysutils::memory::{Unit, table};
use sysutils::{Failure, Program};

const PROGRAM: Program = Program {
    name: "free",
    help: "usage: free [-b|-k|-m|-h]\nShows the memory of the machine.\n  -b  bytes\n  -k  KiB (default)\n  -m  MiB\n  -h  with a fitting unit\n",
};

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        let unit = Unit::from_arguments(args)?;
        let (total, free) = amounts()?;
        Ok(table(total, free, unit))
    })
}

#[cfg(target_os = "redox")]
fn amounts() -> Result<(u64, u64), Failure> {
    const MEMORY: &str = "/scheme/memory";
    let read = || {
        let memory = libredox::Fd::open(MEMORY, libredox::flag::O_CLOEXEC, 0)?;
        memory.statvfs()
    };
    let stat = read().map_err(|error| Failure::Other(format!("{MEMORY}: {error}")))?;
    let block = stat.f_bsize;
    Ok((block * stat.f_blocks, block * stat.f_bfree))
}

#[cfg(not(target_os = "redox"))]
fn amounts() -> Result<(u64, u64), Failure> {
    Err(Failure::Other(
        "asks the kernel of the system itself and runs there only".into(),
    ))
}
