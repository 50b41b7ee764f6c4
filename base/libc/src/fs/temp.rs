//! Temporary names and shared memory objects:
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/mkstemp.html>.

use super::resolve::c_path;
use super::{AT_FDCWD, open_at};
use crate::path::PathBuf;
use crate::types::*;
use crate::{Errno, e, error, system};
use core::{ptr, slice};
use valence_abi::flags::*;

/// The part of a template that is replaced.
const MARK: &[u8] = b"XXXXXX";
const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ATTEMPTS: usize = 100;

/// Fills the template with random letters until `attempt` does not fail with EEXIST.
///
/// # Safety
/// `template` must be a writable C string.
unsafe fn with_name(
    template: *mut u8,
    suffix_len: c_int,
    mut attempt: impl FnMut(&[u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    // SAFETY: the caller's string.
    let text = unsafe { slice::from_raw_parts_mut(template, crate::string::strlen(template)) };
    let end = usize::try_from(suffix_len)
        .ok()
        .and_then(|suffix| text.len().checked_sub(suffix))
        .ok_or(e::EINVAL)?;
    let start = end
        .checked_sub(MARK.len())
        .filter(|&start| &text[start..end] == MARK)
        .ok_or(e::EINVAL)?;
    for _ in 0..ATTEMPTS {
        let mut random = [0; MARK.len()];
        system::fill_random(&mut random)?;
        for (letter, random) in text[start..end].iter_mut().zip(random) {
            *letter = LETTERS[usize::from(random) % LETTERS.len()];
        }
        match attempt(text) {
            Err(e::EEXIST) => {}
            result => return result,
        }
    }
    text[start..end].copy_from_slice(MARK);
    Err(e::EEXIST)
}

fn shm_path(name: &[u8]) -> Result<PathBuf, Errno> {
    let name = name.strip_prefix(b"/").unwrap_or(name);
    if name.is_empty() || name.contains(&b'/') {
        return Err(e::EINVAL);
    }
    let mut path = PathBuf::from_bytes(b"/scheme/shm/")?;
    path.push(name)?;
    Ok(path)
}

c_api! {
    fn mkstemp(template: *mut u8) -> c_int {
        mkostemps(template, 0, 0)
    }
    fn mkostemp(template: *mut u8, flags: c_int) -> c_int {
        mkostemps(template, 0, flags)
    }
    fn mkstemps(template: *mut u8, suffix_len: c_int) -> c_int {
        mkostemps(template, suffix_len, 0)
    }
    fn mkostemps(template: *mut u8, suffix_len: c_int, flags: c_int) -> c_int {
        let flags = (flags as u32 as usize & !O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL;
        error::int(with_name(template, suffix_len, |path| open_at(AT_FDCWD, path, flags, 0o600)))
    }
    fn mkdtemp(template: *mut u8) -> *mut u8 {
        let flags = O_CREAT | O_EXCL | O_DIRECTORY | O_CLOEXEC;
        match with_name(template, 0, |path| open_at(AT_FDCWD, path, flags, 0o700)) {
            Ok(fd) => {
                drop(super::Fd(fd));
                template
            }
            Err(errno) => {
                error::set(errno);
                ptr::null_mut()
            }
        }
    }
    fn shm_open(name: *const u8, flags: c_int, mode: c_uint) -> c_int {
        error::int(c_path(name).and_then(|name| {
            open_at(AT_FDCWD, shm_path(name)?.as_bytes(), flags as u32 as usize | O_CLOEXEC, mode)
        }))
    }
    fn shm_unlink(name: *const u8) -> c_int {
        match c_path(name).and_then(shm_path) {
            Ok(path) => super::change::unlink(path.with_nul().as_ptr()),
            Err(errno) => error::int(Err(errno)),
        }
    }
}
