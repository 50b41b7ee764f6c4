//! A file system in memory: directories, files, symbolic and hard links, permissions, times, mapping.
//!
//! [`Volume`] is the tree and its rules, without clock and I/O; `scheme` serves it. Files live in page-aligned
//! memory so that a client can map them: it then shares the daemon's own pages. While a file is mapped its
//! memory must not move, so growing it beyond its reserve is refused (EBUSY); a program that wants to map and
//! grow sets the length first. Nothing survives the daemon.
//!
//! Symbolic links that are relative are followed here; an absolute one leads out of the scheme as far as this
//! daemon can know, which is EXDEV and the C library's to go on with.
#![forbid(unsafe_code)]

mod content;
pub mod limits;
mod scheme;
#[cfg(test)]
mod tests;
mod tree;
mod volume;

pub use scheme::{Node, RamScheme};
pub use volume::Volume;
