//! Setting access and modification times: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/futimens.html>.

use super::stat::{fstat_raw, open_node};
use super::{AT_FDCWD, resolve::c_path};
use crate::types::*;
use crate::{Errno, e, error, time};
use valence_abi::flags::CLOCK_REALTIME;
use valence_abi::layout::TimeSpec;

const UTIME_NOW: i64 = 0xFFFF_FFFF;
const UTIME_OMIT: i64 = 0xFFFF_FFFE;
const AT_SYMLINK_NOFOLLOW: c_int = 0x200;
const NANOS: i64 = 1_000_000_000;

/// # Safety
/// `times` must be null or point at two times.
unsafe fn set(fd: usize, times: *const Timespec) -> Result<usize, Errno> {
    let now = time::now(CLOCK_REALTIME)?;
    let mut wanted = [now, now];
    if !times.is_null() {
        let stat = fstat_raw(fd)?;
        let old = [(stat.atime, stat.atime_nsec), (stat.mtime, stat.mtime_nsec)];
        for (index, wanted) in wanted.iter_mut().enumerate() {
            // SAFETY: the caller's array of two.
            let given = unsafe { *times.add(index) };
            *wanted = match given.nsec {
                UTIME_NOW => now,
                UTIME_OMIT => TimeSpec {
                    sec: old[index].0 as i64,
                    nsec: old[index].1 as i32,
                },
                nsec if (0..NANOS).contains(&nsec) => TimeSpec {
                    sec: given.sec,
                    nsec: nsec as i32,
                },
                _ => return Err(e::EINVAL),
            };
        }
    }
    // SAFETY: two times.
    unsafe { syscall!(FUTIMENS, fd, wanted.as_ptr(), wanted.len()) }
}

/// # Safety
/// `times` must be null or point at two times.
unsafe fn from_micros(times: *const Timeval) -> Option<[Timespec; 2]> {
    (!times.is_null()).then(|| {
        [0, 1].map(|index| {
            // SAFETY: the caller's array of two.
            let time = unsafe { *times.add(index) };
            Timespec {
                sec: time.sec,
                nsec: i64::from(time.usec) * 1000,
            }
        })
    })
}

/// C's `struct utimbuf`.
#[repr(C)]
pub(crate) struct Utimbuf {
    access: i64,
    modification: i64,
}

c_api! {
    fn futimens(fd: c_int, times: *const Timespec) -> c_int {
        error::int(set(fd as usize, times))
    }
    fn utimensat(dirfd: c_int, path: *const u8, times: *const Timespec, flags: c_int) -> c_int {
        error::int(c_path(path).and_then(|path| {
            set(open_node(dirfd, path, flags & AT_SYMLINK_NOFOLLOW == 0)?.0, times)
        }))
    }
    fn utimes(path: *const u8, times: *const Timeval) -> c_int {
        let times = from_micros(times);
        utimensat(AT_FDCWD, path, times.as_ref().map_or(core::ptr::null(), |pair| pair.as_ptr()), 0)
    }
    fn lutimes(path: *const u8, times: *const Timeval) -> c_int {
        let times = from_micros(times);
        let times = times.as_ref().map_or(core::ptr::null(), |pair| pair.as_ptr());
        utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW)
    }
    fn futimes(fd: c_int, times: *const Timeval) -> c_int {
        let times = from_micros(times);
        futimens(fd, times.as_ref().map_or(core::ptr::null(), |pair| pair.as_ptr()))
    }
    fn utime(path: *const u8, times: *const Utimbuf) -> c_int {
        if times.is_null() {
            return utimensat(AT_FDCWD, path, core::ptr::null(), 0);
        }
        let pair = [(*times).access, (*times).modification].map(|sec| Timespec { sec, nsec: 0 });
        utimensat(AT_FDCWD, path, pair.as_ptr(), 0)
    }
}
