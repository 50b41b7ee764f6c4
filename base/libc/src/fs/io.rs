//! Reading and writing: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/read.html>.

use super::{AT_FDCWD, Fd, open_at};
use crate::types::*;
use crate::{Errno, e, error};
use core::slice;
use valence_abi::flags::{O_CLOEXEC, O_RDONLY};

/// `IOV_MAX`.
const PARTS_MAX: usize = 1024;

pub(crate) fn read_fd(fd: usize, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is as long as stated.
    unsafe { syscall!(READ, fd, buf.as_mut_ptr(), buf.len()) }
}

/// Writes everything.
pub(crate) fn write_all(fd: usize, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // SAFETY: the buffer is as long as stated.
        match unsafe { syscall!(WRITE, fd, bytes.as_ptr(), bytes.len()) } {
            Ok(0) => return Err(e::EIO),
            Ok(written) => bytes = bytes.get(written..).ok_or(e::EIO)?,
            Err(e::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads a small file's beginning; returns how much of `buf` it filled.
pub(crate) fn read_file(path: &[u8], buf: &mut [u8]) -> Result<usize, Errno> {
    let fd = Fd(open_at(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0)?);
    let mut filled = 0;
    while filled < buf.len() {
        match read_fd(fd.0, &mut buf[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(e::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Runs `transfer` over the parts until one is cut short.
///
/// # Safety
/// `parts` must point at `count` valid vectors.
unsafe fn each_part(
    parts: *const Iovec,
    count: c_int,
    mut transfer: impl FnMut(&Iovec, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| e::EINVAL)?;
    if count > PARTS_MAX {
        return Err(e::EINVAL);
    }
    let parts = if count == 0 {
        &[]
    } else {
        // SAFETY: the caller's array.
        unsafe { slice::from_raw_parts(parts, count) }
    };
    let mut done = 0;
    for part in parts.iter().filter(|part| part.len > 0) {
        match transfer(part, done) {
            Ok(len) => {
                done += len;
                if len < part.len {
                    break;
                }
            }
            // What was moved already counts; the error will show again on the next call.
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Short writes are gathered into one system call: a line printed in parts must reach a pipe or terminal in one piece.
const GATHER_MAX: usize = 4096;

/// # Safety
/// The parts must be valid and fit into the buffer.
unsafe fn gather(parts: &[Iovec], buf: &mut [u8; GATHER_MAX]) -> usize {
    let mut filled = 0;
    for part in parts.iter().filter(|part| part.len > 0) {
        // SAFETY: the caller summed the lengths: they fit.
        unsafe { crate::string::memcpy(buf.as_mut_ptr().add(filled), part.base, part.len) };
        filled += part.len;
    }
    filled
}

/// Lets epoll know of a read that gave less than was asked for.
pub(crate) fn noted(fd: c_int, got: usize, wanted: usize) {
    if got > 0 && got < wanted {
        crate::poll::after_short_read(fd);
    }
}

/// `readv` for other modules.
///
/// # Safety
/// `parts` must point at `count` valid vectors.
pub(crate) unsafe fn readv_fd(
    fd: c_int,
    parts: *const Iovec,
    count: usize,
) -> Result<usize, Errno> {
    let count = c_int::try_from(count).map_err(|_| e::EINVAL)?;
    // SAFETY: passed on.
    unsafe {
        each_part(parts, count, |part, _| {
            syscall!(READ, fd, part.base, part.len).inspect(|&got| noted(fd, got, part.len))
        })
    }
}

/// `writev` for other modules: one system call when it is little.
///
/// # Safety
/// `parts` must point at `count` valid vectors.
pub(crate) unsafe fn writev_fd(
    fd: c_int,
    parts: *const Iovec,
    count: usize,
) -> Result<usize, Errno> {
    let count = c_int::try_from(count).map_err(|_| e::EINVAL)?;
    // SAFETY: passed on; the buffer is as long as stated.
    unsafe {
        if (2..=PARTS_MAX as c_int).contains(&count) {
            let list = slice::from_raw_parts(parts, count as usize);
            let total = list
                .iter()
                .fold(0usize, |total, part| total.saturating_add(part.len));
            if total <= GATHER_MAX {
                let mut buf = [0; GATHER_MAX];
                let filled = gather(list, &mut buf);
                return syscall!(WRITE, fd, buf.as_ptr(), filled);
            }
        }
        each_part(parts, count, |part, _| {
            syscall!(WRITE, fd, part.base, part.len)
        })
    }
}

c_api! {
    fn read(fd: c_int, buf: *mut u8, len: usize) -> isize {
        error::long(syscall!(READ, fd, buf, len).inspect(|&got| noted(fd, got, len)))
    }
    fn write(fd: c_int, buf: *const u8, len: usize) -> isize {
        error::long(syscall!(WRITE, fd, buf, len))
    }
    fn pread(fd: c_int, buf: *mut u8, len: usize, offset: i64) -> isize {
        error::long(syscall!(PREAD, fd, buf, len, offset))
    }
    fn pwrite(fd: c_int, buf: *const u8, len: usize, offset: i64) -> isize {
        error::long(syscall!(PWRITE, fd, buf, len, offset))
    }
    fn pread64(fd: c_int, buf: *mut u8, len: usize, offset: i64) -> isize {
        pread(fd, buf, len, offset)
    }
    fn pwrite64(fd: c_int, buf: *const u8, len: usize, offset: i64) -> isize {
        pwrite(fd, buf, len, offset)
    }
    fn readv(fd: c_int, parts: *const Iovec, count: c_int) -> isize {
        error::long(usize::try_from(count).map_err(|_| e::EINVAL).and_then(|count| readv_fd(fd, parts, count)))
    }
    fn writev(fd: c_int, parts: *const Iovec, count: c_int) -> isize {
        error::long(usize::try_from(count).map_err(|_| e::EINVAL).and_then(|count| writev_fd(fd, parts, count)))
    }
    fn preadv(fd: c_int, parts: *const Iovec, count: c_int, offset: i64) -> isize {
        error::long(each_part(parts, count, |part, done| {
            syscall!(PREAD, fd, part.base, part.len, offset + done as i64)
        }))
    }
    fn pwritev(fd: c_int, parts: *const Iovec, count: c_int, offset: i64) -> isize {
        error::long(each_part(parts, count, |part, done| {
            syscall!(PWRITE, fd, part.base, part.len, offset + done as i64)
        }))
    }
    fn lseek(fd: c_int, offset: i64, whence: c_int) -> isize {
        error::long(syscall!(LSEEK, fd, offset, whence))
    }
    fn lseek64(fd: c_int, offset: i64, whence: c_int) -> isize {
        lseek(fd, offset, whence)
    }
    fn fsync(fd: c_int) -> c_int {
        error::int(syscall!(FSYNC, fd))
    }
    fn fdatasync(fd: c_int) -> c_int {
        error::int(syscall!(FSYNC, fd))
    }
    /// There is no list of everything that is dirty (CAVEATS.md); POSIX lets `sync` return nothing.
    fn sync() {}
    fn ftruncate(fd: c_int, len: i64) -> c_int {
        if len < 0 {
            return error::int(Err(e::EINVAL));
        }
        error::int(syscall!(FTRUNCATE, fd, len))
    }
    fn ftruncate64(fd: c_int, len: i64) -> c_int {
        ftruncate(fd, len)
    }
    fn posix_fadvise(_fd: c_int, _offset: i64, _len: i64, _advice: c_int) -> c_int {
        0
    }
    fn posix_fallocate(_fd: c_int, _offset: i64, _len: i64) -> c_int {
        c_int::from(e::EOPNOTSUPP.0)
    }
}
