//! Descriptors: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/fcntl.html>.

use crate::types::*;
use crate::{Errno, e, error};
use core::sync::atomic::{AtomicU64, Ordering::AcqRel};
use valence_abi::flags::*;
use valence_abi::scheme::std_fs;

const F_GETLK: c_int = 5;
const F_SETLK: c_int = 6;
const F_SETLKW: c_int = 7;
const DUPFD_CLOEXEC: c_int = F_DUPFD_CLOEXEC as c_int;
const OPEN_MAX: c_int = 1024;
const LOCK_UN: c_int = 8;

/// A descriptor that is closed at the end of its scope.
pub(crate) struct Fd(pub(crate) usize);

impl Fd {
    /// The number, to be closed by somebody else.
    pub(crate) fn into_raw(self) -> usize {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: this object owns the descriptor.
        let _ = unsafe { syscall!(CLOSE, self.0) };
    }
}

/// `dup` with a scheme's string.
pub(crate) fn dup_with(fd: usize, text: &[u8]) -> Result<Fd, Errno> {
    // SAFETY: the string is as long as stated.
    unsafe { syscall!(DUP, fd, text.as_ptr(), text.len(), O_CLOEXEC) }.map(Fd)
}

/// C's `struct flock`.
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    len: i64,
    pid: c_int,
}

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;
const EXCLUSIVE_BIT: u64 = 1 << 63;
/// How long a waiter for a lock sleeps between attempts.
const LOCK_RETRY_NANOS: i64 = 10_000_000;

/// One of the advisory lock calls of the file systems (redox-facts 1.4, kinds 12 to 14).
fn lock_call(fd: c_int, kind: u8, start: u64, len: u64) -> Result<usize, Errno> {
    let metadata = [u64::from(kind), start, len];
    let flags = call::STD_FS;
    // SAFETY: no payload; three words of metadata.
    unsafe { syscall!(CALL, fd, 0, 0, flags, metadata.as_ptr(), metadata.len()) }
}

/// Takes a lock, waiting for it if `wait`: schemes have no waiting for locks, so the call is repeated.
fn take_lock(fd: c_int, start: u64, len: u64, wait: bool) -> Result<usize, Errno> {
    loop {
        match lock_call(fd, std_fs::LOCK, start, len) {
            Err(e::EAGAIN | e::EWOULDBLOCK | e::EACCES) if wait => {
                crate::time::sleep_until(crate::time::after(LOCK_RETRY_NANOS)?)?;
            }
            Err(e::EAGAIN | e::EACCES) => return Err(e::EWOULDBLOCK),
            result => return result,
        }
    }
}

/// Descriptors with a lock of `flock`, which ends when they are closed. The schemes' locks belong to processes (those
/// that belong to descriptions are never released by redoxfs 0.9.1), so `close` has to release it.
static LOCKED: [AtomicU64; OPEN_MAX as usize / 64] =
    [const { AtomicU64::new(0) }; OPEN_MAX as usize / 64];

/// Notes whether a descriptor holds a lock; returns what was noted.
fn mark_locked(fd: c_int, locked: bool) -> bool {
    let Ok(index) = usize::try_from(fd) else {
        return false;
    };
    let Some(word) = LOCKED.get(index / 64) else {
        return false;
    };
    let bit = 1 << (index % 64);
    let before = if locked {
        word.fetch_or(bit, AcqRel)
    } else {
        word.fetch_and(!bit, AcqRel)
    };
    before & bit != 0
}

/// What must happen before a descriptor is closed.
pub(crate) fn before_close(fd: c_int) {
    crate::poll::forget(fd);
    if mark_locked(fd, false) {
        let _ = lock_call(fd, std_fs::UNLOCK, 0, 0);
    }
}

/// What `fcntl` says of a lock that is taken; `flock` says EWOULDBLOCK.
fn as_again(errno: Errno) -> Errno {
    if errno == e::EWOULDBLOCK {
        e::EAGAIN
    } else {
        errno
    }
}

/// # Safety
/// `lock` must be valid.
unsafe fn record_lock(fd: c_int, command: c_int, lock: *mut Flock) -> Result<usize, Errno> {
    // SAFETY: the caller's struct.
    let Flock {
        kind,
        whence,
        start,
        len,
        ..
    } = unsafe { lock.read() };
    if whence != 0 || start < 0 || len < 0 {
        // Offsets relative to the cursor or the end are not supported.
        return Err(e::EINVAL);
    }
    let (start, len, wait) = (start as u64, len as u64, command == F_SETLKW);
    match (command, kind) {
        (F_GETLK, _) => Err(e::ENOSYS),
        (_, F_UNLCK) => lock_call(fd, std_fs::UNLOCK, start, len),
        (_, F_RDLCK) => take_lock(fd, start, len, wait).map_err(as_again),
        (_, F_WRLCK) => take_lock(fd, start, len | EXCLUSIVE_BIT, wait).map_err(as_again),
        _ => Err(e::EINVAL),
    }
}

/// Tells epoll about a copy.
fn note_copy(fd: c_int, copy: usize) -> usize {
    crate::poll::copied(fd, copy as c_int);
    copy
}

/// Makes `new` a copy of `fd`, closing what it was.
fn replace(fd: c_int, new: c_int, cloexec: usize) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    let copy = unsafe { syscall!(DUP2, fd, new, cloexec)? };
    crate::poll::forget(new);
    Ok(note_copy(fd, copy))
}

c_api! {
    fn close(fd: c_int) -> c_int {
        before_close(fd);
        error::int(syscall!(CLOSE, fd))
    }
    fn dup(fd: c_int) -> c_int {
        error::int(syscall!(DUP, fd, 0, 0, 0).map(|copy| note_copy(fd, copy)))
    }
    fn dup2(fd: c_int, new: c_int) -> c_int {
        if fd == new {
            return if fcntl(fd, F_GETFD as c_int, 0) < 0 { -1 } else { new };
        }
        error::int(replace(fd, new, 0))
    }
    fn dup3(fd: c_int, new: c_int, flags: c_int) -> c_int {
        error::int(replace(fd, new, flags as usize & O_CLOEXEC))
    }
    /// The `libc` crate inside std knows no F_DUPFD_CLOEXEC of its own and passes F_DUPFD (0): its `try_clone` would leak
    /// descriptors to children. So F_DUPFD sets close-on-exec too; who wants it cleared uses F_SETFD or `dup`
    /// (redox-facts 11.4).
    fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
        match command {
            F_GETLK | F_SETLK | F_SETLKW => error::int(record_lock(fd, command, argument as *mut Flock)),
            0 | DUPFD_CLOEXEC => {
                let copy = syscall!(FCNTL, fd, F_DUPFD_CLOEXEC, argument as c_int);
                error::int(copy.map(|copy| note_copy(fd, copy)))
            }
            _ => error::int(syscall!(FCNTL, fd, command, argument as c_int as usize)),
        }
    }
    fn flock(fd: c_int, operation: c_int) -> c_int {
        const LOCK_SH: c_int = 1;
        const LOCK_EX: c_int = 2;
        const LOCK_NB: c_int = 4;
        let wait = operation & LOCK_NB == 0;
        error::int(match operation & !LOCK_NB {
            LOCK_UN => {
                mark_locked(fd, false);
                lock_call(fd, std_fs::UNLOCK, 0, 0)
            }
            LOCK_SH => take_lock(fd, 0, 0, wait).inspect(|_| {
                mark_locked(fd, true);
            }),
            LOCK_EX => {
                take_lock(fd, 0, EXCLUSIVE_BIT, wait).inspect(|_| {
                mark_locked(fd, true);
            })
            }
            _ => Err(e::EINVAL),
        }
        .map(|_| 0))
    }
    fn lockf(_fd: c_int, _command: c_int, _len: i64) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    fn getdtablesize() -> c_int {
        OPEN_MAX
    }
    fn pipe(fds: *mut c_int) -> c_int {
        pipe2(fds, 0)
    }
    fn pipe2(fds: *mut c_int, flags: c_int) -> c_int {
        error::int(make_pipe(flags as usize).map(|(read_end, write_end)| {
            *fds = read_end as c_int;
            *fds.add(1) = write_end as c_int;
            0
        }))
    }
}

/// A pipe of the kernel's scheme `pipe`: opening makes the read end, `dup` with "write" the other.
pub(crate) fn make_pipe(flags: usize) -> Result<(usize, usize), Errno> {
    let flags = flags & (O_CLOEXEC | O_NONBLOCK);
    let read_end = Fd(super::resolve::open_kernel(b"pipe", flags | O_RDONLY)?);
    let name = b"write";
    // SAFETY: the string is as long as stated.
    let write_end = Fd(unsafe {
        syscall!(
            DUP,
            read_end.0,
            name.as_ptr(),
            name.len(),
            flags & O_CLOEXEC
        )
    }?);
    if flags & O_NONBLOCK != 0 {
        // SAFETY: no pointers.
        unsafe { syscall!(FCNTL, write_end.0, F_SETFL, O_NONBLOCK)? };
    }
    Ok((read_end.into_raw(), write_end.into_raw()))
}
