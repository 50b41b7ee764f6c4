//! The kit of the base daemons: what every program that serves a scheme does the same way.
//!
//! A daemon implements [`Service`]: what a path opens, and what reading, writing and so on do to one open
//! node. The kit owns the rest: the handle table, flags, `fcntl`, `fpath`, directory listings, readiness
//! events, requests that wait, the event loop, and telling init that the daemon serves.
//!
//! Everything except the loop itself (`server`, target only) is plain code without I/O and is tested on the
//! host. A `Service` never blocks: it answers `EWOULDBLOCK` and the kit keeps the request until a later try
//! succeeds, the caller gives up, or the handle was opened non-blocking (then `EAGAIN`).
//!
//! What it does not do: authentication, namespaces, restarting (that is init's), and no `HashMap`, because
//! the daemons that run before the random scheme exists use this kit too.
#![forbid(unsafe_code)]

#[cfg(target_os = "redox")]
pub mod clock;
mod host;
#[cfg(target_os = "redox")]
pub mod launch;
pub mod limits;
pub mod log;
pub mod ready;
#[cfg(target_os = "redox")]
mod server;
mod service;
pub mod stop;
#[cfg(test)]
mod tests;
#[cfg(target_os = "redox")]
mod wire;

use std::process::ExitCode;

pub use host::{Handle, Host, NewHandle};
pub use service::{Caller, Entry, Opened, Service, Times, place, read_at};
pub use syscall;

/// Milliseconds since boot; 0 on a host other than the target.
pub fn now_ms() -> u64 {
    #[cfg(target_os = "redox")]
    return clock::now_ms();
    #[cfg(not(target_os = "redox"))]
    0
}

/// Serves one scheme until the kernel closes it; the whole `main` of a daemon.
///
/// `start` builds the service; its error, like every later one, goes to standard error with the program's
/// name in front, and the exit status is 1. On a host other than the target it only says so.
#[cfg(target_os = "redox")]
pub fn run<S: Service>(program: &str, start: impl FnOnce() -> Result<S, String>) -> ExitCode {
    match start().and_then(|service| server::serve(service).map_err(|e| e.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            crate::log!("{program}: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// See the target's version; on a development host there is no scheme to serve.
#[cfg(not(target_os = "redox"))]
pub fn run<S: Service>(program: &str, _start: impl FnOnce() -> Result<S, String>) -> ExitCode {
    eprintln!("{program}: serves a scheme and therefore runs on the system itself only");
    ExitCode::FAILURE
}
