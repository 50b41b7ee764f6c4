//! `aid`, as a library for its own `main` and for tests that run it in memory.
//!
//! [`Aid`] is the service: paths to handles (`service`, `handle`), conversations (`conversation`, `sessions`), the OpenAI
//! wire form (`v1`), what is installed (`catalogue`). One thread per loaded model runs the engine (`worker`) and fills
//! `reply`s; everything else happens in the service's own calls, which never block.
#![forbid(unsafe_code)]

mod catalogue;
mod config;
mod conversation;
mod exchange;
mod failure;
mod handle;
mod io;
mod limits;
mod loaded;
mod reply;
mod service;
mod sessions;
mod status;
mod threads;
mod v1;
mod vectors;
mod worker;

pub use config::{Config, USAGE};
pub use service::{Aid, Open};
