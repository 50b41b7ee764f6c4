//! The daemon of the `memory:` scheme: storage, collections of users, and the scheme's files.
//!
//! The rules are in `memory-engine`; here is what touches the world: disks, clocks, randomness, the embedding model,
//! threads, and the server kit's handles.
#![forbid(unsafe_code)]

pub mod compact;
pub mod config;
pub mod disk;
pub mod documents;
pub mod embed;
pub mod error;
pub mod handles;
pub mod hub;
pub mod keys;
pub mod log;
pub mod mem_disk;
pub mod queries;
mod questions;
pub mod reports;
pub mod service;
pub mod store;
pub mod worker;
