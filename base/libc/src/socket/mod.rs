//! Sockets: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/socket.html>.
//!
//! A socket is a handle of scheme `tcp` or `udp`; binding and connecting is `dup` with the address as text (redox-facts
//! 5). Where the network daemon is missing, `socket` fails with EAFNOSUPPORT. Local pairs (`socketpair`) are the
//! kernel's. Not there: IPv6, named AF_UNIX sockets, ancillary data (CAVEATS.md).

mod message;
mod names;
mod options;

use crate::fs::{self, Fd, dup_with};
use crate::network::{Endpoint, format_endpoint, parse_reference};
use crate::path;
use crate::types::*;
use crate::{Errno, e, error};
use core::ptr;
use valence_abi::flags::*;

pub(super) const AF_UNIX: c_int = 1;
pub(super) const AF_INET: c_int = 2;
pub(super) const SOCK_STREAM: c_int = 1;
pub(super) const SOCK_DGRAM: c_int = 2;
const SOCK_NONBLOCK: c_int = 0o4000;
const SOCK_CLOEXEC: c_int = 0o2_000_000;
const SOCK_TYPE: c_int = 0xF;
const SHUT_RDWR: c_int = 2;
/// `SocketCall::Shutdown`.
const CALL_SHUTDOWN: u64 = 9;

/// Kernel flags of C's type argument.
fn open_flags(kind: c_int) -> usize {
    let nonblock = if kind & SOCK_NONBLOCK != 0 {
        O_NONBLOCK
    } else {
        0
    };
    nonblock
        | if kind & SOCK_CLOEXEC != 0 {
            O_CLOEXEC
        } else {
            0
        }
}

/// What a descriptor is as a socket.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Socket {
    Tcp(Endpoint, Endpoint),
    Udp(Endpoint, Endpoint),
    Local,
}

pub(super) fn identify(fd: c_int) -> Result<Socket, Errno> {
    let mut answer = [0; 256];
    // SAFETY: the buffer is as long as stated.
    let len = unsafe { syscall!(FPATH, fd, answer.as_mut_ptr(), answer.len()) };
    if len == Err(e::EBADF) {
        return Err(e::EBADF);
    }
    if let Ok(location) = len.and_then(|len| path::locate(b"/", answer.get(..len).ok_or(e::EIO)?)) {
        let ends = parse_reference(location.reference()).unwrap_or_default();
        match location.scheme() {
            b"tcp" => return Ok(Socket::Tcp(ends.0, ends.1)),
            b"udp" => return Ok(Socket::Udp(ends.0, ends.1)),
            _ => {}
        }
    }
    let stat = fs::fstat_raw(fd as usize)?;
    if stat.mode & MODE_TYPE == MODE_SOCK {
        Ok(Socket::Local)
    } else {
        Err(e::ENOTSOCK)
    }
}

fn open_socket(domain: c_int, kind: c_int) -> Result<usize, Errno> {
    let name: &[u8] = match (domain, kind & SOCK_TYPE) {
        (AF_INET, SOCK_STREAM) => b"tcp",
        (AF_INET, SOCK_DGRAM) => b"udp",
        (AF_INET, _) => return Err(e::ESOCKTNOSUPPORT),
        _ => return Err(e::EAFNOSUPPORT),
    };
    match fs::open_kernel(name, O_RDWR | open_flags(kind)) {
        Err(e::ENODEV | e::ENOENT) => Err(e::EAFNOSUPPORT),
        result => result,
    }
}

/// # Safety
/// `address` must be valid for `len` bytes.
pub(super) unsafe fn read_address(address: *const SockaddrIn, len: u32) -> Result<Endpoint, Errno> {
    if address.is_null() || (len as usize) < size_of::<SockaddrIn>() {
        return Err(e::EINVAL);
    }
    // SAFETY: the caller's struct; sockaddr need not be aligned.
    let address = unsafe { address.read_unaligned() };
    if c_int::from(address.family) != AF_INET {
        return Err(e::EAFNOSUPPORT);
    }
    Ok(Endpoint {
        address: address.addr,
        port: u16::from_be(address.port_be),
    })
}

/// Gives an address to C, cut to the room there is.
///
/// # Safety
/// `out` and `len` must be null or valid.
pub(super) unsafe fn write_address(address: Option<Endpoint>, out: *mut u8, len: *mut u32) {
    if out.is_null() || len.is_null() {
        return;
    }
    let family = if address.is_some() { AF_INET } else { AF_UNIX } as u16;
    let Endpoint {
        address: addr,
        port,
    } = address.unwrap_or_default();
    let value = SockaddrIn {
        family,
        port_be: port.to_be(),
        addr,
        zero: [0; 8],
    };
    let full = if family == AF_INET as u16 {
        size_of::<SockaddrIn>()
    } else {
        size_of::<u16>()
    };
    // SAFETY: the caller's room.
    unsafe {
        ptr::copy_nonoverlapping(
            (&raw const value).cast::<u8>(),
            out,
            full.min(*len as usize),
        );
        *len = full as u32;
    }
}

/// Replaces a socket by the handle that `dup` with `text` gives, keeping its flags.
fn replace(fd: c_int, text: &[u8]) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    unsafe {
        let status = syscall!(FCNTL, fd, F_GETFL, 0)? & O_FCNTL_MASK;
        let cloexec = syscall!(FCNTL, fd, F_GETFD, 0)? & O_CLOEXEC;
        let new = dup_with(fd as usize, text)?;
        syscall!(FCNTL, new.0, F_SETFL, status)?;
        syscall!(DUP2, new.0, fd, cloexec)?;
        Ok(status)
    }
}

fn bind_to(fd: c_int, local: Endpoint) -> Result<usize, Errno> {
    identify(fd)?;
    let mut text = [b'/'; 23];
    let mut buf = [0; 22];
    let endpoint = format_endpoint(local, &mut buf);
    text[1..=endpoint.len()].copy_from_slice(endpoint);
    replace(fd, &text[..=endpoint.len()]).map(|_| 0)
}

fn connect_to(fd: c_int, remote: Endpoint) -> Result<usize, Errno> {
    identify(fd)?;
    let mut buf = [0; 22];
    let status = replace(fd, format_endpoint(remote, &mut buf))?;
    let done = status & O_NONBLOCK == 0 || crate::poll::is_ready(fd, EVENT_WRITE);
    if done { Ok(0) } else { Err(e::EINPROGRESS) }
}

/// # Safety
/// `address` and `len` must be null or valid.
unsafe fn accept_from(
    fd: c_int,
    address: *mut u8,
    len: *mut u32,
    flags: c_int,
) -> Result<usize, Errno> {
    identify(fd)?;
    let new = dup_with(fd as usize, b"listen")?;
    // SAFETY: no pointers but the caller's.
    unsafe {
        if flags & SOCK_CLOEXEC == 0 {
            syscall!(FCNTL, new.0, F_SETFD, 0)?;
        }
        syscall!(FCNTL, new.0, F_SETFL, open_flags(flags) & O_NONBLOCK)?;
        let peer = match identify(new.0 as c_int) {
            Ok(Socket::Tcp(remote, _) | Socket::Udp(remote, _)) => Some(remote),
            _ => None,
        };
        write_address(peer, address, len);
    }
    Ok(new.into_raw())
}

fn pair(domain: c_int, kind: c_int) -> Result<[usize; 2], Errno> {
    if domain != AF_UNIX {
        return Err(e::EOPNOTSUPP);
    }
    if kind & SOCK_TYPE != SOCK_STREAM {
        return Err(e::ESOCKTNOSUPPORT);
    }
    let mut fds = [0usize; 2];
    // SAFETY: room for two.
    unsafe { syscall!(SOCKETPAIR, open_flags(kind), fds.as_mut_ptr())? };
    Ok(fds)
}

fn shut_down(fd: c_int, how: c_int) -> Result<usize, Errno> {
    if !(0..=SHUT_RDWR).contains(&how) {
        return Err(e::EINVAL);
    }
    let metadata = [CALL_SHUTDOWN, how as u64];
    // SAFETY: no payload; two words of metadata.
    unsafe {
        syscall!(
            CALL,
            fd,
            0,
            0,
            call::WRITE,
            metadata.as_ptr(),
            metadata.len()
        )
    }
    .map(|_| 0)
}

c_api! {
    fn socket(domain: c_int, kind: c_int, _protocol: c_int) -> c_int {
        error::int(open_socket(domain, kind))
    }
    fn socketpair(domain: c_int, kind: c_int, _protocol: c_int, out: *mut c_int) -> c_int {
        error::int(pair(domain, kind).map(|fds| {
            *out = fds[0] as c_int;
            *out.add(1) = fds[1] as c_int;
            0
        }))
    }
    fn bind(fd: c_int, address: *const SockaddrIn, len: u32) -> c_int {
        error::int(read_address(address, len).and_then(|local| bind_to(fd, local)))
    }
    /// A bound socket of the network daemon takes connections at once.
    fn listen(fd: c_int, _backlog: c_int) -> c_int {
        error::int(identify(fd).and_then(|socket| match socket {
            Socket::Tcp(..) => Ok(0),
            _ => Err(e::EOPNOTSUPP),
        }))
    }
    fn connect(fd: c_int, address: *const SockaddrIn, len: u32) -> c_int {
        error::int(read_address(address, len).and_then(|remote| connect_to(fd, remote)))
    }
    fn accept(fd: c_int, address: *mut u8, len: *mut u32) -> c_int {
        error::int(accept_from(fd, address, len, 0))
    }
    fn accept4(fd: c_int, address: *mut u8, len: *mut u32, flags: c_int) -> c_int {
        error::int(accept_from(fd, address, len, flags))
    }
    fn shutdown(fd: c_int, how: c_int) -> c_int {
        error::int(identify(fd).and_then(|_| shut_down(fd, how)))
    }
    fn getsockname(fd: c_int, out: *mut u8, len: *mut u32) -> c_int {
        error::int(identify(fd).map(|socket| {
            let local = match socket {
                Socket::Tcp(_, local) | Socket::Udp(_, local) => Some(local),
                Socket::Local => None,
            };
            write_address(local, out, len);
            0
        }))
    }
    fn getpeername(fd: c_int, out: *mut u8, len: *mut u32) -> c_int {
        error::int(identify(fd).and_then(|socket| {
            let remote = match socket {
                Socket::Tcp(remote, _) | Socket::Udp(remote, _) if remote.port == 0 => return Err(e::ENOTCONN),
                Socket::Tcp(remote, _) | Socket::Udp(remote, _) => Some(remote),
                Socket::Local => None,
            };
            write_address(remote, out, len);
            Ok(0)
        }))
    }
}

/// A temporary handle of a UDP socket that sends to `remote`.
pub(super) fn towards(fd: c_int, remote: Endpoint) -> Result<Fd, Errno> {
    let mut buf = [0; 22];
    dup_with(fd as usize, format_endpoint(remote, &mut buf))
}
