//! Shows the schemes of the namespace.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;

use sysutils::table::Table;
use sysutils::{Failure, Program, no_arguments};

const PROGRAM: Program = Program {
    name: "schemes",
    help: "usage: schemes\nShows the schemes that this process can open, and who serves each.\n",
};

const NAMES: &str = "/scheme";
/// Name, process and path of every scheme's server, as far as the kernel tells.
const SERVERS: &str = "/scheme/sys/scheme";

fn main() -> ExitCode {
    PROGRAM.run(|args| {
        no_arguments(args)?;
        let problem = |error| Failure::Other(format!("{NAMES}: {error}"));
        let mut names = Vec::new();
        for entry in fs::read_dir(NAMES).map_err(problem)? {
            names.push(
                entry
                    .map_err(problem)?
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        names.sort();
        let servers = fs::read_to_string(SERVERS).unwrap_or_default();
        let servers = Table::parse(&servers);
        let row = |name: String| {
            let known = servers.rows.iter().find(|row| row.first() == Some(&name));
            let rest = known.map(|row| row[1..].to_vec()).unwrap_or_default();
            [vec![name], rest].concat()
        };
        let header = match servers.header.as_slice() {
            [] => vec!["SCHEME".to_owned()],
            header => header.to_vec(),
        };
        Ok(Table {
            header,
            rows: names.into_iter().map(row).collect(),
        }
        .render())
    })
}
