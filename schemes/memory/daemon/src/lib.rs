//! The daemon of the `memory:` scheme: storage, collections of users, and the scheme's files.
//!
//! The rules are in `memory-engine`; here is what touches the world: disks, clocks, randomness, the embedding model,
//! threads, and the server kit's handles.
#![forbid(unsafe_code)]

pub mod compact;
pub mod disk;
pub mod error;
pub mod keys;
pub mod log;
pub mod mem_disk;
pub mod store;
