//! epoll (and no eventfd): an epoll descriptor is an event queue of the kernel, in Linux's terms
//! <https://man7.org/linux/man-pages/man7/epoll.7.html>.
//!
//! The kernel's queues are edge-triggered. Level-triggered members are therefore subscribed again before each wait that
//! follows their event: the kernel then reports at once what is still ready. The table of members lives here and not in
//! the kernel; it does not follow an epoll descriptor through `dup` or `fork` (CAVEATS.md). As on Linux, a regular file
//! (a descriptor without readiness) cannot be a member: EPERM.

use super::{new_queue, subscribe, wait};
use crate::sync::{Lock, Mutex};
use crate::types::*;
use crate::{Errno, e, error};
use core::slice;
use valence_abi::flags::*;
use valence_abi::layout::Event;

const EPOLLIN: u32 = 0x001;
const EPOLLOUT: u32 = 0x004;
const EPOLLRDNORM: u32 = 0x040;
const EPOLLWRNORM: u32 = 0x100;
const EPOLLONESHOT: u32 = 1 << 30;
const EPOLLET: u32 = 1 << 31;
const CTL_ADD: c_int = 1;
const CTL_DEL: c_int = 2;
const CTL_MOD: c_int = 3;
/// Linux programs pass their own EPOLL_CLOEXEC.
const LINUX_CLOEXEC: usize = 0o2_000_000;
const MEMBERS_MAX: usize = 2048;
const BATCH: usize = 64;

#[derive(Clone, Copy)]
struct Member {
    queue: c_int,
    fd: c_int,
    events: u32,
    data: u64,
    /// Reported since it was last subscribed: level-triggered members are subscribed again.
    reported: bool,
}

struct Members {
    entries: [Option<Member>; MEMBERS_MAX],
    /// No entry at or above this index.
    end: usize,
}

static MEMBERS: Mutex<Members> = Mutex::new(Members {
    entries: [None; MEMBERS_MAX],
    end: 0,
});

/// The table's lock, for fork.
pub(crate) fn lock() -> &'static Lock {
    MEMBERS.raw()
}

impl Members {
    fn find(&mut self, queue: c_int, fd: c_int) -> Option<&mut Option<Member>> {
        let end = self.end;
        let matches = |entry: &Option<Member>| {
            entry.is_some_and(|member| member.queue == queue && member.fd == fd)
        };
        self.entries[..end].iter_mut().find(|entry| matches(entry))
    }

    fn add(&mut self, member: Member) -> Result<(), Errno> {
        let index = self
            .entries
            .iter()
            .position(Option::is_none)
            .ok_or(e::ENOSPC)?;
        self.entries[index] = Some(member);
        self.end = self.end.max(index + 1);
        Ok(())
    }
}

/// Forgets a descriptor that is being closed, as member and as queue.
pub(crate) fn forget(fd: c_int) {
    let mut members = MEMBERS.lock();
    let end = members.end;
    for entry in &mut members.entries[..end] {
        if entry.is_some_and(|member| member.queue == fd || member.fd == fd) {
            *entry = None;
        }
    }
    while members.end > 0 && members.entries[members.end - 1].is_none() {
        members.end -= 1;
    }
}

fn kernel_flags(events: u32) -> usize {
    let read = if events & (EPOLLIN | EPOLLRDNORM) != 0 {
        EVENT_READ
    } else {
        0
    };
    read | if events & (EPOLLOUT | EPOLLWRNORM) != 0 {
        EVENT_WRITE
    } else {
        0
    }
}

fn join(queue: c_int, fd: c_int, events: u32) -> Result<(), Errno> {
    match subscribe(
        queue as usize,
        fd as usize,
        kernel_flags(events),
        fd as usize,
    ) {
        Err(e::EOPNOTSUPP | e::ENOSYS) => Err(e::EPERM),
        result => result,
    }
}

fn control(
    queue: c_int,
    operation: c_int,
    fd: c_int,
    event: Option<&EpollEvent>,
) -> Result<usize, Errno> {
    if queue == fd {
        return Err(e::EINVAL);
    }
    let mut members = MEMBERS.lock();
    match (operation, event) {
        (CTL_DEL, _) => {
            let entry = members.find(queue, fd).ok_or(e::ENOENT)?;
            *entry = None;
            let _ = subscribe(queue as usize, fd as usize, 0, 0);
        }
        (CTL_ADD, Some(&EpollEvent { events, data, .. })) => {
            if members.find(queue, fd).is_some() {
                return Err(e::EEXIST);
            }
            members.add(Member {
                queue,
                fd,
                events,
                data,
                reported: false,
            })?;
            if let Err(errno) = join(queue, fd, events) {
                if let Some(entry) = members.find(queue, fd) {
                    *entry = None;
                }
                return Err(errno);
            }
        }
        (CTL_MOD, Some(&EpollEvent { events, data, .. })) => {
            let entry = members.find(queue, fd).ok_or(e::ENOENT)?;
            *entry = Some(Member {
                queue,
                fd,
                events,
                data,
                reported: false,
            });
            join(queue, fd, events)?;
        }
        (CTL_ADD | CTL_MOD, None) => return Err(e::EFAULT),
        _ => return Err(e::EINVAL),
    }
    Ok(0)
}

/// Subscribes the level-triggered members again that were reported.
fn renew(queue: c_int) {
    let mut members = MEMBERS.lock();
    let end = members.end;
    for member in members.entries[..end].iter_mut().flatten() {
        if member.queue == queue && member.reported && member.events & (EPOLLET | EPOLLONESHOT) == 0
        {
            member.reported = false;
            let _ = join(queue, member.fd, member.events);
        }
    }
}

/// Translates the kernel's events; several for one descriptor become one.
fn translate(queue: c_int, events: &[Event], out: &mut [EpollEvent]) -> usize {
    let mut members = MEMBERS.lock();
    let mut fds = [-1; BATCH];
    let mut count = 0;
    for event in events {
        let fd = event.data as c_int;
        let Some(Some(member)) = members.find(queue, fd) else {
            continue;
        };
        let read = if event.flags & EVENT_READ != 0 {
            EPOLLIN | EPOLLRDNORM
        } else {
            0
        };
        let ready = (read
            | if event.flags & EVENT_WRITE != 0 {
                EPOLLOUT | EPOLLWRNORM
            } else {
                0
            })
            & member.events;
        if ready == 0 {
            continue;
        }
        if let Some(known) = fds[..count].iter().position(|&known| known == fd) {
            out[known].events |= ready;
            continue;
        }
        member.reported = true;
        (out[count], fds[count]) = (
            EpollEvent {
                events: ready,
                data: member.data,
                pad: 0,
            },
            fd,
        );
        count += 1;
        if member.events & EPOLLONESHOT != 0 {
            let _ = subscribe(queue as usize, fd as usize, 0, 0);
        }
    }
    count
}

fn wait_until(
    queue: c_int,
    out: &mut [EpollEvent],
    deadline: u64,
    mask: *const u64,
) -> Result<usize, Errno> {
    let room = out.len().min(BATCH);
    if room == 0 {
        return Err(e::EINVAL);
    }
    loop {
        renew(queue);
        let mut events = [Event::default(); BATCH];
        let count = wait(queue as usize, &mut events[..room], deadline, mask)?;
        let given = translate(queue, events.get(..count).ok_or(e::EIO)?, out);
        // Events of members that were removed meanwhile count for nothing.
        if count == 0 || given > 0 {
            return Ok(given);
        }
    }
}

c_api! {
    fn epoll_create1(flags: c_int) -> c_int {
        let flags = flags as usize;
        let cloexec = if flags & (O_CLOEXEC | LINUX_CLOEXEC) != 0 { O_CLOEXEC } else { 0 };
        error::int(new_queue(cloexec).map(crate::fs::Fd::into_raw))
    }
    fn epoll_create(size: c_int) -> c_int {
        if size <= 0 { error::int(Err(e::EINVAL)) } else { epoll_create1(0) }
    }
    fn epoll_ctl(queue: c_int, operation: c_int, fd: c_int, event: *const EpollEvent) -> c_int {
        error::int(control(queue, operation, fd, event.as_ref()))
    }
    fn epoll_wait(queue: c_int, out: *mut EpollEvent, room: c_int, timeout: c_int) -> c_int {
        epoll_pwait(queue, out, room, timeout, core::ptr::null())
    }
    fn epoll_pwait(queue: c_int, out: *mut EpollEvent, room: c_int, timeout: c_int, mask: *const u64) -> c_int {
        let deadline = match timeout {
            0 => Ok(0),
            _ => super::milliseconds(timeout),
        };
        error::int(deadline.and_then(|deadline| {
            let room = usize::try_from(room).map_err(|_| e::EINVAL)?;
            let out = if room == 0 { &mut [] } else { slice::from_raw_parts_mut(out, room) };
            wait_until(queue, out, deadline, mask)
        }))
    }
    fn eventfd(_initial: c_uint, _flags: c_int) -> c_int {
        error::int(Err(e::ENOSYS))
    }
}
