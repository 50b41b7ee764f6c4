//! Calling C functions and reading their errors.

use std::ffi::CString;
use std::io;

use guest_tests::OrFail;
use libc::c_int;

/// What a function that returns -1 and sets errno said.
pub(crate) fn done(value: c_int, what: &str) -> Result<c_int, String> {
    if value == -1 {
        Err(format!("{what}: {}", io::Error::last_os_error()))
    } else {
        Ok(value)
    }
}

/// The same for sizes.
pub(crate) fn size(value: isize, what: &str) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("{what}: {}", io::Error::last_os_error()))
}

/// errno of the call just made, which must have returned -1.
pub(crate) fn error(value: c_int) -> Result<c_int, String> {
    if value != -1 {
        return Err(format!("the call gave {value}, expected an error"));
    }
    io::Error::last_os_error()
        .raw_os_error()
        .ok_or("no errno".into())
}

/// The same for sizes.
pub(crate) fn size_error(value: isize) -> Result<c_int, String> {
    error(c_int::try_from(value).unwrap_or(0))
}

/// A function that returns an error number directly.
pub(crate) fn zero(value: c_int, what: &str) -> Result<(), String> {
    if value == 0 {
        Ok(())
    } else {
        Err(format!("{what}: {}", io::Error::from_raw_os_error(value)))
    }
}

/// A path for C.
pub(crate) fn c(path: impl AsRef<std::path::Path>) -> Result<CString, String> {
    CString::new(path.as_ref().as_os_str().as_encoded_bytes()).or_fail("path with NUL")
}

/// Runs `child` in a forked process, which ends with the code it returns; gives the wait status.
pub(crate) fn in_child(child: impl FnOnce() -> c_int) -> Result<c_int, String> {
    let pid = fork(child)?;
    let mut status = 0;
    // SAFETY: status is a valid place for the answer.
    done(unsafe { libc::waitpid(pid, &mut status, 0) }, "waitpid")?;
    Ok(status)
}

/// Starts `child` in a forked process and gives its number.
pub(crate) fn fork(child: impl FnOnce() -> c_int) -> Result<libc::pid_t, String> {
    // SAFETY: the child runs test code that does not depend on other threads, then leaves without running destructors.
    match done(unsafe { libc::fork() }, "fork")? {
        0 => {
            let code = child();
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid),
    }
}

/// A pipe: read end, write end.
pub(crate) fn pipe(flags: c_int) -> Result<[c_int; 2], String> {
    let mut ends = [0; 2];
    // SAFETY: ends has room for two descriptors.
    done(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) }, "pipe2")?;
    Ok(ends)
}

/// Closes descriptors.
pub(crate) fn close(fds: &[c_int]) {
    for fd in fds {
        // SAFETY: the caller owns the descriptor.
        unsafe { libc::close(*fd) };
    }
}

/// write(2) of a slice.
pub(crate) fn write(fd: c_int, bytes: &[u8]) -> isize {
    // SAFETY: the slice is readable for its length.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }
}

/// read(2) into a slice.
pub(crate) fn read(fd: c_int, bytes: &mut [u8]) -> isize {
    // SAFETY: the slice is writable for its length.
    unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) }
}
