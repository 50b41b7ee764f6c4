//! Lines for the log.
//!
//! A daemon's standard error is its context of the log scheme. When the log daemon was restarted that handle is
//! dead, and `eprintln!` would panic: a disk driver must not die because it had something to say.

use std::fmt::Arguments;
use std::fs::OpenOptions;
use std::io::Write;

/// Writes one line to standard error, or to a fresh handle of the log when that is dead. Never fails.
pub fn line(text: Arguments<'_>) {
    let text = format!("{text}\n");
    if std::io::stderr().write_all(text.as_bytes()).is_ok() {
        return;
    }
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or("daemon");
    let log = OpenOptions::new()
        .write(true)
        .open(format!("/scheme/log/{name}"));
    let _ = log.and_then(|mut log| log.write_all(text.as_bytes()));
}

/// Like `eprintln!`, but a log that cannot be written does not end the program.
#[macro_export]
macro_rules! log {
    ($($arguments:tt)*) => { $crate::log::line(format_args!($($arguments)*)) };
}
