//! The daemon of the `null` scheme; see the library of this crate.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    valence_daemon::run("nulld", || Ok(nulld::Source::Null))
}
