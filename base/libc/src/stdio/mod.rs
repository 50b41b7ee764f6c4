//! Buffered streams: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/V2_chap02.html#tag_16_05>.
//!
//! A stream has one buffer, used for reading or for writing at a time, and a lock. `stdout` writes whole lines when it is
//! a terminal, whole buffers otherwise; `stderr` writes at once. `exit` flushes all. Not there: wide characters, `scanf`,
//! `popen` (CAVEATS.md).

mod calls;
mod print;
mod variadic;

use crate::fs::{self, Fd};
use crate::sync::{Lock, Mutex};
use crate::types::*;
use crate::{Errno, e};
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use valence_abi::flags::*;

const BUFFER_LEN: usize = 4096;
/// Streams at a time, the three standard ones included.
const STREAMS_MAX: usize = 256;
pub(crate) const EOF: c_int = -1;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Buffering {
    Full,
    Line,
    None,
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Idle,
    Reading,
    Writing,
}

/// C's `FILE`.
pub(crate) struct Stream {
    lock: Lock,
    /// The thread that holds the lock, and how often: `flockfile` may be followed by any other call.
    owner: AtomicU32,
    depth: Cell<u32>,
    fd: usize,
    buffering: Buffering,
    used_for: Use,
    /// Reading: unread bytes are `start..end`. Writing: bytes to write are `0..end`.
    start: usize,
    end: usize,
    pushed_back: Option<u8>,
    at_end: bool,
    failed: bool,
    buffer: [u8; BUFFER_LEN],
}

impl Stream {
    const fn new(fd: usize, buffering: Buffering) -> Stream {
        Stream {
            lock: Lock::new(),
            owner: AtomicU32::new(0),
            depth: Cell::new(0),
            fd,
            buffering,
            used_for: Use::Idle,
            start: 0,
            end: 0,
            pushed_back: None,
            at_end: false,
            failed: false,
            buffer: [0; BUFFER_LEN],
        }
    }

    /// Writes out what is buffered; unread input is given back by moving the cursor.
    fn flush(&mut self) -> Result<(), Errno> {
        let (used_for, start, end) = (self.used_for, self.start, self.end);
        (self.used_for, self.start, self.end) = (Use::Idle, 0, 0);
        match used_for {
            Use::Writing => fs::write_all(self.fd, &self.buffer[..end]),
            Use::Reading if start < end => {
                let back = (end - start) as isize;
                // SAFETY: no pointers. A stream without a cursor just loses what was read ahead.
                let _ = unsafe { syscall!(LSEEK, self.fd, -back, SEEK_CUR) };
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note<T>(&mut self, result: Result<T, Errno>) -> Result<T, Errno> {
        self.failed |= result.is_err();
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let result = self.write_buffered(bytes);
        self.note(result)
    }

    fn write_buffered(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.used_for != Use::Writing {
            self.flush()?;
            self.used_for = Use::Writing;
        }
        if self.buffering == Buffering::None || bytes.len() > BUFFER_LEN - self.end {
            self.flush()?;
            if self.buffering == Buffering::None || bytes.len() >= BUFFER_LEN {
                return fs::write_all(self.fd, bytes);
            }
            self.used_for = Use::Writing;
        }
        self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        if self.buffering == Buffering::Line && bytes.contains(&b'\n') {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Makes unread bytes available; false at the end of the file.
    fn fill(&mut self) -> Result<bool, Errno> {
        if self.used_for != Use::Reading {
            self.flush()?;
            self.used_for = Use::Reading;
        }
        if self.start < self.end {
            return Ok(true);
        }
        let result = fs::read_fd(self.fd, &mut self.buffer);
        let len = self.note(result)?;
        (self.start, self.end) = (0, len.min(BUFFER_LEN));
        self.at_end |= len == 0;
        Ok(len > 0)
    }

    fn read_byte(&mut self) -> Option<u8> {
        if let Some(byte) = self.pushed_back.take() {
            return Some(byte);
        }
        match self.fill() {
            Ok(true) => {
                self.start += 1;
                Some(self.buffer[self.start - 1])
            }
            Ok(false) => None,
            Err(errno) => {
                crate::error::set(errno);
                None
            }
        }
    }

    fn read(&mut self, out: &mut [u8]) -> usize {
        let mut done = 0;
        while done < out.len() {
            if let Some(byte) = self.pushed_back.take() {
                out[done] = byte;
                done += 1;
                continue;
            }
            match self.fill() {
                Ok(true) => {
                    let len = (out.len() - done).min(self.end - self.start);
                    out[done..done + len]
                        .copy_from_slice(&self.buffer[self.start..self.start + len]);
                    self.start += len;
                    done += len;
                }
                Ok(false) => break,
                Err(errno) => {
                    crate::error::set(errno);
                    break;
                }
            }
        }
        done
    }

    fn seek(&mut self, offset: i64, whence: usize) -> Result<usize, Errno> {
        self.flush()?;
        self.pushed_back = None;
        self.at_end = false;
        // SAFETY: no pointers.
        unsafe { syscall!(LSEEK, self.fd, offset, whence) }
    }

    fn tell(&self) -> Result<usize, Errno> {
        // SAFETY: no pointers.
        let at = unsafe { syscall!(LSEEK, self.fd, 0, SEEK_CUR)? };
        Ok(match self.used_for {
            Use::Reading => at - (self.end - self.start) - usize::from(self.pushed_back.is_some()),
            Use::Writing => at + self.end,
            Use::Idle => at,
        })
    }
}

static mut STDIN: Stream = Stream::new(0, Buffering::Full);
static mut STDOUT: Stream = Stream::new(1, Buffering::Full);
static mut STDERR: Stream = Stream::new(2, Buffering::None);

/// A pointer variable of C.
#[repr(transparent)]
pub(crate) struct Exported(*mut Stream);
// SAFETY: the pointer never changes; the stream has a lock.
unsafe impl Sync for Exported {}

#[unsafe(no_mangle)]
static stdin: Exported = Exported(&raw mut STDIN);
#[unsafe(no_mangle)]
static stdout: Exported = Exported(&raw mut STDOUT);
#[unsafe(no_mangle)]
static stderr: Exported = Exported(&raw mut STDERR);

/// Streams that were opened, as addresses.
static OPEN: Mutex<[usize; STREAMS_MAX]> = Mutex::new([0; STREAMS_MAX]);

/// Takes a stream's lock, which its holder may take again.
///
/// # Safety
/// `stream` must be an open stream.
unsafe fn enter(stream: *mut Stream) {
    let me = crate::thread::current().tid();
    // SAFETY: only fields that are atomic, or that the lock's holder alone uses.
    unsafe {
        if (*stream).owner.load(Relaxed) != me {
            (*stream).lock.lock();
            (*stream).owner.store(me, Relaxed);
        }
        (*stream).depth.set((*stream).depth.get() + 1);
    }
}

/// Undoes one [`enter`].
///
/// # Safety
/// The caller must hold the stream's lock.
unsafe fn leave(stream: *mut Stream) {
    // SAFETY: as in `enter`.
    unsafe {
        (*stream).depth.set((*stream).depth.get() - 1);
        if (*stream).depth.get() == 0 {
            (*stream).owner.store(0, Relaxed);
            (*stream).lock.unlock();
        }
    }
}

/// Runs `work` on a stream under its lock.
///
/// # Safety
/// `stream` must be an open stream.
unsafe fn with<T>(stream: *mut Stream, work: impl FnOnce(&mut Stream) -> T) -> T {
    // SAFETY: the lock keeps other threads away while `work` has the reference.
    unsafe {
        enter(stream);
        let result = work(&mut *stream);
        leave(stream);
        result
    }
}

fn standard_output() -> *mut Stream {
    static DECIDED: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
    let stream = &raw mut STDOUT;
    if !DECIDED.swap(true, core::sync::atomic::Ordering::AcqRel) && crate::tty::is_terminal(1) {
        // SAFETY: an open stream.
        unsafe { with(stream, |stream| stream.buffering = Buffering::Line) };
    }
    stream
}

/// Flushes every stream; for `exit` and `fflush(NULL)`.
pub(crate) fn flush_all() -> Result<(), Errno> {
    // SAFETY: open streams, each under its lock.
    unsafe {
        let mut result = with(&raw mut STDOUT, |stream| match stream.used_for {
            Use::Writing => stream.flush(),
            _ => Ok(()),
        });
        for address in OPEN.lock().iter().filter(|&&address| address != 0) {
            let one = with(*address as *mut Stream, |stream| match stream.used_for {
                Use::Writing => stream.flush(),
                _ => Ok(()),
            });
            result = result.and(one);
        }
        result
    }
}

/// Makes a stream of a descriptor.
fn open_stream(fd: Fd) -> Result<*mut Stream, Errno> {
    let mut open = OPEN.lock();
    let entry = open
        .iter_mut()
        .find(|entry| **entry == 0)
        .ok_or(e::EMFILE)?;
    let stream = crate::memory::malloc(size_of::<Stream>()).cast::<Stream>();
    if stream.is_null() {
        return Err(e::ENOMEM);
    }
    // SAFETY: fresh memory of the right size.
    unsafe { ptr::write(stream, Stream::new(fd.into_raw(), Buffering::Full)) };
    *entry = stream as usize;
    Ok(stream)
}

/// Ends a stream; the standard ones stay in memory.
///
/// # Safety
/// `stream` must be an open stream that nobody uses afterwards.
unsafe fn close_stream(stream: *mut Stream) -> Result<(), Errno> {
    // SAFETY: the caller's stream.
    unsafe {
        let (flushed, fd) = with(stream, |stream| (stream.flush(), stream.fd));
        let closed = syscall!(CLOSE, fd);
        let mut open = OPEN.lock();
        if let Some(entry) = open.iter_mut().find(|entry| **entry == stream as usize) {
            *entry = 0;
            crate::memory::free(stream.cast());
        }
        flushed.and(closed.map(drop))
    }
}

/// Kernel flags of a mode such as `r+` or `wbx`.
fn mode_flags(mode: &[u8]) -> Result<usize, Errno> {
    let has = |letter: u8| mode.contains(&letter);
    let both = has(b'+');
    let access = |one: usize| if both { O_RDWR } else { one };
    let flags = match mode.first() {
        Some(b'r') => access(O_RDONLY),
        Some(b'w') => access(O_WRONLY) | O_CREAT | O_TRUNC,
        Some(b'a') => access(O_WRONLY) | O_CREAT | O_APPEND,
        _ => return Err(e::EINVAL),
    };
    let exclusive = if has(b'x') { O_EXCL } else { 0 };
    Ok(flags | exclusive | if has(b'e') { O_CLOEXEC } else { 0 })
}
