//! Login shells on a serial port; see the library of this crate.
//!
//! usage: `consoled PORT SHELL [ARGUMENT…]`
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
        [port, shell @ ..] if !shell.is_empty() => match consoled::bridge::run(port, shell) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(reason) => reason,
        },
        _ => "usage: consoled PORT SHELL [ARGUMENT…]".to_owned(),
    };
    eprintln!("consoled: {reason}");
    ExitCode::FAILURE
}
