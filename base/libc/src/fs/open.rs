//! `open` and its variants: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/open.html>.

use super::resolve::{c_path, locate_at, open_located};
use super::{AT_FDCWD, cwd, stat};
use crate::path;
use crate::types::*;
use crate::{Errno, e, error};
use valence_abi::flags::*;

/// Flag bits that go to the kernel. The low half would be taken for permission bits (O_NOCTTY lives there).
const KERNEL_FLAGS: usize = 0xFFFF_0000;
const PERMISSION_BITS: u32 = 0o7777;

/// Opens `path`, with C's flags and mode.
pub(crate) fn open_at(dirfd: c_int, path: &[u8], flags: usize, mode: u32) -> Result<usize, Errno> {
    let mut flags = flags & KERNEL_FLAGS;
    if flags & O_CREAT != 0 {
        flags |= (mode & PERMISSION_BITS & !cwd::mask()) as usize;
    }
    let location = match open_relative(dirfd, path, flags) {
        Some(result) => return result,
        None => locate_at(dirfd, path)?,
    };
    // A scheme takes O_NOFOLLOW only together with O_STAT: otherwise it is checked here.
    if flags & O_NOFOLLOW != 0 && flags & (O_STAT | O_SYMLINK) == 0 && stat::is_link(&location) {
        return Err(e::ELOOP);
    }
    if location.names_directory && flags & O_CREAT == 0 {
        flags |= O_DIRECTORY;
    }
    open_located(&location, flags)
}

/// Opens a path below a directory's descriptor without going through its name, where that works: not for paths with `..`
/// or links out of the scheme, which need the name.
fn open_relative(dirfd: c_int, path: &[u8], flags: usize) -> Option<Result<usize, Errno>> {
    if dirfd == AT_FDCWD
        || path::is_absolute(path)
        || path.is_empty()
        || path::has_parent_part(path)
    {
        return None;
    }
    if flags & O_NOFOLLOW != 0 && flags & (O_STAT | O_SYMLINK) == 0 {
        return None;
    }
    // SAFETY: the path is as long as stated.
    match unsafe { syscall!(OPENAT, dirfd, path.as_ptr(), path.len(), flags) } {
        Err(e::EXDEV | e::EOPNOTSUPP | e::ENOSYS | e::ENOTDIR) => None,
        result => Some(result),
    }
}

c_api! {
    /// C's variadic `mode` arrives in the same register as a third argument.
    fn open(path: *const u8, flags: c_int, mode: c_uint) -> c_int {
        error::int(c_path(path).and_then(|path| open_at(AT_FDCWD, path, flags as u32 as usize, mode)))
    }
    fn open64(path: *const u8, flags: c_int, mode: c_uint) -> c_int {
        open(path, flags, mode)
    }
    fn openat(dirfd: c_int, path: *const u8, flags: c_int, mode: c_uint) -> c_int {
        error::int(c_path(path).and_then(|path| open_at(dirfd, path, flags as u32 as usize, mode)))
    }
    fn creat(path: *const u8, mode: c_uint) -> c_int {
        open(path, (O_WRONLY | O_CREAT | O_TRUNC) as c_int, mode)
    }
}
