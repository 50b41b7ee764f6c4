//! Login shells on a serial port; see the library of this crate.
//!
//! usage: `consoled [--plain ARGUMENT] PORT SHELL [ARGUMENT…]`; ARGUMENT of `--plain` is given to the shell when no
//! terminal answers at the other end of the port.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(not(target_os = "redox"))]
fn main() -> ExitCode {
    eprintln!("consoled: needs the terminals of the system itself and runs there only");
    ExitCode::FAILURE
}

#[cfg(target_os = "redox")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let reason = match args.as_slice() {
        [flag, shell @ ..] if flag == "--session" => consoled::session::run(shell).to_string(),
        args => match consoled::Console::parse(args).map(|console| consoled::bridge::run(&console))
        {
            None => "usage: consoled [--plain ARGUMENT] PORT SHELL [ARGUMENT…]".to_owned(),
            Some(Ok(())) => return ExitCode::SUCCESS,
            Some(Err(reason)) => reason,
        },
    };
    eprintln!("consoled: {reason}");
    ExitCode::FAILURE
}
