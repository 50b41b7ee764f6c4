//! Sending and receiving: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/send.html>.

use super::{Socket, identify, read_address, towards, write_address};
use crate::fs::{noted, readv_fd};
use crate::poll::is_ready;
use crate::types::*;
use crate::{Errno, e, error};
use valence_abi::flags::*;
use valence_abi::signal::{SIGPIPE, how};

const MSG_DONTWAIT: c_int = 0x40;
const MSG_WAITALL: c_int = 0x100;
const MSG_NOSIGNAL: c_int = 0x4000;
const KNOWN: c_int = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL;

/// Refuses flags that would need the scheme's help (peeking, out-of-band data), and calls that would block.
fn check(fd: c_int, flags: c_int, direction: usize) -> Result<(), Errno> {
    if flags & !KNOWN != 0 {
        return Err(e::EOPNOTSUPP);
    }
    if flags & MSG_DONTWAIT == 0 {
        return Ok(());
    }
    // SAFETY: no pointers.
    let status = unsafe { syscall!(FCNTL, fd, F_GETFL, 0)? };
    if status & O_NONBLOCK == 0 && !is_ready(fd, direction) {
        Err(e::EAGAIN)
    } else {
        Ok(())
    }
}

/// Runs `send` with SIGPIPE held back, if that was asked for.
fn without_sigpipe(
    flags: c_int,
    send: impl FnOnce() -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    if flags & MSG_NOSIGNAL == 0 {
        return send();
    }
    let set = 1u64 << (SIGPIPE - 1);
    let mut before = 0u64;
    // SAFETY: words of this frame.
    unsafe {
        syscall!(SIGPROCMASK, how::BLOCK, &raw const set, &raw mut before)?;
        let result = send();
        if result == Err(e::EPIPE) && before & set == 0 {
            let _ = syscall!(SIGWAIT, &raw const set, 0, 0);
        }
        syscall!(SIGPROCMASK, how::SETMASK, &raw const before, 0)?;
        result
    }
}

fn receive(fd: c_int, buf: *mut u8, len: usize, flags: c_int) -> Result<usize, Errno> {
    check(fd, flags, EVENT_READ)?;
    let mut filled = 0;
    loop {
        // SAFETY: the caller's buffer.
        match unsafe { syscall!(READ, fd, buf.wrapping_add(filled), len - filled) } {
            Ok(0) => return Ok(filled),
            Ok(got) => {
                noted(fd, got, len - filled);
                filled += got;
            }
            Err(_) if filled > 0 => return Ok(filled),
            Err(errno) => return Err(errno),
        }
        if flags & MSG_WAITALL == 0 || filled >= len {
            return Ok(filled);
        }
    }
}

/// # Safety
/// Pointers as for `sendto`.
unsafe fn send_to(
    fd: c_int,
    buf: *const u8,
    len: usize,
    flags: c_int,
    address: *const SockaddrIn,
    address_len: u32,
) -> Result<usize, Errno> {
    check(fd, flags, EVENT_WRITE)?;
    // SAFETY: the caller's buffer and address.
    without_sigpipe(flags, || unsafe {
        if address.is_null() {
            return syscall!(WRITE, fd, buf, len);
        }
        let remote = read_address(address, address_len)?;
        match identify(fd)? {
            Socket::Udp(..) => syscall!(WRITE, towards(fd, remote)?.0, buf, len),
            _ => Err(e::EISCONN),
        }
    })
}

/// # Safety
/// `message` must be valid.
unsafe fn refuse_extras(message: *const Msghdr) -> Result<(), Errno> {
    // SAFETY: the caller's struct.
    let extras = unsafe { !(*message).control.is_null() && (*message).controllen > 0 };
    if extras { Err(e::EOPNOTSUPP) } else { Ok(()) }
}

c_api! {
    fn send(fd: c_int, buf: *const u8, len: usize, flags: c_int) -> isize {
        error::long(send_to(fd, buf, len, flags, core::ptr::null(), 0))
    }
    fn sendto(
        fd: c_int, buf: *const u8, len: usize, flags: c_int, address: *const SockaddrIn, address_len: u32,
    ) -> isize {
        error::long(send_to(fd, buf, len, flags, address, address_len))
    }
    fn recv(fd: c_int, buf: *mut u8, len: usize, flags: c_int) -> isize {
        error::long(receive(fd, buf, len, flags))
    }
    /// The sender is the connected peer; a datagram socket that is not connected cannot tell whom a datagram came from.
    fn recvfrom(fd: c_int, buf: *mut u8, len: usize, flags: c_int, address: *mut u8, address_len: *mut u32) -> isize {
        if address.is_null() {
            return recv(fd, buf, len, flags);
        }
        error::long(identify(fd).and_then(|socket| match socket {
            Socket::Udp(remote, _) if remote.port == 0 => Err(e::EOPNOTSUPP),
            Socket::Udp(remote, _) | Socket::Tcp(remote, _) => {
                let got = receive(fd, buf, len, flags)?;
                write_address(Some(remote), address, address_len);
                Ok(got)
            }
            Socket::Local => {
                let got = receive(fd, buf, len, flags)?;
                write_address(None, address, address_len);
                Ok(got)
            }
        }))
    }
    fn sendmsg(fd: c_int, message: *const Msghdr, flags: c_int) -> isize {
        error::long(refuse_extras(message).and_then(|()| {
            check(fd, flags, EVENT_WRITE)?;
            if !(*message).name.is_null() {
                return Err(e::EOPNOTSUPP);
            }
            without_sigpipe(flags, || crate::fs::writev_fd(fd, (*message).iov, (*message).iovlen))
        }))
    }
    fn recvmsg(fd: c_int, message: *mut Msghdr, flags: c_int) -> isize {
        const CMSG_CLOEXEC: c_int = 0x4000_0000;
        let received = check(fd, flags & !CMSG_CLOEXEC, EVENT_READ)
            .and_then(|()| readv_fd(fd, (*message).iov, (*message).iovlen));
        error::long(received.inspect(|_| {
            (*message).controllen = 0;
            (*message).namelen = 0;
            (*message).flags = 0;
        }))
    }
}

/// The walk over ancillary data, which other systems have as macros.
mod control {
    use crate::types::*;
    use core::ptr;

    const ALIGN: usize = size_of::<usize>();

    c_api! {
        #[allow(non_snake_case, reason = "C's name")]
        fn CMSG_DATA(message: *const Cmsghdr) -> *mut u8 {
            message.cast_mut().cast::<u8>().wrapping_add(size_of::<Cmsghdr>())
        }
        #[allow(non_snake_case, reason = "C's name")]
        fn CMSG_FIRSTHDR(message: *const Msghdr) -> *mut Cmsghdr {
            if (*message).controllen < size_of::<Cmsghdr>() { ptr::null_mut() } else { (*message).control.cast() }
        }
        #[allow(non_snake_case, reason = "C's name")]
        fn CMSG_NXTHDR(message: *const Msghdr, header: *const Cmsghdr) -> *mut Cmsghdr {
            let next = header as usize + (*header).len.next_multiple_of(ALIGN);
            let end = (*message).control as usize + (*message).controllen;
            if (*header).len < size_of::<Cmsghdr>() || next + size_of::<Cmsghdr>() > end {
                return ptr::null_mut();
            }
            next as *mut Cmsghdr
        }
    }
}
