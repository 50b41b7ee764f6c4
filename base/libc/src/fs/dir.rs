//! Directory streams: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/readdir.html>.
//!
//! A position is the "opaque" value of the record before; 0 is the beginning. Schemes that know no directory records but
//! answer reads with one name per line (redox-facts 5) are read that way, with line numbers as positions.

use super::resolve::c_path;
use super::stat::is_directory;
use super::{AT_FDCWD, Fd, io, open_at};
use crate::memory::{free, malloc};
use crate::types::*;
use crate::{Errno, e, error};
use core::ptr;
use valence_abi::flags::*;
use valence_abi::layout::dirent;

const BUFFER_LEN: usize = 16 << 10;
const NAME_MAX: usize = 255;

/// An open directory.
pub(crate) struct Dir {
    fd: usize,
    /// Records of the last call: valid bytes and where the next record starts.
    filled: usize,
    next: usize,
    /// Position after the last record handed out.
    position: u64,
    as_lines: bool,
    /// What the last `readdir` returned.
    current: Dirent,
    buffer: [u8; BUFFER_LEN],
}

fn field<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..at + N)?.try_into().ok()
}

impl Dir {
    fn open(fd: Fd) -> Result<*mut Dir, Errno> {
        let dir = malloc(size_of::<Dir>()).cast::<Dir>();
        if dir.is_null() {
            return Err(e::ENOMEM);
        }
        // SAFETY: fresh memory of the right size; all fields but the buffers, which `filled` guards, are set.
        unsafe {
            (&raw mut (*dir).fd).write(fd.into_raw());
            (*dir).as_lines = false;
            (*dir).rewind(0);
        }
        Ok(dir)
    }

    fn rewind(&mut self, position: u64) {
        (self.filled, self.next, self.position) = (0, 0, position);
    }

    fn refill(&mut self) -> Result<(), Errno> {
        self.next = 0;
        self.filled = 0;
        let (buffer, len) = (self.buffer.as_mut_ptr(), self.buffer.len());
        // SAFETY: the buffer is as long as stated.
        match unsafe { syscall!(GETDENTS, self.fd, buffer, len, self.position) } {
            Ok(filled) => self.filled = filled.min(len),
            Err(errno @ (e::EOPNOTSUPP | e::ENOSYS | e::ENOTDIR | e::EBADF))
                if self.position == 0 =>
            {
                // Reading something that is no directory could wait for ever.
                if !is_directory(self.fd)? {
                    return Err(errno);
                }
                self.as_lines = true;
                self.refill_lines()?;
            }
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Line listings are read whole, from the start (they are short).
    fn refill_lines(&mut self) -> Result<(), Errno> {
        // SAFETY: no pointers.
        let _ = unsafe { syscall!(LSEEK, self.fd, 0, SEEK_SET) };
        let (mut filled, fd) = (0, self.fd);
        loop {
            match io::read_fd(fd, &mut self.buffer[filled..])? {
                0 => break,
                len => filled += len,
            }
        }
        self.filled = filled;
        self.next = 0;
        for _ in 0..self.position {
            self.take_line();
        }
        Ok(())
    }

    fn take_line(&mut self) -> Option<(usize, usize)> {
        let rest = &self.buffer[self.next..self.filled];
        if rest.is_empty() {
            return None;
        }
        let len = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(rest.len());
        let start = self.next;
        self.next = (start + len + 1).min(self.filled);
        Some((start, len))
    }

    /// The next entry in `self.current`; false at the end.
    fn advance(&mut self) -> Result<bool, Errno> {
        if self.next >= self.filled {
            if self.as_lines && self.position > 0 {
                return Ok(false);
            }
            self.refill()?;
            if self.filled == 0 {
                return Ok(false);
            }
        }
        if self.as_lines {
            let Some((start, len)) = self.take_line() else {
                return Ok(false);
            };
            self.position += 1;
            self.set_current(0, dirent::UNKNOWN, start, len);
            return Ok(true);
        }
        let record = &self.buffer[self.next..self.filled];
        let (Some(inode), Some(next), Some(len), Some(&kind)) = (
            field(record, dirent::INODE).map(u64::from_le_bytes),
            field(record, dirent::NEXT).map(u64::from_le_bytes),
            field(record, dirent::RECORD_LEN)
                .map(u16::from_le_bytes)
                .map(usize::from),
            record.get(dirent::KIND),
        ) else {
            return Err(e::EIO);
        };
        let name = record.get(dirent::HEADER_SIZE..len).ok_or(e::EIO)?;
        let name_len = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len());
        let start = self.next + dirent::HEADER_SIZE;
        self.next += len;
        self.position = next;
        self.set_current(inode, kind, start, name_len);
        Ok(true)
    }

    fn set_current(&mut self, inode: u64, kind: u8, start: usize, len: usize) {
        let len = len.min(NAME_MAX);
        let current = &mut self.current;
        (current.ino, current.kind, current.off) = (inode, kind, self.position as i64);
        current.reclen = size_of::<Dirent>() as u16;
        current.name[..len].copy_from_slice(&self.buffer[start..start + len]);
        current.name[len] = 0;
    }
}

c_api! {
    fn opendir(path: *const u8) -> *mut Dir {
        let fd = c_path(path).and_then(|path| open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
        match fd.and_then(|fd| Dir::open(Fd(fd))) {
            Ok(dir) => dir,
            Err(errno) => {
                error::set(errno);
                ptr::null_mut()
            }
        }
    }
    fn fdopendir(fd: c_int) -> *mut Dir {
        match is_directory(fd as usize) {
            Ok(true) => Dir::open(Fd(fd as usize)).unwrap_or(ptr::null_mut()),
            other => {
                error::set(other.err().unwrap_or(e::ENOTDIR));
                ptr::null_mut()
            }
        }
    }
    fn closedir(dir: *mut Dir) -> c_int {
        let fd = Fd((*dir).fd);
        free(dir.cast());
        drop(fd);
        0
    }
    fn readdir(dir: *mut Dir) -> *mut Dirent {
        match (*dir).advance() {
            Ok(true) => &raw mut (*dir).current,
            Ok(false) => ptr::null_mut(),
            Err(errno) => {
                error::set(errno);
                ptr::null_mut()
            }
        }
    }
    fn readdir64(dir: *mut Dir) -> *mut Dirent {
        readdir(dir)
    }
    fn readdir_r(dir: *mut Dir, entry: *mut Dirent, result: *mut *mut Dirent) -> c_int {
        *result = ptr::null_mut();
        match (*dir).advance() {
            Ok(true) => {
                *entry = (*dir).current;
                *result = entry;
                0
            }
            Ok(false) => 0,
            Err(errno) => c_int::from(errno.0),
        }
    }
    fn rewinddir(dir: *mut Dir) {
        (*dir).rewind(0)
    }
    fn seekdir(dir: *mut Dir, position: c_long) {
        (*dir).rewind(position as u64)
    }
    fn telldir(dir: *mut Dir) -> c_long {
        (*dir).position as c_long
    }
    fn dirfd(dir: *mut Dir) -> c_int {
        (*dir).fd as c_int
    }
}
