//! `errno` and its texts: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/strerror.html>.
//!
//! The variable lives in the thread control block. Redox's `redox_*` functions never touch it.

use crate::types::*;
use crate::{Errno, e, thread};
use core::fmt::Write;

/// Sets `errno`.
pub(crate) fn set(errno: Errno) {
    // SAFETY: the thread's own variable.
    unsafe { *thread::current_errno() = c_int::from(errno.0) }
}

/// A C result of type `int`: -1 and `errno`, or the value.
pub(crate) fn int(result: Result<usize, Errno>) -> c_int {
    long(result) as c_int
}

/// A C result of type `ssize_t` or `off_t`.
pub(crate) fn long(result: Result<usize, Errno>) -> isize {
    match result {
        Ok(value) => value as isize,
        Err(errno) => {
            set(errno);
            -1
        }
    }
}

/// A C result that is the error number itself (the pthread functions).
pub(crate) fn number(result: Result<usize, Errno>) -> c_int {
    match result {
        Ok(_) => 0,
        Err(errno) => c_int::from(errno.0),
    }
}

/// Room for the longest error text.
const TEXT_MAX: usize = 64;

/// A short text on the stack, always NUL terminated.
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        Text {
            bytes: [0; N],
            len: 0,
        }
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
    pub(crate) fn with_nul(&self) -> &[u8] {
        &self.bytes[..self.len + 1]
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if self.len + text.len() >= N {
            return Err(core::fmt::Error);
        }
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The text of an error number, also of one that has none.
pub(crate) fn text(number: c_int) -> Text<TEXT_MAX> {
    let mut text = Text::new();
    let known = u16::try_from(number)
        .ok()
        .and_then(|number| Errno(number).text());
    let _ = match known {
        Some(known) => text.write_str(known),
        None if number == 0 => text.write_str("Success"),
        None => write!(text, "Unknown error {number}"),
    };
    text
}

static mut STRERROR: [u8; TEXT_MAX] = [0; TEXT_MAX];

c_api! {
    fn __errno() -> *mut c_int {
        thread::current_errno()
    }
    fn __errno_location() -> *mut c_int {
        thread::current_errno()
    }
    fn strerror_r(number: c_int, buf: *mut u8, len: usize) -> c_int {
        let text = text(number);
        let bytes = text.bytes();
        if len == 0 {
            return c_int::from(e::ERANGE.0);
        }
        let copied = bytes.len().min(len - 1);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), buf, copied);
        *buf.add(copied) = 0;
        if copied < bytes.len() { c_int::from(e::ERANGE.0) } else { 0 }
    }
    fn __xpg_strerror_r(number: c_int, buf: *mut u8, len: usize) -> c_int {
        strerror_r(number, buf, len)
    }
    /// Not safe against threads, as POSIX allows.
    fn strerror(number: c_int) -> *mut u8 {
        let text = text(number);
        let bytes = text.with_nul();
        let target = (&raw mut STRERROR).cast::<u8>();
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        target
    }
    fn perror(prefix: *const u8) {
        let saved = *thread::current_errno();
        let mut out = crate::fs::StderrWriter;
        let prefix = crate::string::bytes_or_empty(prefix);
        if !prefix.is_empty() {
            let _ = write!(out, "{}: ", core::str::from_utf8(prefix).unwrap_or("?"));
        }
        let _ = writeln!(out, "{}", core::str::from_utf8(text(saved).bytes()).unwrap_or("?"));
    }
}
