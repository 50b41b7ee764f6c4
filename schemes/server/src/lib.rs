//! The server kit of every scheme of ours.
//!
//! A scheme is written once, as a [`Service`]: a state machine that answers opens, reads and writes by path and
//! handle. The kit owns what all schemes share (the handle table, path rules, permission bits, parked requests,
//! cancellation, readiness, non-blocking handles) and runs the same service over three transports:
//!
//! * [`memory`]: calls in the same process, for tests and in-process clients;
//! * `fuse`: a FUSE mount on Linux, where the hosted daemons live;
//! * `redox`: a Redox scheme socket, protocol v2, in the booted system.
//!
//! What it does not do: it reads no configuration, starts no program, and knows nothing of any one scheme.
//!
//! Waiting, in one paragraph: a read, write or sync that cannot go on answers [`Step::Wait`]. The kit then parks
//! the request (or answers EAGAIN to a non-blocking caller) and calls the same method again after somebody has
//! called [`Wake::handle`] with that handle's id. A service never blocks and never keeps a request itself; work
//! that takes long runs on the service's own threads, which call `Wake` when there is something new.
//!
//! ```
//! use scheme_server::*;
//!
//! struct Hello;
//! impl Service for Hello {
//!     type Handle = ();
//!     fn stat(&mut self, _: &Caller, path: &str) -> Result<Stat> {
//!         match path {
//!             "" => Ok(Stat::dir(0o555)),
//!             "hello" => Ok(Stat::file(0o444, 5)),
//!             _ => Err(Errno::ENOENT),
//!         }
//!     }
//!     fn list(&mut self, _: &Caller, _: &str) -> Result<Vec<Entry>> {
//!         Ok(vec![Entry::file("hello")])
//!     }
//!     fn open(&mut self, _: &Caller, _: &str, _: OpenFlags, _: HandleId) -> Result<Opened<()>> {
//!         Ok(Opened::positioned(()))
//!     }
//!     fn read(&mut self, _: &mut (), at: u64, buf: &mut [u8]) -> Result<Step<usize>> {
//!         Ok(Step::Done(copy_from(b"hello", at, buf)))
//!     }
//! }
//!
//! let scheme = memory::Memory::start(Hello);
//! let file = scheme.open("hello", OpenFlags::READ).unwrap();
//! assert_eq!(file.read_to_end().unwrap(), b"hello");
//! ```
#![forbid(unsafe_code)]

mod dispatch;
mod errno;
#[cfg(target_os = "linux")]
pub mod fuse;
mod host;
pub mod limits;
pub mod memory;
mod path;
#[cfg(target_os = "redox")]
pub mod redox;
mod service;
mod types;

pub use dispatch::{Dispatcher, Output, Reply, Request, Tag};
pub use errno::{Errno, Result};
pub use host::Host;
pub use path::{join, normalise, query, split_query};
pub use service::{Opened, Service, Step, Wake, copy_from};
pub use types::{Caller, Entry, HandleId, Kind, OpenFlags, Ready, Stat};
