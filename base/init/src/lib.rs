//! The first process: reads unit files, starts services in the order of their dependencies, waits until each
//! says it is ready, restarts daemons that die, and reaps orphans.
//!
//! Two phases. First the units of the initfs, which end with the root file system mounted as scheme `file`;
//! then those of `/usr/lib/init.d` and `/etc/init.d`, where a file in the second folder replaces one of the
//! same name in the first. The formats are Redox's (facts 9.1), so that units written for it work here.
//!
//! All rules are pure modules tested on the host: `unit` and `script` (formats), `plan` (order),
//! `environment`, `supervise` (restart rule), `status` (words for exit states). `machine` and `process` do
//! what they say and exist on the target only. One thread: the process that everything hangs on should have
//! nothing to race with. No `HashMap`: its keys come from the random scheme, which init has yet to start.
#![forbid(unsafe_code)]

pub mod environment;
pub mod limits;
#[cfg(target_os = "redox")]
pub mod machine;
pub mod plan;
#[cfg(target_os = "redox")]
mod process;
pub mod script;
pub mod status;
pub mod supervise;
pub mod unit;
