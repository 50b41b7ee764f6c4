//! Host names: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/freeaddrinfo.html>. Literal IPv4 addresses,
//! `localhost` and `/etc/hosts`; no queries to name servers yet (EAI_AGAIN, CAVEATS.md).

use super::{AF_INET, SOCK_DGRAM, SOCK_STREAM};
use crate::fs::read_file;
use crate::memory::{calloc, free};
use crate::network::{find_host, parse_address, parse_decimal};
use crate::string::bytes_or_empty;
use crate::types::*;
use core::ptr;

const EAI_NONAME: c_int = -2;
const EAI_AGAIN: c_int = -3;
const EAI_FAMILY: c_int = -6;
const EAI_SERVICE: c_int = -8;
const EAI_MEMORY: c_int = -10;
const EAI_OVERFLOW: c_int = -12;
const AI_PASSIVE: c_int = 1;
const AI_NUMERICHOST: c_int = 4;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const IPPROTO_TCP: c_int = 6;
const IPPROTO_UDP: c_int = 17;
const SERVICES: [(&[u8], u16); 8] = [
    (b"http", 80),
    (b"https", 443),
    (b"ssh", 22),
    (b"domain", 53),
    (b"smtp", 25),
    (b"ftp", 21),
    (b"ntp", 123),
    (b"telnet", 23),
];

fn resolve(host: &[u8], flags: c_int) -> Result<[u8; 4], c_int> {
    if let Some(address) = parse_address(host) {
        return Ok(address);
    }
    if flags & AI_NUMERICHOST != 0 {
        return Err(EAI_NONAME);
    }
    let mut hosts = [0; 4096];
    let len = read_file(b"/etc/hosts", &mut hosts).unwrap_or(0);
    if let Some(address) = find_host(&hosts[..len], host) {
        return Ok(address);
    }
    if host == b"localhost" {
        Ok(LOOPBACK)
    } else {
        Err(EAI_AGAIN)
    }
}

fn port_of(service: &[u8]) -> Result<u16, c_int> {
    if service.is_empty() {
        return Ok(0);
    }
    if let Some(port) = parse_decimal(service, 65_535) {
        return Ok(port as u16);
    }
    SERVICES
        .iter()
        .find(|known| known.0 == service)
        .map(|known| known.1)
        .ok_or(EAI_SERVICE)
}

/// One answer with its address, in one block.
#[repr(C)]
struct Answer {
    info: Addrinfo,
    address: SockaddrIn,
}

fn answer(
    address: SockaddrIn,
    socktype: c_int,
    next: *mut Addrinfo,
) -> Result<*mut Addrinfo, c_int> {
    let block = calloc(1, size_of::<Answer>()).cast::<Answer>();
    if block.is_null() {
        return Err(EAI_MEMORY);
    }
    let protocol = if socktype == SOCK_DGRAM {
        IPPROTO_UDP
    } else {
        IPPROTO_TCP
    };
    // SAFETY: fresh memory of the right size.
    unsafe {
        (*block).address = address;
        (*block).info = Addrinfo {
            flags: 0,
            family: AF_INET,
            socktype,
            protocol,
            addrlen: size_of::<SockaddrIn>(),
            canonname: ptr::null_mut(),
            addr: &raw mut (*block).address,
            next,
        };
    }
    Ok(block.cast())
}

/// # Safety
/// Pointers as for `getaddrinfo`.
unsafe fn look_up(
    host: *const u8,
    service: *const u8,
    hints: *const Addrinfo,
    out: *mut *mut Addrinfo,
) -> Result<(), c_int> {
    // SAFETY: the caller's strings and structs.
    unsafe {
        let (flags, family, socktype) = hints.as_ref().map_or((0, 0, 0), |hints| {
            (hints.flags, hints.family, hints.socktype)
        });
        if family != 0 && family != AF_INET {
            return Err(EAI_FAMILY);
        }
        let address = match (host.is_null(), flags & AI_PASSIVE != 0) {
            (false, _) => resolve(bytes_or_empty(host), flags)?,
            (true, true) => [0; 4],
            (true, false) => LOOPBACK,
        };
        let port = port_of(bytes_or_empty(service))?;
        let address = SockaddrIn {
            family: AF_INET as u16,
            port_be: port.to_be(),
            addr: address,
            zero: [0; 8],
        };
        *out = match socktype {
            0 => answer(
                address,
                SOCK_STREAM,
                answer(address, SOCK_DGRAM, ptr::null_mut())?,
            )?,
            _ => answer(address, socktype, ptr::null_mut())?,
        };
    }
    Ok(())
}

c_api! {
    fn getaddrinfo(host: *const u8, service: *const u8, hints: *const Addrinfo, out: *mut *mut Addrinfo) -> c_int {
        look_up(host, service, hints, out).err().unwrap_or(0)
    }
    fn freeaddrinfo(list: *mut Addrinfo) {
        let mut info = list;
        while !info.is_null() {
            let next = (*info).next;
            free(info.cast());
            info = next;
        }
    }
    fn gai_strerror(number: c_int) -> *const c_char {
        match number {
            0 => c"Success",
            -1 => c"Bad flags",
            EAI_NONAME => c"Name or service not known",
            EAI_AGAIN => c"Temporary failure in name resolution",
            -4 => c"Name resolution failed",
            EAI_FAMILY => c"Address family not supported",
            -7 => c"Socket type not supported",
            EAI_SERVICE => c"Service not known",
            EAI_MEMORY => c"Out of memory",
            -11 => c"System error",
            EAI_OVERFLOW => c"Buffer too small",
            _ => c"Unknown error",
        }
        .as_ptr()
    }
    /// Numbers only.
    fn getnameinfo(
        address: *const SockaddrIn, len: u32, host: *mut u8, host_len: u32, service: *mut u8, service_len: u32,
        _flags: c_int,
    ) -> c_int {
        let Ok(endpoint) = super::read_address(address, len) else { return EAI_FAMILY };
        let mut buf = [0; 22];
        let text = crate::network::format_endpoint(endpoint, &mut buf);
        let colon = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        for (part, out, room) in [(&text[..colon], host, host_len), (&text[colon + 1..], service, service_len)] {
            if out.is_null() || room == 0 {
                continue;
            }
            if part.len() >= room as usize {
                return EAI_OVERFLOW;
            }
            ptr::copy_nonoverlapping(part.as_ptr(), out, part.len());
            *out.add(part.len()) = 0;
        }
        0
    }
    fn htons(value: u16) -> u16 { value.to_be() }
    fn ntohs(value: u16) -> u16 { u16::from_be(value) }
    fn htonl(value: u32) -> u32 { value.to_be() }
    fn ntohl(value: u32) -> u32 { u32::from_be(value) }
    fn if_nametoindex(_name: *const u8) -> c_uint {
        crate::error::set(crate::e::ENOSYS);
        0
    }
}
