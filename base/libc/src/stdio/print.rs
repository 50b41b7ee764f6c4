//! The `printf` family over `va_list`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/vfprintf.html>.

use super::variadic::VaList;
use super::{Stream, standard_output, with};
use crate::memory::malloc;
use crate::printf::format;
use crate::string::bytes_or_empty;
use crate::types::*;
use crate::{Errno, e, error, fs};
use core::ptr;

fn count(result: Result<usize, Errno>) -> c_int {
    match result {
        Ok(count) if count <= c_int::MAX as usize => count as c_int,
        Ok(_) => error::int(Err(e::EOVERFLOW)),
        Err(errno) => error::int(Err(errno)),
    }
}

/// Formats into memory, at most `room` bytes with the NUL; the count is of the whole text.
///
/// # Safety
/// As for `vsnprintf`.
unsafe fn to_memory(
    out: *mut u8,
    room: usize,
    text: *const u8,
    list: &mut VaList,
) -> Result<usize, Errno> {
    let mut at = 0;
    // SAFETY: the caller's string and room.
    unsafe {
        let result = format(bytes_or_empty(text), list, &mut |part| {
            let len = part.len().min(room.saturating_sub(at + 1));
            ptr::copy_nonoverlapping(part.as_ptr(), out.wrapping_add(at), len);
            at += len;
        });
        if room > 0 {
            *out.add(at) = 0;
        }
        result.map_err(|_| e::EINVAL)
    }
}

/// Formats to a function that may fail.
///
/// # Safety
/// As for `vprintf`.
unsafe fn to_writer(
    text: *const u8,
    list: &mut VaList,
    mut write: impl FnMut(&[u8]) -> Result<(), Errno>,
) -> Result<usize, Errno> {
    let mut outcome = Ok(());
    // SAFETY: the caller's string.
    let result = unsafe {
        format(bytes_or_empty(text), list, &mut |part| {
            if outcome.is_ok() {
                outcome = write(part);
            }
        })
    };
    outcome.and(result.map_err(|_| e::EINVAL))
}

c_api! {
    fn vfprintf(stream: *mut Stream, text: *const u8, list: *mut VaList) -> c_int {
        count(with(stream, |stream| to_writer(text, &mut *list, |part| stream.write(part))))
    }
    fn vprintf(text: *const u8, list: *mut VaList) -> c_int {
        vfprintf(standard_output(), text, list)
    }
    fn vdprintf(fd: c_int, text: *const u8, list: *mut VaList) -> c_int {
        count(to_writer(text, &mut *list, |part| fs::write_all(fd as usize, part)))
    }
    fn vsnprintf(out: *mut u8, room: usize, text: *const u8, list: *mut VaList) -> c_int {
        count(to_memory(out, room, text, &mut *list))
    }
    fn vsprintf(out: *mut u8, text: *const u8, list: *mut VaList) -> c_int {
        count(to_memory(out, c_int::MAX as usize, text, &mut *list))
    }
    fn vasprintf(out: *mut *mut u8, text: *const u8, list: *mut VaList) -> c_int {
        let mut first = ptr::read(list);
        let len = match to_memory(ptr::null_mut(), 0, text, &mut first) {
            Ok(len) => len,
            Err(errno) => return error::int(Err(errno)),
        };
        *out = malloc(len + 1);
        if (*out).is_null() {
            return -1;
        }
        count(to_memory(*out, len + 1, text, &mut *list))
    }
    /// To the scheme `log`, one line.
    fn vsyslog(_priority: c_int, text: *const u8, list: *mut VaList) {
        use valence_abi::flags::{O_CLOEXEC, O_WRONLY};
        if let Ok(fd) = fs::open_kernel(b"log/syslog", O_WRONLY | O_CLOEXEC) {
            let fd = fs::Fd(fd);
            let mut line = [0; 1024];
            if let Ok(len) = to_memory(line.as_mut_ptr(), line.len() - 1, text, &mut *list) {
                let len = len.min(line.len() - 2);
                line[len] = b'\n';
                let _ = fs::write_all(fd.0, &line[..=len]);
            }
        }
    }
    fn openlog(_name: *const u8, _options: c_int, _facility: c_int) {}
    fn closelog() {}
}
