//! Clocks and sleeping: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/clock_gettime.html>.
//!
//! The kernel has two clocks: CLOCK_REALTIME (1) and CLOCK_MONOTONIC (4), Redox's numbers. All its deadlines are
//! monotonic nanoseconds; wall-clock deadlines are converted when the wait begins.

mod civil;
mod format;
mod timer;

use crate::sync::FOREVER;
use crate::types::*;
use crate::{Errno, e, error};
use valence_abi::flags::{CLOCK_MONOTONIC, CLOCK_REALTIME};
use valence_abi::layout::TimeSpec;

const NANOS: i64 = 1_000_000_000;
const TIMER_ABSTIME: c_int = 1;
const ITIMER_REAL: c_int = 0;

/// Reads a kernel clock.
pub(crate) fn now(clock: usize) -> Result<TimeSpec, Errno> {
    let mut time = TimeSpec::default();
    // SAFETY: the struct is the one the kernel writes.
    unsafe { syscall!(CLOCK_GETTIME, clock, &raw mut time)? };
    Ok(time)
}

fn nanos(sec: i64, nsec: i64) -> Result<i64, Errno> {
    if !(0..NANOS).contains(&nsec) {
        return Err(e::EINVAL);
    }
    Ok(sec.saturating_mul(NANOS).saturating_add(nsec))
}

fn clock_nanos(clock: usize) -> Result<i64, Errno> {
    let time = now(clock)?;
    nanos(time.sec, i64::from(time.nsec))
}

/// A deadline `nanos` from now.
pub(crate) fn after(nanos: i64) -> Result<u64, Errno> {
    let at = clock_nanos(CLOCK_MONOTONIC)?.saturating_add(nanos.max(0));
    Ok((at as u64).min(FOREVER - 1))
}

/// The kernel's deadline for an absolute time on `clock`.
pub(crate) fn deadline(clock: c_int, time: &Timespec) -> Result<u64, Errno> {
    let wanted = nanos(time.sec, time.nsec)?;
    match usize::try_from(clock).map_err(|_| e::EINVAL)? {
        CLOCK_MONOTONIC => Ok(wanted.max(0) as u64),
        CLOCK_REALTIME => after(wanted.saturating_sub(clock_nanos(CLOCK_REALTIME)?)),
        _ => Err(e::EINVAL),
    }
}

/// A deadline from a relative time; null means none.
///
/// # Safety
/// `time` must be null or valid.
pub(crate) unsafe fn relative_deadline(time: *const Timespec) -> Result<u64, Errno> {
    if time.is_null() {
        return Ok(FOREVER);
    }
    // SAFETY: the caller's struct.
    let time = unsafe { *time };
    if time.sec < 0 {
        return Err(e::EINVAL);
    }
    after(nanos(time.sec, time.nsec)?)
}

pub(crate) fn sleep_until(deadline: u64) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    unsafe { syscall!(SLEEP_UNTIL, deadline) }
}

fn split(nanos: i64) -> Timespec {
    Timespec {
        sec: nanos / NANOS,
        nsec: nanos % NANOS,
    }
}

/// Sleeps for a while; on EINTR tells what is left.
///
/// # Safety
/// `left` must be null or valid.
unsafe fn sleep_for(wanted: &Timespec, left: *mut Timespec) -> Result<usize, Errno> {
    if wanted.sec < 0 {
        return Err(e::EINVAL);
    }
    let deadline = after(nanos(wanted.sec, wanted.nsec)?)?;
    let result = sleep_until(deadline);
    if result == Err(e::EINTR) && !left.is_null() {
        let rest = (deadline as i64)
            .saturating_sub(clock_nanos(CLOCK_MONOTONIC)?)
            .max(0);
        // SAFETY: the caller's struct.
        unsafe { left.write(split(rest)) };
    }
    result
}

fn micros_to_nanos(time: Timeval) -> Result<i64, Errno> {
    nanos(time.sec, i64::from(time.usec) * 1000)
}

fn nanos_to_micros(nanos: i64) -> Timeval {
    Timeval {
        sec: nanos / NANOS,
        usec: ((nanos % NANOS) / 1000) as i32,
    }
}

/// Sets the process's alarm and returns what was left of the old one, with its interval (nanoseconds).
fn set_alarm(deadline: u64, interval: i64) -> Result<(i64, i64), Errno> {
    let mut old = [0u64; 2];
    // SAFETY: two words, as the call says.
    unsafe { syscall!(ALARM, deadline, interval, old.as_mut_ptr())? };
    Ok((old[0] as i64, old[1] as i64))
}

/// C's `struct tms`, in ticks of 1/100 s.
#[repr(C)]
struct Tms([i64; 4]);

c_api! {
    fn clock_gettime(clock: c_int, out: *mut Timespec) -> c_int {
        error::int(now(clock as usize).map(|time| {
            out.write(Timespec { sec: time.sec, nsec: i64::from(time.nsec) });
            0
        }))
    }
    fn clock_getres(clock: c_int, out: *mut Timespec) -> c_int {
        if clock as usize != CLOCK_REALTIME && clock as usize != CLOCK_MONOTONIC {
            return error::int(Err(e::EINVAL));
        }
        if !out.is_null() {
            out.write(Timespec { sec: 0, nsec: 1 });
        }
        0
    }
    /// The wall clock is set through `/scheme/sys/update_time_offset`, by who may.
    fn clock_settime(_clock: c_int, _time: *const Timespec) -> c_int {
        error::int(Err(e::EPERM))
    }
    fn gettimeofday(out: *mut Timeval, _zone: *mut c_void) -> c_int {
        error::int(clock_nanos(CLOCK_REALTIME).map(|nanos| {
            out.write(nanos_to_micros(nanos));
            0
        }))
    }
    fn time(out: *mut i64) -> i64 {
        let sec = match now(CLOCK_REALTIME) {
            Ok(time) => time.sec,
            Err(errno) => return error::long(Err(errno)) as i64,
        };
        if !out.is_null() {
            *out = sec;
        }
        sec
    }
    fn nanosleep(wanted: *const Timespec, left: *mut Timespec) -> c_int {
        error::int(sleep_for(&*wanted, left))
    }
    fn clock_nanosleep(clock: c_int, flags: c_int, wanted: *const Timespec, left: *mut Timespec) -> c_int {
        if flags & TIMER_ABSTIME != 0 {
            return error::number(deadline(clock, &*wanted).and_then(sleep_until));
        }
        error::number(sleep_for(&*wanted, left))
    }
    fn sleep(seconds: c_uint) -> c_uint {
        let mut left = Timespec::default();
        match sleep_for(&Timespec { sec: i64::from(seconds), nsec: 0 }, &raw mut left) {
            Ok(_) => 0,
            Err(_) => (left.sec + i64::from(left.nsec > 0)) as c_uint,
        }
    }
    fn usleep(micros: c_uint) -> c_int {
        error::int(sleep_for(&split(i64::from(micros) * 1000), core::ptr::null_mut()))
    }
    fn alarm(seconds: c_uint) -> c_uint {
        let at = if seconds == 0 { Ok(FOREVER) } else { after(i64::from(seconds) * NANOS) };
        at.and_then(|at| set_alarm(at, 0)).map_or(0, |(left, _)| ((left + NANOS - 1) / NANOS) as c_uint)
    }
    /// Only ITIMER_REAL: processor time is not measured (CAVEATS.md).
    fn setitimer(which: c_int, new: *const Itimerval, old: *mut Itimerval) -> c_int {
        if which != ITIMER_REAL {
            return error::int(Err(e::ENOSYS));
        }
        error::int((|| {
            let (value, interval) = (micros_to_nanos((*new).value)?, micros_to_nanos((*new).interval)?);
            let at = if value == 0 { FOREVER } else { after(value)? };
            let (left, every) = set_alarm(at, interval)?;
            if !old.is_null() {
                old.write(Itimerval { interval: nanos_to_micros(every), value: nanos_to_micros(left) });
            }
            Ok(0)
        })())
    }
    fn getitimer(_which: c_int, _out: *mut Itimerval) -> c_int {
        error::int(Err(e::ENOSYS))
    }
    /// Elapsed time only; processor times are not measured and given as 0 (CAVEATS.md).
    fn times(out: *mut Tms) -> c_long {
        if !out.is_null() {
            out.write(Tms([0; 4]));
        }
        clock_nanos(CLOCK_MONOTONIC).map_or(-1, |nanos| nanos / (NANOS / 100))
    }
    /// POSIX: -1 when processor time is not available.
    fn clock() -> c_long {
        -1
    }
    fn difftime(a: i64, b: i64) -> f64 {
        (a - b) as f64
    }
    fn clock_getcpuclockid(_pid: c_int, _clock: *mut c_int) -> c_int {
        c_int::from(e::ENOSYS.0)
    }
}
