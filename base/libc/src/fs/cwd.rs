//! The process's current directory and file mode mask: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/chdir.html>.
//!
//! Both live in the library. `exec` hands them to the next program as `ExecArgs::libc_state`: the mask as four bytes,
//! little endian, then the canonical path.

use super::resolve::{c_path, canonical_of_fd, locate_at, open_located};
use super::{AT_FDCWD, Fd};
use crate::memory::malloc;
use crate::path::PathBuf;
use crate::sync::{Lock, Mutex};
use crate::types::*;
use crate::{Errno, e, error};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use valence_abi::PATH_MAX;
use valence_abi::flags::{O_CLOEXEC, O_DIRECTORY, O_STAT};

const MASK_DEFAULT: u32 = 0o022;
const MODE_BITS: u32 = 0o777;
/// Bytes of the mask in the saved state.
const MASK_LEN: usize = 4;

/// Empty means `/`.
static CWD: Mutex<PathBuf> = Mutex::new(PathBuf::new());
static MASK: AtomicU32 = AtomicU32::new(MASK_DEFAULT);

/// The directory's lock, for fork.
pub(crate) fn lock() -> &'static Lock {
    CWD.raw()
}

/// The canonical current directory.
pub(crate) fn current() -> PathBuf {
    let cwd = CWD.lock().clone();
    if cwd.as_bytes().is_empty() {
        PathBuf::from_bytes(b"/").unwrap_or_default()
    } else {
        cwd
    }
}

pub(crate) fn mask() -> u32 {
    MASK.load(Relaxed)
}

/// Takes over what the program before exec left.
pub(crate) fn restore_state(state: &[u8]) {
    let Some((mask, path)) = state.split_first_chunk::<MASK_LEN>() else {
        return;
    };
    MASK.store(u32::from_le_bytes(*mask) & MODE_BITS, Relaxed);
    if let Ok(path) = PathBuf::from_bytes(path) {
        *CWD.lock() = path;
    }
}

/// What [`restore_state`] of the next program takes; returns the bytes used.
pub(crate) fn saved_state(buf: &mut [u8; MASK_LEN + PATH_MAX]) -> usize {
    let cwd = current();
    buf[..MASK_LEN].copy_from_slice(&mask().to_le_bytes());
    let end = MASK_LEN + cwd.as_bytes().len();
    buf[MASK_LEN..end].copy_from_slice(cwd.as_bytes());
    end
}

fn change(path: &[u8]) -> Result<usize, Errno> {
    let location = locate_at(AT_FDCWD, path)?;
    let fd = Fd(open_located(&location, O_STAT | O_DIRECTORY | O_CLOEXEC)?);
    if !super::stat::is_directory(fd.0)? {
        return Err(e::ENOTDIR);
    }
    // The scheme knows best what was reached (links); if it cannot say, the path as written is right too.
    let path = canonical_of_fd(fd.0).or_else(|_| location.canonical())?;
    *CWD.lock() = path;
    Ok(0)
}

c_api! {
    fn chdir(path: *const u8) -> c_int {
        error::int(c_path(path).and_then(change))
    }
    fn fchdir(fd: c_int) -> c_int {
        let canonical = canonical_of_fd(fd as usize);
        error::int(canonical.and_then(|path| change(path.as_bytes())))
    }
    fn getcwd(buf: *mut u8, len: usize) -> *mut u8 {
        let cwd = current();
        let text = cwd.with_nul();
        let (buf, len) = if buf.is_null() {
            let len = len.max(text.len());
            (malloc(len), len)
        } else {
            (buf, len)
        };
        if buf.is_null() {
            return ptr::null_mut();
        }
        if text.len() > len {
            error::set(if len == 0 { e::EINVAL } else { e::ERANGE });
            return ptr::null_mut();
        }
        ptr::copy_nonoverlapping(text.as_ptr(), buf, text.len());
        buf
    }
    fn umask(mask: c_int) -> c_int {
        MASK.swap(mask as u32 & MODE_BITS, Relaxed) as c_int
    }
    /// Namespaces take the place of changed roots.
    fn chroot(_path: *const u8) -> c_int {
        error::int(Err(e::ENOSYS))
    }
}
