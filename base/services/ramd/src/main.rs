//! The daemon of a file system in memory; see the library of this crate.
//!
//! usage: `ramd NAME`, the name of the scheme.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use valence_daemon::syscall::data::TimeSpec;

fn main() -> ExitCode {
    valence_daemon::run("ramd", || {
        let name = std::env::args().nth(1).ok_or("usage: ramd NAME")?;
        Ok(ramd::RamScheme::new(name, now))
    })
}

fn now() -> TimeSpec {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimeSpec {
        tv_sec: since.as_secs() as i64,
        tv_nsec: since.subsec_nanos() as i32,
    }
}
