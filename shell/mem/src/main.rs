//! The `mem` command; see the library of this crate. Exit status: 0 found or done, 1 nothing found, 2 an error.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mem::args::{Args, USAGE};
use mem::commands::run;
use memory_api::Client;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("mem: {text}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if args.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let client = args
        .root
        .as_deref()
        .map_or_else(Client::default, Client::at);
    match run(&args, &client, &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mem: {error}");
            ExitCode::from(2)
        }
    }
}
