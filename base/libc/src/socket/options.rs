//! Socket options: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/setsockopt.html>.
//!
//! Time-outs are handles of their own; everything else is asked of the scheme (redox-facts 5). Options that describe
//! what is so anyway (addresses can be reused, broadcasts can be sent) succeed when set.

use super::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, Socket, identify};
use crate::fs::dup_with;
use crate::types::*;
use crate::{Errno, e, error};
use valence_abi::flags::call;
use valence_abi::layout::TimeSpec;

const SOL_SOCKET: c_int = 1;
const SO_REUSEADDR: c_int = 2;
const SO_TYPE: c_int = 3;
const SO_ERROR: c_int = 4;
const SO_BROADCAST: c_int = 6;
const SO_RCVTIMEO: c_int = 20;
const SO_SNDTIMEO: c_int = 21;
const SO_DOMAIN: c_int = 39;
const CALL_SET: u64 = 2;
const CALL_GET: u64 = 3;

fn timeout_name(option: c_int) -> &'static [u8] {
    if option == SO_RCVTIMEO {
        b"read_timeout"
    } else {
        b"write_timeout"
    }
}

/// # Safety
/// `value` must be valid for `len` bytes.
unsafe fn set(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *const u8,
    len: usize,
) -> Result<usize, Errno> {
    identify(fd)?;
    if level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO) {
        if len < size_of::<Timeval>() {
            return Err(e::EINVAL);
        }
        // SAFETY: the caller's struct.
        let time = unsafe { value.cast::<Timeval>().read_unaligned() };
        let time = TimeSpec {
            sec: time.sec,
            nsec: time.usec * 1000,
        };
        let handle = dup_with(fd as usize, timeout_name(option)).map_err(|_| e::ENOPROTOOPT)?;
        // SAFETY: one struct.
        return unsafe { syscall!(WRITE, handle.0, &raw const time, size_of::<TimeSpec>()) }
            .map(|_| 0);
    }
    let metadata = [CALL_SET, option as u64, level as u64];
    // SAFETY: the caller's value; three words of metadata.
    let result = unsafe {
        syscall!(
            CALL,
            fd,
            value,
            len,
            call::WRITE,
            metadata.as_ptr(),
            metadata.len()
        )
    };
    match result {
        Ok(_) => Ok(0),
        Err(_) if level == SOL_SOCKET && (option == SO_REUSEADDR || option == SO_BROADCAST) => {
            Ok(0)
        }
        Err(e::EOPNOTSUPP | e::ENOSYS) => Err(e::ENOPROTOOPT),
        Err(errno) => Err(errno),
    }
}

/// # Safety
/// `value` and `len` must be valid.
unsafe fn get(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *mut u8,
    len: *mut u32,
) -> Result<usize, Errno> {
    let socket = identify(fd)?;
    let known = match (level, option, socket) {
        (SOL_SOCKET, SO_TYPE, Socket::Udp(..)) => Some(SOCK_DGRAM),
        (SOL_SOCKET, SO_TYPE, _) => Some(SOCK_STREAM),
        (SOL_SOCKET, SO_DOMAIN, Socket::Local) => Some(AF_UNIX),
        (SOL_SOCKET, SO_DOMAIN, _) => Some(AF_INET),
        _ => None,
    };
    let metadata = [CALL_GET, option as u64, level as u64];
    // SAFETY: the caller's value and length; three words of metadata.
    unsafe {
        if let Some(known) = known {
            return give(known, value, len);
        }
        match syscall!(
            CALL,
            fd,
            value,
            *len,
            call::READ,
            metadata.as_ptr(),
            metadata.len()
        ) {
            Ok(used) => {
                *len = used as u32;
                Ok(0)
            }
            // A failed connection is reported by the calls themselves: there is no stored error.
            Err(_) if level == SOL_SOCKET && option == SO_ERROR => give(0, value, len),
            Err(e::EOPNOTSUPP | e::ENOSYS) => Err(e::ENOPROTOOPT),
            Err(errno) => Err(errno),
        }
    }
}

/// # Safety
/// `value` and `len` must be valid.
unsafe fn give(number: c_int, value: *mut u8, len: *mut u32) -> Result<usize, Errno> {
    // SAFETY: the caller's room.
    unsafe {
        if (*len as usize) < size_of::<c_int>() {
            return Err(e::EINVAL);
        }
        value.cast::<c_int>().write_unaligned(number);
        *len = size_of::<c_int>() as u32;
    }
    Ok(0)
}

c_api! {
    fn setsockopt(fd: c_int, level: c_int, option: c_int, value: *const u8, len: u32) -> c_int {
        error::int(set(fd, level, option, value, len as usize))
    }
    fn getsockopt(fd: c_int, level: c_int, option: c_int, value: *mut u8, len: *mut u32) -> c_int {
        error::int(get(fd, level, option, value, len))
    }
}
