//! Shows how much room the file systems have.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;

use sysutils::memory::{Unit, blocks_of, table};
use sysutils::{Failure, Program};

const PROGRAM: Program = Program {
    name: "df",
    help: "usage: df [-b|-k|-m|-h] [PATH...]\nShows the room on the file systems that hold the paths; without paths, on all.\n  -b  bytes\n  -k  KiB (default)\n  -m  MiB\n  -h  with a fitting unit\n",
};

/// The kernel's scheme of this name counts memory, which `free` shows.
const NOT_STORAGE: &str = "memory";

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        let flags = args.iter().take_while(|arg| arg.starts_with('-')).count();
        let (flags, paths) = args.split_at(flags);
        let unit = Unit::from_arguments(flags)?;
        let amounts = match paths {
            [] => all()?,
            paths => paths
                .iter()
                .map(|path| blocks_of(path))
                .collect::<Result<Vec<_>, _>>()?,
        };
        Ok(table(&amounts, unit))
    })
}

/// Every scheme that keeps blocks.
fn all() -> Result<Vec<sysutils::memory::Amount>, Failure> {
    let problem = |error| Failure::Other(format!("/scheme: {error}"));
    let mut amounts = Vec::new();
    for entry in fs::read_dir("/scheme").map_err(problem)? {
        let name = entry.map_err(problem)?.file_name();
        let path = format!("/scheme/{}", name.to_string_lossy());
        // Most schemes keep none and say so.
        if let Ok(amount) = blocks_of(&path)
            && amount.total > 0
            && name != NOT_STORAGE
        {
            amounts.push(amount);
        }
    }
    Ok(amounts)
}
