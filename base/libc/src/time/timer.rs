//! POSIX timers: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/timer_create.html>.
//!
//! A process has one alarm, so it can have one timer, which must notify by SIGALRM: a second one is EAGAIN, another way
//! to notify is ENOTSUP (CAVEATS.md).

use super::{after, clock_nanos, deadline, nanos, set_alarm, split};
use crate::sync::FOREVER;
use crate::types::*;
use crate::{Errno, e, error};
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering::*};
use valence_abi::flags::{CLOCK_MONOTONIC, CLOCK_REALTIME};
use valence_abi::signal::SIGALRM;

const TIMER_ABSTIME: c_int = 1;
const SIGEV_SIGNAL: c_int = 0;
/// The only timer's handle.
const TIMER: usize = 1;

static IN_USE: AtomicBool = AtomicBool::new(false);
static CLOCK: AtomicI64 = AtomicI64::new(CLOCK_MONOTONIC as i64);
/// When it goes off (monotonic nanoseconds) and the interval.
static NEXT: AtomicI64 = AtomicI64::new(0);
static INTERVAL: AtomicI64 = AtomicI64::new(0);

/// The beginning of C's `struct sigevent`.
#[repr(C)]
pub(crate) struct Sigevent {
    value: usize,
    signal: c_int,
    notify: c_int,
}

#[repr(C)]
pub(crate) struct Itimerspec {
    interval: Timespec,
    value: Timespec,
}

fn check(timer: usize) -> Result<(), Errno> {
    if timer == TIMER && IN_USE.load(Acquire) {
        Ok(())
    } else {
        Err(e::EINVAL)
    }
}

fn current() -> Result<Itimerspec, Errno> {
    let (next, interval) = (NEXT.load(Acquire), INTERVAL.load(Acquire));
    if next == 0 {
        return Ok(Itimerspec {
            interval: split(0),
            value: split(0),
        });
    }
    let mut left = next - clock_nanos(CLOCK_MONOTONIC)?;
    if left <= 0 {
        left = if interval > 0 {
            interval - (-left % interval)
        } else {
            0
        };
    }
    Ok(Itimerspec {
        interval: split(interval),
        value: split(left),
    })
}

fn set(new: &Itimerspec, absolute: bool) -> Result<(), Errno> {
    let interval = nanos(new.interval.sec, new.interval.nsec)?;
    let value = nanos(new.value.sec, new.value.nsec)?;
    let at = match (value, absolute) {
        (0, _) => FOREVER,
        (_, true) => deadline(CLOCK.load(Acquire) as c_int, &new.value)?,
        (_, false) => after(value)?,
    };
    set_alarm(at, interval)?;
    NEXT.store(if at == FOREVER { 0 } else { at as i64 }, Release);
    INTERVAL.store(interval, Release);
    Ok(())
}

c_api! {
    fn timer_create(clock: c_int, event: *const Sigevent, out: *mut usize) -> c_int {
        if clock as usize != CLOCK_REALTIME && clock as usize != CLOCK_MONOTONIC {
            return error::int(Err(e::EINVAL));
        }
        if event.as_ref().is_some_and(|event| event.notify != SIGEV_SIGNAL || event.signal != SIGALRM as c_int) {
            return error::int(Err(e::EOPNOTSUPP));
        }
        if IN_USE.swap(true, AcqRel) {
            return error::int(Err(e::EAGAIN));
        }
        CLOCK.store(i64::from(clock), Release);
        *out = TIMER;
        0
    }
    fn timer_delete(timer: usize) -> c_int {
        error::int(check(timer).and_then(|()| {
            set_alarm(FOREVER, 0)?;
            NEXT.store(0, Release);
            IN_USE.store(false, Release);
            Ok(0)
        }))
    }
    fn timer_settime(timer: usize, flags: c_int, new: *const Itimerspec, old: *mut Itimerspec) -> c_int {
        error::int(check(timer).and_then(|()| {
            if !old.is_null() {
                old.write(current()?);
            }
            set(&*new, flags & TIMER_ABSTIME != 0)?;
            Ok(0)
        }))
    }
    fn timer_gettime(timer: usize, out: *mut Itimerspec) -> c_int {
        error::int(check(timer).and_then(|()| {
            out.write(current()?);
            Ok(0)
        }))
    }
    fn timer_getoverrun(timer: usize) -> c_int {
        error::int(check(timer).and(Err(e::ENOSYS)))
    }
}
