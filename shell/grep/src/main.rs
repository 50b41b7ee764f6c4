//! Command line of grep. Exit status: 0 a line was selected, 1 none, 2 an error.
#![forbid(unsafe_code)]

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use valence_grep::options::{Options, USAGE};
use valence_grep::search;

const EXIT_NO_MATCH: u8 = 1;
const EXIT_ERROR: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("grep: {error}\n{USAGE}");
            return ExitCode::from(EXIT_ERROR);
        }
    };
    let mut output = BufWriter::new(std::io::stdout());
    let report = |error: &str| {
        if !options.is_silent {
            eprintln!("grep: {error}");
        }
    };
    let found = search::run(&options, &mut output, report);
    let flushed = output.flush();
    match found {
        Ok(found) if found.selected && (options.is_quiet || !found.failed) && flushed.is_ok() => {
            ExitCode::SUCCESS
        }
        Ok(found) if !found.failed && flushed.is_ok() => ExitCode::from(EXIT_NO_MATCH),
        Ok(_) => ExitCode::from(EXIT_ERROR),
        Err(error) => {
            eprintln!("grep: {error}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}
