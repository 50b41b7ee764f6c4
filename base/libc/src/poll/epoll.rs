//! epoll (and no eventfd): an epoll descriptor is an event queue of the kernel, in Linux's terms
//! <https://man7.org/linux/man-pages/man7/epoll.7.html>.
//!
//! The kernel's queues are edge-triggered. Level-triggered members are therefore subscribed again before each wait that
//! follows their event: the kernel then reports at once what is still ready. The table of members lives here and not in
//! the kernel: it names epoll instances by a number of its own, to which all copies of the descriptor lead, but it does
//! not reach other processes (CAVEATS.md). As on Linux, a regular file (a descriptor without readiness) cannot be a
//! member: EPERM.

use super::{new_queue, subscribe, wait};
use crate::sync::{Lock, Mutex};
use crate::types::*;
use crate::{Errno, e, error};
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering::*};
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
const QUEUES_MAX: usize = 64;
const FDS_MARKED: usize = 1024;

/// An epoll instance; 0 is none.
type Instance = u32;

/// A member of an epoll instance. All zero bytes are a free entry, so that the tables take no room in the program.
#[derive(Clone, Copy)]
struct Member {
    instance: Instance,
    fd: c_int,
    events: u32,
    data: u64,
    /// Reported since it was last subscribed: level-triggered members are subscribed again.
    reported: bool,
}

const FREE: Member = Member {
    instance: 0,
    fd: 0,
    events: 0,
    data: 0,
    reported: false,
};

struct Members {
    entries: [Member; MEMBERS_MAX],
    /// No entry at or above this index.
    end: usize,
    /// Descriptors that are epoll instances.
    queues: [(Instance, c_int); QUEUES_MAX],
    last_instance: Instance,
}

static MEMBERS: Mutex<Members> = Mutex::new(Members {
    entries: [FREE; MEMBERS_MAX],
    end: 0,
    queues: [(0, 0); QUEUES_MAX],
    last_instance: 0,
});

/// The table's lock, for fork.
pub(crate) fn lock() -> &'static Lock {
    MEMBERS.raw()
}

impl Members {
    fn instance(&self, queue: c_int) -> Option<Instance> {
        let entry = self
            .queues
            .iter()
            .find(|entry| entry.0 != 0 && entry.1 == queue)?;
        Some(entry.0)
    }

    fn add_queue(&mut self, queue: c_int, instance: Instance) -> Result<(), Errno> {
        let entry = self
            .queues
            .iter_mut()
            .find(|entry| entry.0 == 0)
            .ok_or(e::EMFILE)?;
        *entry = (instance, queue);
        Ok(())
    }

    fn find(&mut self, instance: Instance, fd: c_int) -> Option<&mut Member> {
        let end = self.end;
        self.entries[..end]
            .iter_mut()
            .find(|member| member.instance == instance && member.fd == fd)
    }

    fn add(&mut self, member: Member) -> Result<(), Errno> {
        let index = self
            .entries
            .iter()
            .position(|entry| entry.instance == 0)
            .ok_or(e::ENOSPC)?;
        self.entries[index] = member;
        self.end = self.end.max(index + 1);
        Ok(())
    }

    fn remove(&mut self, matches: impl Fn(&Member) -> bool) {
        let end = self.end;
        for member in &mut self.entries[..end] {
            if matches(member) {
                *member = FREE;
            }
        }
        while self.end > 0 && self.entries[self.end - 1].instance == 0 {
            self.end -= 1;
        }
    }
}

/// Forgets a descriptor that is being closed, as member and as queue.
pub(crate) fn forget(fd: c_int) {
    let mut members = MEMBERS.lock();
    if members.end > 0 {
        members.remove(|member| member.fd == fd);
        mark(fd, false);
    }
    let Some(instance) = members.instance(fd) else {
        return;
    };
    for entry in members.queues.iter_mut().filter(|entry| entry.1 == fd) {
        *entry = (0, 0);
    }
    if members.queues.iter().all(|entry| entry.0 != instance) {
        members.remove(|member| member.instance == instance);
    }
}

/// A descriptor got a copy: a copy of an epoll descriptor is the same instance.
pub(crate) fn copied(from: c_int, to: c_int) {
    let mut members = MEMBERS.lock();
    if let Some(instance) = members.instance(from) {
        // Without a free entry the copy is no epoll descriptor: epoll_ctl on it says EINVAL.
        let _ = members.add_queue(to, instance);
    }
}

/// Descriptors below 1024 that are members: a quick answer for every `read`.
static MEMBER_FDS: [AtomicU64; FDS_MARKED / 64] = [const { AtomicU64::new(0) }; FDS_MARKED / 64];

fn mark(fd: c_int, member: bool) {
    let Ok(index) = usize::try_from(fd) else {
        return;
    };
    let Some(word) = MEMBER_FDS.get(index / 64) else {
        return;
    };
    let bit = 1 << (index % 64);
    if member {
        word.fetch_or(bit, AcqRel);
    } else {
        word.fetch_and(!bit, AcqRel);
    }
}

/// A read gave less than was asked for. Programs take that as "empty" and wait for the next edge, unless a hang-up was
/// reported, which the kernel does not tell: if the other end has closed meanwhile, no edge would come. Subscribing again
/// makes the kernel report the end of the stream, if that is what is left.
pub(crate) fn after_short_read(fd: c_int) {
    let index = fd as usize;
    let marked = MEMBER_FDS
        .get(index / 64)
        .is_none_or(|word| word.load(Acquire) & (1 << (index % 64)) != 0);
    if !marked {
        return;
    }
    let members = MEMBERS.lock();
    for member in &members.entries[..members.end] {
        let edge = member.events & EPOLLET != 0 && member.events & EPOLLONESHOT == 0;
        if member.instance == 0 || member.fd != fd || !edge {
            continue;
        }
        if let Some(entry) = members
            .queues
            .iter()
            .find(|entry| entry.0 == member.instance)
        {
            let _ = join(entry.1, fd, member.events);
        }
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
    let instance = members.instance(queue).ok_or(e::EINVAL)?;
    match (operation, event) {
        (CTL_DEL, _) => {
            let member = members.find(instance, fd).ok_or(e::ENOENT)?;
            *member = FREE;
            let _ = subscribe(queue as usize, fd as usize, 0, 0);
        }
        (CTL_ADD, Some(&EpollEvent { events, data, .. })) => {
            if members.find(instance, fd).is_some() {
                return Err(e::EEXIST);
            }
            members.add(Member {
                instance,
                fd,
                events,
                data,
                reported: false,
            })?;
            mark(fd, true);
            if let Err(errno) = join(queue, fd, events) {
                members.remove(|member| member.instance == instance && member.fd == fd);
                return Err(errno);
            }
        }
        (CTL_MOD, Some(&EpollEvent { events, data, .. })) => {
            let member = members.find(instance, fd).ok_or(e::ENOENT)?;
            *member = Member {
                instance,
                fd,
                events,
                data,
                reported: false,
            };
            join(queue, fd, events)?;
        }
        (CTL_ADD | CTL_MOD, None) => return Err(e::EFAULT),
        _ => return Err(e::EINVAL),
    }
    Ok(0)
}

/// Subscribes the level-triggered members again that were reported.
fn renew(queue: c_int) -> Result<(), Errno> {
    let mut members = MEMBERS.lock();
    let instance = members.instance(queue).ok_or(e::EINVAL)?;
    let end = members.end;
    for member in &mut members.entries[..end] {
        let level = member.events & (EPOLLET | EPOLLONESHOT) == 0;
        if member.instance == instance && member.reported && level {
            member.reported = false;
            let _ = join(queue, member.fd, member.events);
        }
    }
    Ok(())
}

/// Translates the kernel's events; several for one descriptor become one.
fn translate(queue: c_int, events: &[Event], out: &mut [EpollEvent]) -> usize {
    let mut members = MEMBERS.lock();
    let Some(instance) = members.instance(queue) else {
        return 0;
    };
    let mut fds = [-1; BATCH];
    let mut count = 0;
    for event in events {
        let fd = event.data as c_int;
        let Some(member) = members.find(instance, fd) else {
            continue;
        };
        let read = if event.flags & EVENT_READ != 0 {
            EPOLLIN | EPOLLRDNORM
        } else {
            0
        };
        let write = if event.flags & EVENT_WRITE != 0 {
            EPOLLOUT | EPOLLWRNORM
        } else {
            0
        };
        let ready = (read | write) & member.events;
        if ready == 0 {
            continue;
        }
        if let Some(known) = fds[..count].iter().position(|&known| known == fd) {
            out[known].events |= ready;
            continue;
        }
        member.reported = true;
        out[count] = EpollEvent {
            events: ready,
            data: member.data,
            pad: 0,
        };
        fds[count] = fd;
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
        renew(queue)?;
        let mut events = [Event::default(); BATCH];
        let count = wait(queue as usize, &mut events[..room], deadline, mask)?;
        let given = translate(queue, events.get(..count).ok_or(e::EIO)?, out);
        // Events of members that were removed meanwhile count for nothing.
        if count == 0 || given > 0 {
            return Ok(given);
        }
    }
}

/// A new epoll instance with its first descriptor.
fn create(cloexec: usize) -> Result<usize, Errno> {
    let queue = new_queue(cloexec)?;
    let mut members = MEMBERS.lock();
    members.last_instance += 1;
    let instance = members.last_instance;
    members.add_queue(queue.0 as c_int, instance)?;
    Ok(queue.into_raw())
}

c_api! {
    fn epoll_create1(flags: c_int) -> c_int {
        let flags = flags as usize;
        let cloexec = if flags & (O_CLOEXEC | LINUX_CLOEXEC) != 0 { O_CLOEXEC } else { 0 };
        error::int(create(cloexec))
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
