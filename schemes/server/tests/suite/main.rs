//! The black-box suite of the kit: the same cases through every transport that this host has.
//!
//! A [`Client`] is what a program sees: paths, open files, errno. FUSE cases skip loudly where `/dev/fuse` cannot be
//! opened.

mod cases;
mod sample;
#[cfg(target_os = "linux")]
mod through_fuse;
mod through_memory;

use scheme_server::{Kind, OpenFlags, Result, Stat};

/// A way to the service.
pub(crate) trait Client: Clone + Send + 'static {
    type File: ClientFile;
    fn open(&self, path: &str, how: OpenFlags) -> Result<Self::File>;
    fn stat(&self, path: &str) -> Result<Stat>;
    fn names(&self, path: &str) -> Result<Vec<String>>;
    fn make_dir(&self, path: &str) -> Result<()>;
    fn remove(&self, path: &str, kind: Kind) -> Result<()>;
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    fn open_handles(&self) -> usize;
}

/// An open file of it; closing is dropping.
pub(crate) trait ClientFile: Send + 'static {
    fn read(&mut self, len: usize) -> Result<Vec<u8>>;
    fn write(&mut self, data: &[u8]) -> Result<usize>;
    fn sync(&mut self) -> Result<()>;
    fn seek(&mut self, at: u64) -> Result<()>;
}
