//! From a path to a kernel call, across links and schemes.
//!
//! A scheme follows the links inside it. Where a link leaves it, it answers EXDEV; then the path is walked from its start,
//! the first link is replaced by its target, and the call is made again, at most `LINKS_MAX` times (ELOOP).

use super::{AT_FDCWD, Fd, cwd};
use crate::path::{self, Device, Location, PathBuf};
use crate::types::*;
use crate::{Errno, e};
use valence_abi::PATH_MAX;
use valence_abi::flags::*;
use valence_abi::syscall::AT_NAMESPACE;

const LINKS_MAX: usize = 32;

/// The bytes of a C path.
///
/// # Safety
/// `path` must be null or a C string.
pub(crate) unsafe fn c_path<'a>(path: *const u8) -> Result<&'a [u8], Errno> {
    if path.is_null() {
        return Err(e::EFAULT);
    }
    // SAFETY: the caller's string.
    Ok(unsafe { crate::string::bytes_or_empty(path) })
}

/// The canonical path of an open descriptor, from its scheme's answer.
pub(crate) fn canonical_of_fd(fd: usize) -> Result<PathBuf, Errno> {
    let mut answer = [0; PATH_MAX];
    // SAFETY: the buffer is as long as stated.
    let len = unsafe { syscall!(FPATH, fd, answer.as_mut_ptr(), answer.len() - 1) }?;
    let text = answer.get(..len).ok_or(e::EIO)?;
    path::locate(b"/", text)?.canonical()
}

/// Resolves `path` against the directory `dirfd` (or the current one).
pub(crate) fn locate_at(dirfd: c_int, path: &[u8]) -> Result<Location, Errno> {
    if path::is_absolute(path) {
        return path::locate(b"/", path);
    }
    let base = if dirfd == AT_FDCWD {
        cwd::current()
    } else {
        canonical_of_fd(dirfd as usize)?
    };
    path::locate(base.as_bytes(), path)
}

/// What to do with a link in the last part of a path.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

/// Calls `operation` with the location, then with wherever links out of the scheme lead.
pub(crate) fn across_links(
    location: &Location,
    last: Last,
    mut operation: impl FnMut(&Location) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    match operation(location) {
        Err(e::EXDEV) => {}
        result => return result,
    }
    let mut location = location.clone();
    for _ in 0..LINKS_MAX {
        location = replace_first_link(&location, last)?;
        match operation(&location) {
            Err(e::EXDEV) => {}
            result => return result,
        }
    }
    Err(e::ELOOP)
}

/// The same location with its first link replaced; EXDEV if it has none.
fn replace_first_link(location: &Location, last: Last) -> Result<Location, Errno> {
    let whole = location.canonical()?;
    let whole = whole.as_bytes();
    let start = if location.scheme() == path::DEFAULT_SCHEME {
        1
    } else {
        whole.len() - location.reference().len()
    };
    let mut target = [0; PATH_MAX];
    for end in start..=whole.len() {
        let at_end = end == whole.len();
        if !(at_end || whole[end] == b'/') || end == start || (at_end && last == Last::Keep) {
            continue;
        }
        let link = &whole[..end];
        if let Ok(len) = read_link(&path::locate(b"/", link)?, &mut target) {
            return path::follow(link, &target[..len], whole.get(end + 1..).unwrap_or(b""));
        }
    }
    Err(e::EXDEV)
}

/// Reads a link's text.
pub(crate) fn read_link(location: &Location, buf: &mut [u8]) -> Result<usize, Errno> {
    let fd = Fd(open_kernel(
        location.as_bytes(),
        O_RDONLY | O_SYMLINK | O_CLOEXEC,
    )?);
    // SAFETY: the buffer is as long as stated.
    unsafe {
        let mut stat = valence_abi::layout::Stat::default();
        syscall!(FSTAT, fd.0, &raw mut stat)?;
        if stat.mode & MODE_TYPE != MODE_SYMLINK {
            return Err(e::EINVAL);
        }
        syscall!(READ, fd.0, buf.as_mut_ptr(), buf.len())
    }
}

/// Opens a path in the kernel's form.
pub(crate) fn open_kernel(text: &[u8], flags: usize) -> Result<usize, Errno> {
    // SAFETY: the path is as long as stated.
    unsafe { syscall!(OPENAT, AT_NAMESPACE, text.as_ptr(), text.len(), flags) }
}

/// Opens a location; `flags` as the kernel takes them, permission bits included.
pub(crate) fn open_located(location: &Location, flags: usize) -> Result<usize, Errno> {
    let keep =
        flags & (O_SYMLINK | O_NOFOLLOW) != 0 || flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
    across_links(
        location,
        if keep { Last::Keep } else { Last::Follow },
        |location| match path::device(location.as_bytes()) {
            Some(device) => open_device(device, flags),
            None => open_kernel(location.as_bytes(), flags),
        },
    )
}

fn open_device(device: Device<'_>, flags: usize) -> Result<usize, Errno> {
    match device {
        Device::Scheme(scheme, name) => {
            let mut text = PathBuf::from_bytes(scheme)?;
            text.push(name)?;
            open_kernel(text.as_bytes(), flags & !(O_SYMLINK | O_NOFOLLOW))
        }
        Device::Descriptor(fd) => duplicate(fd, flags),
        Device::Terminal => {
            let terminal = (0..=2)
                .find(|&fd| crate::tty::is_terminal(fd))
                .ok_or(e::ENXIO)?;
            duplicate(terminal, flags)
        }
    }
}

fn duplicate(fd: usize, flags: usize) -> Result<usize, Errno> {
    // SAFETY: an empty string shares the description.
    unsafe { syscall!(DUP, fd, 0, 0, flags & O_CLOEXEC) }
}
