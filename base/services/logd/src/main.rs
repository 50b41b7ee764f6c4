//! The daemon of the `log` scheme; see the library of this crate.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

const CONSOLE: &str = "/scheme/debug";

fn main() -> ExitCode {
    valence_daemon::run("logd", || {
        let console = OpenOptions::new().write(true).open(CONSOLE);
        let echo = console.ok().map(|mut console| {
            Box::new(move |line: &[u8]| {
                let _ = console.write_all(line);
            }) as logd::Echo
        });
        Ok(logd::Log::new(valence_daemon::now_ms(), echo))
    })
}
