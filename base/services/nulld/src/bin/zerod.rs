//! The daemon of the `zero` scheme; see the library of this crate.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    valence_daemon::run("zerod", || Ok(nulld::Source::Zero))
}
