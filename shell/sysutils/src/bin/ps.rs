//! Shows the processes.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sysutils::table::Table;
use sysutils::{Failure, Program, read};

const PROGRAM: Program = Program {
    name: "ps",
    help: "usage: ps [-a]\nShows the processes of the system.\n  -a  all columns that the kernel knows\n",
};

/// Columns that are shown without `-a`, by the names they may have.
const COLUMNS: [&[&str]; 7] = [
    &["PID"],
    &["PPID"],
    &["UID", "EUID"],
    &["STATE", "STAT"],
    &["TIME-MS", "TIME", "CPU"],
    &["MEM-KIB", "MEM", "MEMORY"],
    &["NAME", "COMMAND", "PATH"],
];

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        let is_all = match args {
            [] => false,
            [flag] if flag == "-a" => true,
            [arg, ..] => return Err(Failure::Usage(format!("unknown argument \"{arg}\""))),
        };
        let table = Table::parse(&read("/scheme/sys/context")?);
        let known: Vec<usize> = COLUMNS
            .iter()
            .filter_map(|names| table.column(names))
            .collect();
        // A kernel with other names for its columns: show what there is.
        let shown = if is_all || known.is_empty() {
            table
        } else {
            table.select(&known)
        };
        Ok(shown.render())
    })
}
