//! Files: opening by path, descriptors, directories, metadata.
//!
//! The kernel knows schemes and references only. What POSIX adds to that (the current directory, the mode mask, links
//! that lead from one scheme into another, names under `/dev`) is done here: `cwd` holds the state, `resolve` goes from
//! a path to a kernel call, the other files are the C functions by subject.

mod change;
mod cwd;
mod descriptor;
mod dir;
mod io;
mod open;
mod resolve;
mod stat;
mod temp;
mod times;

use crate::types::*;
use core::fmt;

pub(crate) use change::unlink;
pub(crate) use cwd::{lock as cwd_lock, restore_state, saved_state};
pub(crate) use descriptor::{Fd, before_close, close, dup_with, dup2, make_pipe};
pub(crate) use io::{noted, read_fd, read_file, readv_fd, write_all, writev_fd};
pub(crate) use open::open_at;
pub(crate) use resolve::{c_path, canonical_of_fd, locate_at, open_kernel};
pub(crate) use stat::{exists, fstat_raw, is_executable_file, statvfs_of, to_c};
pub(crate) use temp::mkostemps;

/// Descriptor argument that means the current directory.
pub(crate) const AT_FDCWD: c_int = -100;

/// Writes text to descriptor 2, for the library's own last words.
pub(crate) struct StderrWriter;

impl fmt::Write for StderrWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_all(2, text.as_bytes()).map_err(|_| fmt::Error)
    }
}
