//! Waiting for descriptors: `poll` and `select` here, epoll in its own file.
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/poll.html>
//!
//! All are built on the kernel's event queues. A subscription to something that is ready already is delivered at once, so
//! one queue per call gives `poll` its level-triggered meaning. A descriptor whose scheme has no readiness (regular files)
//! is always ready, as POSIX says of regular files.

mod epoll;

use crate::fs::{self, Fd};
use crate::sync::FOREVER;
use crate::types::*;
use crate::{Errno, e, error, time};
use core::slice;
use valence_abi::flags::*;
use valence_abi::layout::Event;

pub(crate) use epoll::{after_short_read, copied, forget, lock};

const POLLIN: i16 = 0x001;
const POLLOUT: i16 = 0x004;
const POLLNVAL: i16 = 0x020;
const POLLRDNORM: i16 = 0x040;
const POLLWRNORM: i16 = 0x100;
const READ_MASK: i16 = POLLIN | POLLRDNORM;
const WRITE_MASK: i16 = POLLOUT | POLLWRNORM;
/// Events taken from the kernel at a time.
const BATCH: usize = 32;
const FD_SETSIZE: usize = 1024;
const BITS: usize = 64;

/// A new event queue.
pub(crate) fn new_queue(flags: usize) -> Result<Fd, Errno> {
    // SAFETY: no pointers.
    match unsafe { syscall!(EVENT_QUEUE, flags) } {
        Err(e::ENOSYS) => fs::open_kernel(b"event", O_RDWR | flags).map(Fd),
        queue => queue.map(Fd),
    }
}

fn subscribe(queue: usize, fd: usize, flags: usize, data: usize) -> Result<(), Errno> {
    let event = Event {
        id: fd,
        flags,
        data,
    };
    // SAFETY: one record.
    unsafe { syscall!(WRITE, queue, &raw const event, size_of::<Event>()) }.map(drop)
}

/// Waits for events; 0 when the deadline passes.
fn wait(queue: usize, out: &mut [Event], deadline: u64, mask: *const u64) -> Result<usize, Errno> {
    // SAFETY: the array is as long as stated; the mask is null or the caller's word.
    unsafe {
        syscall!(
            EVENT_WAIT,
            queue,
            out.as_mut_ptr(),
            out.len(),
            deadline,
            mask
        )
    }
}

fn wanted(events: i16) -> usize {
    let read = if events & READ_MASK != 0 {
        EVENT_READ
    } else {
        0
    };
    read | if events & WRITE_MASK != 0 {
        EVENT_WRITE
    } else {
        0
    }
}

fn found(flags: usize, wanted: i16) -> i16 {
    let read = if flags & EVENT_READ != 0 {
        READ_MASK
    } else {
        0
    };
    (read
        | if flags & EVENT_WRITE != 0 {
            WRITE_MASK
        } else {
            0
        })
        & wanted
}

/// Subscribes all; returns true when something is known to be ready without asking the kernel again.
fn subscribe_all(queue: usize, fds: &mut [Pollfd]) -> bool {
    let mut ready = false;
    for (index, entry) in fds.iter_mut().enumerate() {
        entry.revents = 0;
        if entry.fd < 0 {
            continue;
        }
        let flags = wanted(entry.events);
        if flags == 0 {
            if fs::fstat_raw(entry.fd as usize) == Err(e::EBADF) {
                entry.revents = POLLNVAL;
            }
        } else {
            match subscribe(queue, entry.fd as usize, flags, index) {
                Ok(()) => {}
                Err(e::EBADF) => entry.revents = POLLNVAL,
                Err(_) => entry.revents = found(EVENT_READ | EVENT_WRITE, entry.events),
            }
        }
        ready |= entry.revents != 0;
    }
    ready
}

fn poll_until(fds: &mut [Pollfd], deadline: u64, mask: *const u64) -> Result<usize, Errno> {
    let queue = new_queue(O_CLOEXEC)?;
    let mut ready = subscribe_all(queue.0, fds);
    loop {
        let mut events = [Event::default(); BATCH];
        let count = wait(queue.0, &mut events, if ready { 0 } else { deadline }, mask)?;
        for event in events.get(..count).ok_or(e::EIO)? {
            if let Some(entry) = fds.get_mut(event.data) {
                entry.revents |= found(event.flags, entry.events);
            }
        }
        let hits = fds.iter().filter(|entry| entry.revents != 0).count();
        if hits > 0 && count < BATCH || count == 0 {
            return Ok(hits);
        }
        ready = hits > 0;
    }
}

/// True when `direction` would not block now, or the scheme cannot tell.
pub(crate) fn is_ready(fd: c_int, direction: usize) -> bool {
    let Ok(queue) = new_queue(O_CLOEXEC) else {
        return true;
    };
    match subscribe(queue.0, fd as usize, direction, 0) {
        Ok(()) => wait(queue.0, &mut [Event::default()], 0, core::ptr::null())
            .is_ok_and(|count| count > 0),
        Err(_) => true,
    }
}

/// # Safety
/// `fds` must point at `count` entries.
unsafe fn entries<'a>(fds: *mut Pollfd, count: u64) -> Result<&'a mut [Pollfd], Errno> {
    match usize::try_from(count) {
        Ok(0) => Ok(&mut []),
        // SAFETY: the caller's array.
        Ok(count) if count <= 1 << 20 => Ok(unsafe { slice::from_raw_parts_mut(fds, count) }),
        _ => Err(e::EINVAL),
    }
}

fn milliseconds(timeout: c_int) -> Result<u64, Errno> {
    if timeout < 0 {
        Ok(FOREVER)
    } else {
        time::after(i64::from(timeout) * 1_000_000)
    }
}

/// A select set: a bit per descriptor.
type FdSet = [u64; FD_SETSIZE / BITS];

fn has(set: &FdSet, fd: usize) -> bool {
    set[fd / BITS] & (1 << (fd % BITS)) != 0
}

/// # Safety
/// The sets must be null or valid.
unsafe fn select_until(
    count: c_int,
    sets: [*mut FdSet; 3],
    deadline: u64,
    mask: *const u64,
) -> Result<usize, Errno> {
    let count = usize::try_from(count)
        .ok()
        .filter(|&count| count <= FD_SETSIZE)
        .ok_or(e::EINVAL)?;
    let asked = sets.map(|set| {
        if set.is_null() {
            [0; FD_SETSIZE / BITS]
        } else {
            // SAFETY: the caller's set.
            unsafe { *set }
        }
    });
    let mut fds = [Pollfd::default(); FD_SETSIZE];
    let mut used = 0;
    for fd in 0..count {
        let read = if has(&asked[0], fd) { POLLIN } else { 0 };
        let events = read | if has(&asked[1], fd) { POLLOUT } else { 0 };
        if events != 0 {
            fds[used] = Pollfd {
                fd: fd as c_int,
                events,
                revents: 0,
            };
            used += 1;
        }
    }
    let fds = &mut fds[..used];
    poll_until(fds, deadline, mask)?;
    if fds.iter().any(|entry| entry.revents & POLLNVAL != 0) {
        return Err(e::EBADF);
    }
    let mut answer = [[0u64; FD_SETSIZE / BITS]; 3];
    let mut hits = 0;
    for entry in fds.iter() {
        let fd = entry.fd as usize;
        for (set, bit) in [(0, POLLIN), (1, POLLOUT)] {
            if entry.revents & entry.events & bit != 0 {
                answer[set][fd / BITS] |= 1 << (fd % BITS);
                hits += 1;
            }
        }
    }
    for (set, answer) in sets.iter().zip(answer) {
        if !set.is_null() {
            // SAFETY: the caller's set.
            unsafe { **set = answer };
        }
    }
    Ok(hits)
}

c_api! {
    fn poll(fds: *mut Pollfd, count: u64, timeout: c_int) -> c_int {
        error::int(entries(fds, count).and_then(|fds| poll_until(fds, milliseconds(timeout)?, core::ptr::null())))
    }
    fn ppoll(fds: *mut Pollfd, count: u64, timeout: *const Timespec, mask: *const u64) -> c_int {
        error::int(entries(fds, count).and_then(|fds| poll_until(fds, time::relative_deadline(timeout)?, mask)))
    }
    fn select(
        count: c_int, read: *mut FdSet, write: *mut FdSet, except: *mut FdSet, timeout: *mut Timeval,
    ) -> c_int {
        let timeout = timeout.as_ref().map(|time| Timespec { sec: time.sec, nsec: i64::from(time.usec) * 1000 });
        let timeout = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
        pselect(count, read, write, except, timeout, core::ptr::null())
    }
    /// Exceptional conditions are never reported: no scheme has any.
    fn pselect(
        count: c_int, read: *mut FdSet, write: *mut FdSet, except: *mut FdSet, timeout: *const Timespec,
        mask: *const u64,
    ) -> c_int {
        let deadline = time::relative_deadline(timeout);
        error::int(deadline.and_then(|deadline| select_until(count, [read, write, except], deadline, mask)))
    }
}
