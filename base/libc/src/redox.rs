//! The `redox_*` functions of libredox and redox_event (redox-facts 3 and 2.9).
//!
//! They return a value or `-errno` in one word and never touch `errno`; paths are pointer and length. Structs that look
//! like C's are C's (`struct stat` and so on).

use crate::fs::{self, AT_FDCWD, Fd};
use crate::memory;
use crate::types::*;
use crate::{Errno, e, identity, signal, time};
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering::*};
use valence_abi::errno::encode;
use valence_abi::flags::*;
use valence_abi::layout::{Event, ProcMeta, Slice, TimeSpec};

/// Names that a process keeps after `setrens(0, 0)`.
const NULL_NAMESPACE: [&[u8]; 2] = [b"memory", b"pipe"];
const NAMES_MAX: usize = 256;
const NONE: usize = usize::MAX;

/// The process's namespace descriptor, opened when first asked for.
static NAMESPACE_FD: AtomicUsize = AtomicUsize::new(NONE);

/// # Safety
/// `base` must be valid for `len` bytes.
unsafe fn bytes<'a>(base: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        &[]
    } else {
        // SAFETY: the caller's buffer; null is allowed for an empty one.
        unsafe { slice::from_raw_parts(base, len) }
    }
}

fn cloexec(fd: usize) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    unsafe { syscall!(FCNTL, fd, F_SETFD, O_CLOEXEC)? };
    Ok(fd)
}

/// The namespace descriptor; the same number as long as the process keeps its namespace.
pub(crate) fn namespace_fd() -> Result<usize, Errno> {
    match NAMESPACE_FD.load(Acquire) {
        NONE => {
            // SAFETY: no pointers.
            let fd = cloexec(unsafe { syscall!(NS_GET) }?)?;
            match NAMESPACE_FD.compare_exchange(NONE, fd, AcqRel, Acquire) {
                Ok(_) => Ok(fd),
                Err(other) => {
                    drop(Fd(fd));
                    Ok(other)
                }
            }
        }
        fd => Ok(fd),
    }
}

fn make_namespace(names: &[Slice]) -> Result<usize, Errno> {
    if names.len() > NAMES_MAX {
        return Err(e::E2BIG);
    }
    // SAFETY: the array is as long as stated and its slices are the caller's.
    unsafe { syscall!(NS_MAKE, names.as_ptr(), names.len()) }
}

/// Changes the process's namespace; returns the descriptor of the one before. The given descriptor stays the caller's.
fn set_namespace(fd: usize) -> Result<usize, Errno> {
    let before = namespace_fd()?;
    // SAFETY: no pointers; the copy's owner is `NAMESPACE_FD`.
    unsafe {
        let copy = Fd(syscall!(DUP, fd, 0, 0, O_CLOEXEC)?);
        syscall!(NS_SET, copy.0)?;
        NAMESPACE_FD.store(copy.into_raw(), Release);
    }
    Ok(before)
}

/// # Safety
/// `out` must be valid.
unsafe fn fill_credentials(pid: usize, out: &mut [u8]) -> Result<usize, Errno> {
    let meta = identity::meta(pid)?;
    let len = out.len().min(size_of::<ProcMeta>());
    // SAFETY: a plain struct of numbers, copied as bytes.
    let bytes = unsafe { slice::from_raw_parts((&raw const meta).cast::<u8>(), len) };
    out[..len].copy_from_slice(bytes);
    Ok(len)
}

/// redox_event's record: the order differs from the kernel's.
#[repr(C)]
struct RawEvent {
    fd: usize,
    user_data: usize,
    flags: u32,
    reserved: u32,
}

fn subscribe(queue: usize, fd: usize, flags: usize, data: usize) -> Result<usize, Errno> {
    let event = Event {
        id: fd,
        flags,
        data,
    };
    // SAFETY: one record.
    unsafe { syscall!(WRITE, queue, &raw const event, size_of::<Event>()) }.map(|_| 0)
}

/// # Safety
/// `out` must have room for `room` records, `timeout` be null or valid, `mask` too.
unsafe fn get_events(
    queue: usize,
    out: *mut RawEvent,
    room: usize,
    timeout: *const Timespec,
    mask: *const u64,
) -> Result<usize, Errno> {
    if room == 0 {
        return Err(e::EINVAL);
    }
    let mut event = Event::default();
    // SAFETY: one record; the caller's time and mask. Without either, a plain read respects the queue's O_NONBLOCK.
    unsafe {
        if timeout.is_null() && mask.is_null() {
            let len = syscall!(READ, queue, &raw mut event, size_of::<Event>())?;
            if len < size_of::<Event>() {
                return Ok(0);
            }
        } else {
            let deadline = time::relative_deadline(timeout)?;
            if syscall!(EVENT_WAIT, queue, &raw mut event, 1, deadline, mask)? == 0 {
                return Ok(0);
            }
        }
        out.write(RawEvent {
            fd: event.id,
            user_data: event.data,
            flags: event.flags as u32,
            reserved: 0,
        });
    }
    Ok(1)
}

c_api! {
    fn redox_open_v1(path: *const u8, len: usize, flags: u32, mode: u16) -> usize {
        encode(fs::open_at(AT_FDCWD, bytes(path, len), flags as usize, u32::from(mode)))
    }
    fn redox_openat_v1(fd: usize, path: *const u8, len: usize, flags: u32, fcntl_flags: u32) -> usize {
        let flags = flags as usize | (fcntl_flags as usize & O_FCNTL_MASK);
        encode(syscall!(OPENAT, fd, path, len, flags))
    }
    fn redox_dup_v1(fd: usize, text: *const u8, len: usize) -> usize {
        encode(syscall!(DUP, fd, text, len, 0))
    }
    fn redox_dup2_v1(old: usize, new: usize, text: *const u8, len: usize) -> usize {
        if len == 0 {
            return redox_dup2_v2(old, new);
        }
        encode(fs::dup_with(old, bytes(text, len)).and_then(|fd| syscall!(DUP2, fd.0, new, 0)))
    }
    fn redox_dup2_v2(old: usize, new: usize) -> usize {
        if old == new {
            return encode(syscall!(FCNTL, old, F_GETFD, 0).map(|_| new));
        }
        encode(syscall!(DUP2, old, new, 0))
    }
    fn redox_read_v1(fd: usize, buf: *mut u8, len: usize) -> usize {
        encode(syscall!(READ, fd, buf, len))
    }
    fn redox_write_v1(fd: usize, buf: *const u8, len: usize) -> usize {
        encode(syscall!(WRITE, fd, buf, len))
    }
    fn redox_fchmod_v1(fd: usize, mode: u16) -> usize {
        encode(syscall!(FCHMOD, fd, mode))
    }
    fn redox_fchown_v1(fd: usize, uid: u32, gid: u32) -> usize {
        encode(syscall!(FCHOWN, fd, uid, gid))
    }
    fn redox_getdents_v0(fd: usize, buf: *mut u8, len: usize, opaque: u64) -> usize {
        encode(syscall!(GETDENTS, fd, buf, len, opaque))
    }
    fn redox_fstat_v1(fd: usize, out: *mut CStat) -> usize {
        encode(fs::fstat_raw(fd).map(|stat| {
            out.write(fs::to_c(&stat));
            0
        }))
    }
    fn redox_fstatvfs_v1(fd: usize, out: *mut CStatVfs) -> usize {
        encode(fs::statvfs_of(fd).map(|stat| {
            out.write(stat);
            0
        }))
    }
    fn redox_fsync_v1(fd: usize) -> usize {
        encode(syscall!(FSYNC, fd))
    }
    fn redox_fdatasync_v1(fd: usize) -> usize {
        encode(syscall!(FSYNC, fd))
    }
    fn redox_ftruncate_v0(fd: usize, len: usize) -> usize {
        encode(syscall!(FTRUNCATE, fd, len))
    }
    fn redox_futimens_v1(fd: usize, times: *const Timespec) -> usize {
        let times = [0, 1].map(|index| {
            let Timespec { sec, nsec } = *times.add(index);
            TimeSpec { sec, nsec: nsec as i32 }
        });
        encode(syscall!(FUTIMENS, fd, times.as_ptr(), times.len()))
    }
    fn redox_fpath_v1(fd: usize, buf: *mut u8, len: usize) -> usize {
        encode(syscall!(FPATH, fd, buf, len))
    }
    /// The path of one descriptor below another, when both answer with canonical paths of one tree.
    fn redox_relpathat_v0(dirfd: usize, fd: usize, buf: *mut u8, len: usize) -> usize {
        encode((|| {
            let (base, path) = (fs::canonical_of_fd(dirfd)?, fs::canonical_of_fd(fd)?);
            let rest = path.as_bytes().strip_prefix(base.as_bytes()).ok_or(e::EXDEV)?;
            let rest = if base.as_bytes() == b"/" { rest } else { rest.strip_prefix(b"/").ok_or(e::EXDEV)? };
            if rest.len() > len {
                return Err(e::ERANGE);
            }
            core::ptr::copy_nonoverlapping(rest.as_ptr(), buf, rest.len());
            Ok(rest.len())
        })())
    }
    fn redox_unlinkat_v0(fd: usize, path: *const u8, len: usize, flags: u32) -> usize {
        encode(syscall!(UNLINKAT, fd, path, len, flags))
    }
    fn redox_close_v1(fd: usize) -> usize {
        fs::before_close(fd as c_int);
        encode(syscall!(CLOSE, fd))
    }
    fn redox_fcntl_v0(fd: usize, command: usize, argument: usize) -> usize {
        encode(syscall!(FCNTL, fd, command, argument))
    }

    fn redox_get_pid_v1() -> usize {
        encode(syscall!(GETPID))
    }
    fn redox_get_euid_v1() -> usize {
        encode(identity::meta(0).map(|meta| meta.euid as usize))
    }
    fn redox_get_ruid_v1() -> usize {
        encode(identity::meta(0).map(|meta| meta.ruid as usize))
    }
    fn redox_get_egid_v1() -> usize {
        encode(identity::meta(0).map(|meta| meta.egid as usize))
    }
    fn redox_get_rgid_v1() -> usize {
        encode(identity::meta(0).map(|meta| meta.rgid as usize))
    }
    /// The capability is the scheme `proc`'s; the kernel answers from its own table.
    fn redox_get_proc_credentials_v1(_capability: usize, pid: usize, out: *mut u8, len: usize) -> usize {
        let out = if len == 0 { &mut [] } else { slice::from_raw_parts_mut(out, len) };
        encode(fill_credentials(pid, out))
    }

    fn redox_get_ens_v0() -> usize {
        encode(namespace_fd())
    }
    fn redox_get_ns_v0() -> usize {
        encode(namespace_fd())
    }
    fn redox_setns_v0(fd: usize) -> usize {
        encode(set_namespace(fd))
    }
    /// Only (0, 0): gives up all schemes but `memory` and `pipe`. Descriptors that are open stay usable.
    fn redox_setrens_v1(real: usize, effective: usize) -> usize {
        if real != 0 || effective != 0 {
            return encode(Err(e::ENOSYS));
        }
        let names = NULL_NAMESPACE.map(|name| Slice { ptr: name.as_ptr() as usize, len: name.len() });
        encode((|| {
            let fd = Fd(make_namespace(&names)?);
            drop(Fd(set_namespace(fd.0)?));
            Ok(0)
        })())
    }
    /// `names` are C iovecs, which are laid out as the kernel's slices.
    fn redox_mkns_v1(names: *const Slice, count: usize, flags: u32) -> usize {
        if flags != 0 {
            return encode(Err(e::EINVAL));
        }
        let names = if count == 0 { &[] } else { slice::from_raw_parts(names, count) };
        encode(make_namespace(names))
    }
    fn redox_register_scheme_to_ns_v0(namespace: usize, name: *const u8, len: usize, root: usize) -> usize {
        encode(syscall!(NS_REGISTER, namespace, name, len, root))
    }

    fn redox_kill_v1(pid: usize, signal: u32) -> usize {
        encode(syscall!(KILL, pid, signal))
    }
    fn redox_waitpid_v1(pid: usize, status: *mut c_int, options: u32) -> usize {
        encode(syscall!(WAITPID, pid, status, options))
    }
    fn redox_sigprocmask_v1(how: u32, new: *const u64, old: *mut u64) -> usize {
        encode(signal::change_mask(how as c_int, new, old))
    }
    fn redox_sigaction_v1(number: u32, new: *const CSigaction, old: *mut CSigaction) -> usize {
        encode(signal::change_action(number as usize, new, old))
    }
    fn redox_clock_gettime_v1(clock: usize, out: *mut Timespec) -> usize {
        encode(time::now(clock).map(|time| {
            out.write(Timespec { sec: time.sec, nsec: i64::from(time.nsec) });
            0
        }))
    }

    fn redox_mmap_v1(address: usize, len: usize, prot: u32, flags: u32, fd: usize, offset: u64) -> usize {
        encode(memory::map(address, len, prot as usize, flags as usize, fd, offset))
    }
    fn redox_munmap_v1(address: usize, len: usize) -> usize {
        encode(memory::unmap(address, len))
    }
    fn redox_strerror_v1(buf: *mut u8, len: *mut usize, number: u32) -> usize {
        let text = crate::error::text(number as c_int);
        let copied = text.bytes().len().min(*len);
        core::ptr::copy_nonoverlapping(text.bytes().as_ptr(), buf, copied);
        *len = text.bytes().len();
        copied
    }
    fn redox_sys_call_v0(
        fd: usize, payload: *mut u8, len: usize, flags: usize, metadata: *const u64, words: usize,
    ) -> usize {
        encode(syscall!(CALL, fd, payload, len, flags, metadata, words))
    }
    fn redox_sys_call_multiple_v0(
        fds: *const usize, count: usize, payload: *mut u8, len: usize, flags: usize, metadata: *const u64,
        words: usize,
    ) -> usize {
        match count {
            1 => redox_sys_call_v0(*fds, payload, len, flags, metadata, words),
            _ => encode(Err(e::EOPNOTSUPP)),
        }
    }
    fn redox_get_socket_token_v0(_fd: usize, _buf: *mut u8, _len: usize) -> usize {
        encode(Err(e::EOPNOTSUPP))
    }
    fn redox_cur_procfd_v0() -> usize {
        encode(Err(e::ENOSYS))
    }
    fn redox_cur_thrfd_v0() -> usize {
        encode(Err(e::ENOSYS))
    }

    fn redox_event_queue_create_v1(flags: u32) -> usize {
        let flags = flags as usize & (O_CLOEXEC | O_NONBLOCK);
        encode(crate::poll::new_queue(O_CLOEXEC | flags).map(Fd::into_raw))
    }
    fn redox_event_queue_destroy_v1(queue: usize) -> usize {
        encode(syscall!(CLOSE, queue))
    }
    fn redox_event_queue_ctl_v1(queue: usize, fd: usize, flags: u32, user_data: usize) -> usize {
        encode(subscribe(queue, fd, flags as usize, user_data))
    }
    fn redox_event_queue_get_events_v1(
        queue: usize, out: *mut RawEvent, room: usize, _flags: u32, timeout: *const Timespec, mask: *const u64,
    ) -> usize {
        encode(get_events(queue, out, room, timeout, mask))
    }
}
