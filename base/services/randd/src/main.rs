//! The daemon of the `rand` scheme; see the library of this crate.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    valence_daemon::run("randd", || {
        let (key, cpu) = randd::seed::gather();
        if !cpu {
            valence_daemon::log!(
                "randd: this CPU has no random generator; seeded from timing alone"
            );
        }
        Ok(randd::Random::new(key))
    })
}
